//! Staying awake while changes rush in.
//!
//! A commit with a NOTIFY waits for every other one, so under load the trigger
//! must not notify. It does not while somebody holds an advisory lock, which
//! says: I am awake, and poll.

use std::time::{Duration, Instant};

use sqlx::{PgPool, Postgres, pool::PoolConnection};

use crate::postgres;

/// An awake listener looks this often.
pub(super) const POLL: Duration = Duration::from_millis(10);

/// It falls asleep after the outbox has been empty for this long.
pub(super) const QUIET: Duration = Duration::from_millis(500);

/// So many looks, each within [`CLOSE`] of the end of the one before, are a rush:
/// 100 commits a second and more, or as many as a busy machine gets done. Fewer
/// than that do not get in each other's way.
const MANY: u32 = 20;
const CLOSE: Duration = Duration::from_millis(10);

/// A statement that changed so many ads is a rush by itself.
const LARGE: usize = 500;

/// Waiting in line for the lock already keeps the trigger from notifying, but
/// a long transaction of the app may stand before us in that line.
const LOCK: &str = "begin; set local lock_timeout to '250ms'";

/// A connection that is silent for longer than this is dead.
const ANSWER: Duration = Duration::from_secs(5);

/// Whether changes come so fast that notifying for each would slow the app.
#[derive(Debug, Default)]
pub(super) struct Rush {
    last: Option<Instant>,
    close: u32,
}

impl Rush {
    /// Takes note of one look at the outbox, from when to when it was. How long it
    /// took says nothing about the app: on a busy machine, where notifications cost
    /// the app most, a look takes longer than changes are apart.
    pub(super) fn is_on(&mut self, moved: usize, began: Instant, ended: Instant) -> bool {
        if moved == 0 {
            return false;
        }
        let close = self
            .last
            .is_some_and(|last| began.duration_since(last) <= CLOSE);
        self.close = if close { self.close + 1 } else { 0 };
        self.last = Some(ended);
        self.close >= MANY || moved >= LARGE
    }
}

/// The lock that tells the trigger not to notify.
pub(super) struct Awake(PoolConnection<Postgres>);

/// Takes the lock; `None` when another daemon has it or a transaction of the
/// app is in the way: the app then goes on notifying, which is only slower.
pub(super) async fn stay(pool: &PgPool) -> Option<Awake> {
    let mut connection = pool.acquire().await.ok()?;
    let locked = async {
        let mut transaction = sqlx::Connection::begin_with(&mut *connection, LOCK).await?;
        postgres::query("select pg_advisory_lock(1970496883, 1)")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    };
    let Ok(locked) = tokio::time::timeout(ANSWER, locked).await else {
        // It may have the lock by now, which only its end would free.
        connection.close_on_drop();
        return None;
    };
    locked.ok()?;
    Some(Awake(connection))
}

impl Awake {
    /// Lets the trigger notify again.
    pub(super) async fn sleep(mut self) {
        let unlock = async {
            let mut transaction = sqlx::Connection::begin(&mut *self.0).await?;
            postgres::query("select pg_advisory_unlock(1970496883, 1)")
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await
        };
        if !matches!(tokio::time::timeout(ANSWER, unlock).await, Ok(Ok(()))) {
            // Whatever is wrong with the connection: its end frees the lock.
            self.0.close_on_drop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rush_needs_many_changes_close_together() {
        let (mut rush, start) = (Rush::default(), Instant::now());
        let slow = |n: u32| start + Duration::from_millis(50) * n;
        assert!((0..200).all(|n| !rush.is_on(1, slow(n), slow(n))));

        let later = slow(1000);
        let fast = |n: u32| later + Duration::from_millis(2) * n;
        let on = (0..40).find(|n| rush.is_on(1, fast(*n), fast(*n)));
        assert_eq!(on, Some(MANY));
    }

    #[test]
    fn looks_that_take_long_are_as_close_as_the_changes_between_them() {
        let (mut rush, start) = (Rush::default(), Instant::now());
        let began = |n: u32| start + Duration::from_millis(40) * n;
        let took = Duration::from_millis(38);

        let on = (0..40).find(|n| rush.is_on(1, began(*n), began(*n) + took));

        assert_eq!(on, Some(MANY));
    }

    #[test]
    fn one_large_statement_is_a_rush() {
        let now = Instant::now();
        assert!(Rush::default().is_on(LARGE, now, now));
        assert!(!Rush::default().is_on(LARGE - 1, now, now));
    }
}
