//! Whether it is an ad that cannot be read, or the view.
//!
//! A row that makes the view fail is its ad's own fault, and that ad is rejected
//! alone. A view that fails for every ad is a fault in the configuration: to
//! reject each ad in turn would help nobody. What tells the two apart are other
//! ads, read one by one: those of the same claim, and some that Salesforce was
//! told of, which could be read once. One that can be read clears the view. If
//! at least two fail, all with one SQLSTATE, it is the view: nothing is claimed
//! for a growing pause, and then a few ads are tried again.
//!
//! Two bad ads with no other to compare with look like a bad view until another
//! ad comes. The only ad there is looks like a bad ad.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Context;
use crate::{
    backoff::{Backoff, chance},
    ledger,
};

/// Ads that are read alone, of either kind. With half of all ads bad it takes
/// the view for bad once in some sixty times, and then only until the next try.
const SAMPLE: usize = 3;

/// Of the others, so many are looked up at most: of some the view may have no
/// row any more.
const LOOKED_UP: usize = 10;

/// A try over a view that never answers takes so long at most; word of it lasts
/// until the next one has an answer.
const A_TRY: Duration = Duration::from_mins(3);

/// What is known of the view. All clones know the same.
#[derive(Debug, Clone)]
pub struct View {
    pace: Backoff,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Tries that failed for every ad, one after the other.
    failures: u32,
    since: Option<Instant>,
    rests_until: Option<Instant>,
}

impl View {
    /// A view that can be read, as far as is known. One that cannot is tried at
    /// this pace.
    pub fn new(pace: Backoff) -> Self {
        Self {
            pace,
            state: Arc::default(),
        }
    }

    /// When to read it again, where that is later than now.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.state().rests_until.filter(|until| *until > now)
    }

    /// Whether it failed for every ad when it was tried last.
    pub(super) fn is_blind(&self) -> bool {
        self.state().failures > 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is in it is whole at any moment, also when a thread panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It failed for every ad; answers how long to leave it alone, and whether
    /// that is news.
    fn failed(&self, now: Instant) -> (Duration, bool) {
        let mut state = self.state();
        state.failures += 1;
        let pause = self.pace.pause(state.failures, chance());
        state.rests_until = Some(now + pause);
        let is_news = state.since.is_none();
        state.since.get_or_insert(now);
        (pause, is_news)
    }

    /// A row was read; answers for how long none could be, if that is news.
    fn worked(&self, now: Instant) -> Option<Duration> {
        let state = std::mem::take(&mut *self.state());
        Some(now.duration_since(state.since?))
    }
}

/// A row of the view was read.
pub(super) async fn works(context: &Context) {
    let Some(lasted) = context.view.worked(Instant::now()) else {
        return;
    };
    let duration_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        duration_ms,
        "the view usage_sync.usage can be read again: reporting goes on"
    );
    // It lapses by itself, too.
    let _said_still = context.queue.unsay_view().await;
}

/// Whether the view fails for every ad and not only for one of these, which
/// together could not be read. If so it is said, and the view rests.
pub(super) async fn is_blind(context: &Context, ids: &[String]) -> Result<bool, ledger::Error> {
    let Some(code) = code_for_all(context, ids).await? else {
        return Ok(false);
    };
    let (pause, is_news) = context.view.failed(Instant::now());
    if is_news {
        tracing::error!(
            sqlstate = code, ad.id = %super::shown(&ids[0]), remedy = remedy(&code),
            "the view usage_sync.usage fails for every ad: reporting pauses until this is mended"
        );
    }
    let why = format!("reading it fails for every ad, with SQLSTATE {code}");
    // Whoever needs Redis says that it does not answer.
    let _unsaid = context.queue.say_view(&why, pause + A_TRY).await;
    Ok(true)
}

/// The one SQLSTATE with which every ad fails that is tried alone. `None` if one
/// can be read, if they fail in different ways, or if there is only one.
async fn code_for_all(context: &Context, ids: &[String]) -> Result<Option<String>, ledger::Error> {
    let mut found = Found::default();
    match ledger::answered(context.ledger.others(ids)).await {
        Ok(mut others) => {
            fastrand::shuffle(&mut others);
            others.truncate(LOOKED_UP);
            try_alone(context, &others, &mut found).await?;
        }
        Err(error @ ledger::Error::Row(_)) => found.add(error.code()),
        Err(error) => return Err(error),
    }
    if !found.is_settled {
        let mut own = ids.to_vec();
        fastrand::shuffle(&mut own);
        try_alone(context, &own, &mut found).await?;
    }
    Ok(found
        .code
        .filter(|_| !found.is_settled && found.failures > 1))
}

/// What came of the ads that were tried alone.
#[derive(Debug, Default)]
struct Found {
    failures: usize,
    code: Option<String>,
    /// It is not the view.
    is_settled: bool,
}

impl Found {
    fn add(&mut self, code: Option<String>) {
        self.is_settled |= self.failures > 0 && self.code != code;
        self.failures += 1;
        self.code = code;
    }
}

async fn try_alone(
    context: &Context,
    ids: &[String],
    found: &mut Found,
) -> Result<(), ledger::Error> {
    let most = found.failures + SAMPLE;
    for id in ids {
        if found.is_settled || found.failures == most {
            return Ok(());
        }
        match ledger::answered(context.ledger.has_rows(id)).await {
            Ok(true) => {
                found.is_settled = true;
                works(context).await;
            }
            Ok(false) => {}
            Err(error @ ledger::Error::Row(_)) => found.add(error.code()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a person does about it. Postgres' own words may hold values of the app
/// and stay out of the log; `check` shows them.
fn remedy(code: &str) -> &'static str {
    // PostgreSQL: Appendix A, Error Codes: query_canceled.
    if code == "57014" {
        "reading one ad takes more than 15 s: create an index on the column behind ad_id, or simplify the view; \
         `usage-sync check` looks at it; it goes on by itself"
    } else {
        "correct the view, or what it reads, in a migration of the app; `usage-sync check` shows Postgres' words; \
         it goes on by itself"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_ever_longer_and_begins_and_ends_once() {
        let (base, max) = (Duration::from_secs(1), Duration::from_mins(1));
        let (view, start) = (View::new(Backoff { base, max }), Instant::now());
        let other_daemon_loop = view.clone();
        assert_eq!(view.worked(start), None);

        let mut now = start;
        let (first, is_news) = view.failed(now);
        assert!(is_news && first <= base);
        for _ in 0..20 {
            assert_eq!(other_daemon_loop.rests_until(now), view.rests_until(now));
            now = view.rests_until(now).unwrap();
            assert_eq!(view.rests_until(now), None);
            assert!(view.is_blind());
            assert!(!view.failed(now).1);
        }
        let last = view.rests_until(now).unwrap() - now;
        assert!(last >= max / 2 && last <= max, "{last:?}");

        assert_eq!(view.worked(now), Some(now - start));
        assert_eq!(view.worked(now), None);
        assert!(!view.is_blind() && view.rests_until(now).is_none());
    }

    #[test]
    fn ads_that_fail_in_different_ways_are_no_matter_of_the_view() {
        let mut found = Found::default();
        found.add(Some(String::from("22012")));
        found.add(Some(String::from("22012")));
        assert!(!found.is_settled && found.failures == 2);
        found.add(Some(String::from("22P02")));
        assert!(found.is_settled);
    }
}
