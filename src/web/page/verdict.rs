//! Is it working, and what has a person to do? Pure.

use maud::{Markup, html};

use super::{
    shell::sentence,
    words::{counted, grouped, lasting},
};
use crate::status::Status;

/// Seconds; tries of one ad are at most ten minutes apart.
const LATE: f64 = 900.0;

/// One sentence for whoever was woken up.
pub(super) fn verdict(status: &Status) -> String {
    if status.elsewhere.is_some() {
        return String::from("Nothing is reported from here");
    }
    if status.paused {
        return String::from("Reporting is paused");
    }
    // They are in no figure, and do not wait for anything.
    if status.unwatched.is_some() {
        return String::from("Changes of the app are missed");
    }
    if status.salesforce.up == Some(false) {
        return String::from("Salesforce is down: changes wait, nothing is lost");
    }
    if status.salesforce.up.is_none() {
        return String::from(if status.queue.is_some() {
            "No daemon is running: changes wait, nothing is lost"
        } else {
            "Redis does not answer: changes wait, nothing is lost"
        });
    }
    if status.view.is_some() {
        return String::from("The view cannot be read: changes wait, nothing is lost");
    }
    if status.pending > 0 {
        let count = counted(status.pending.unsigned_abs(), "change");
        return format!(
            "{count} on the way, the oldest for {}",
            lasting(status.lag_seconds)
        );
    }
    match status.rejected {
        0 => String::from("Everything is reported"),
        1 => String::from("Everything is reported but for 1 rejected ad"),
        count => {
            let count = grouped(count.unsigned_abs());
            format!("Everything is reported but for {count} rejected ads")
        }
    }
}

/// Whether something waits for longer than a backoff or a restart explains,
/// though reports get through.
fn is_late(status: &Status) -> bool {
    let reports =
        status.salesforce.up == Some(true) && !status.paused && status.elsewhere.is_none();
    reports && status.view.is_none() && status.pending > 0 && status.lag_seconds > LATE
}

/// What a person has to see to, with what to do.
pub(super) fn alarms(status: &Status) -> Markup {
    let why = status.salesforce.why.as_deref();
    let down = (status.salesforce.up == Some(false)).then_some((
        why.unwrap_or("Salesforce does not take reports"),
        status.salesforce.remedy.as_deref().unwrap_or(
            "The daemons try again by themselves. If this lasts, look at status.salesforce.com, and run usage-sync check",
        ),
    ));
    let no_daemon = (status.salesforce.up.is_none() && status.queue.is_some()).then_some((
        "No daemon has given a sign of life",
        "Start one: heroku ps:scale worker=1",
    ));
    let no_redis = status.queue.is_none().then_some((
        "Redis does not answer",
        "Start it, or correct REDIS_URL. What is pending is in Postgres and goes out afterwards",
    ));
    let used_up = status.budget.is_some_and(|budget| budget.left == 0).then_some((
        "The budget of API calls is used up",
        "Reports go on as calls become free again. Raise SALESFORCE_API_BUDGET, or find out what else spends them",
    ));
    // Whatever else stands here explains it.
    let late = is_late(status).then_some((
        "Changes wait for long",
        "If the queue shrinks, a backlog is being worked off. If it does not, read the log of the daemons and run usage-sync check",
    ));
    let told = [
        (&status.elsewhere, "usage-sync check says what to do"),
        (&status.view, "usage-sync check shows Postgres' words"),
        (
            &status.unwatched,
            "Call usage_sync.watch for the tables that the view reads, then run usage-sync backfill",
        ),
    ];
    let told = told
        .iter()
        .filter_map(|(what, remedy)| Some((what.as_deref()?, *remedy)));
    let alarms = [down, no_daemon, no_redis, used_up, late]
        .into_iter()
        .flatten()
        .chain(told);
    html! {
        @for (what, remedy) in alarms {
            div class="alarm" { strong { (sentence(what)) } p { (sentence(remedy)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pace::Budget,
        queue::Depth,
        status::{Pinned, Salesforce},
    };

    fn calm() -> Status {
        Status {
            queue: Some(Depth {
                ready: 0,
                claimed: 0,
                retry: 0,
                suspects: 0,
            }),
            pending: 0,
            rejected: 0,
            landing: 0,
            lag_seconds: 0.0,
            paused: false,
            paused_since: None,
            paused_because: None,
            elsewhere: None,
            view: None,
            unwatched: None,
            place: Pinned {
                org: None,
                database: None,
                since: None,
            },
            salesforce: Salesforce {
                up: Some(true),
                since: None,
                why: None,
                remedy: None,
                api_calls_left: Some(1000),
            },
            budget: Some(Budget { calls: 10, left: 1 }),
            daemons: Vec::new(),
        }
    }

    fn with(change: impl FnOnce(&mut Status)) -> Status {
        let mut status = calm();
        change(&mut status);
        status
    }

    fn down(status: &mut Status) {
        status.salesforce.up = Some(false);
    }

    fn behind(status: &mut Status) {
        (status.pending, status.lag_seconds) = (2, LATE + 1.0);
    }

    #[test]
    fn what_is_worst_is_said_first() {
        for (status, said) in [
            (calm(), "Everything is reported"),
            (
                with(|s| s.rejected = 1),
                "Everything is reported but for 1 rejected ad",
            ),
            (
                with(|s| s.rejected = 2000),
                "Everything is reported but for 2,000 rejected ads",
            ),
            (
                with(behind),
                "2 changes on the way, the oldest for 15 minutes",
            ),
            (
                with(|s| {
                    behind(s);
                    s.view = Some(String::from("42703"));
                }),
                "The view cannot be read",
            ),
            (
                with(|s| {
                    s.view = Some(String::from("42703"));
                    s.salesforce.up = None;
                }),
                "No daemon is running",
            ),
            (
                with(|s| (s.salesforce.up, s.queue) = (None, None)),
                "Redis does not answer",
            ),
            (
                with(|s| {
                    behind(s);
                    down(s);
                }),
                "Salesforce is down",
            ),
            (
                with(|s| {
                    down(s);
                    s.paused = true;
                }),
                "Reporting is paused",
            ),
            (
                with(|s| {
                    s.paused = true;
                    s.elsewhere = Some(String::from("another org"));
                }),
                "Nothing is reported from here",
            ),
        ] {
            let verdict = verdict(&status);
            assert!(verdict.starts_with(said), "{verdict:?} is not {said:?}");
        }
        assert_eq!(verdict(&calm()), "Everything is reported");
    }

    #[test]
    fn each_alarm_says_what_to_do() {
        for (status, words) in [
            (
                with(down),
                ["Salesforce does not take reports.", "usage-sync check."],
            ),
            (
                with(|s| {
                    down(s);
                    s.salesforce.why = Some(String::from("the login is refused"));
                    s.salesforce.remedy = Some(String::from("look at the key"));
                }),
                ["The login is refused.", "Look at the key."],
            ),
            (
                with(|s| s.salesforce.up = None),
                ["No daemon", "heroku ps:scale worker=1."],
            ),
            (
                with(|s| (s.salesforce.up, s.queue) = (None, None)),
                ["Redis does not answer.", "correct REDIS_URL."],
            ),
            (
                with(|s| {
                    s.budget = Some(Budget { calls: 10, left: 0 });
                }),
                [
                    "The budget of API calls is used up.",
                    "SALESFORCE_API_BUDGET",
                ],
            ),
            (
                with(behind),
                ["Changes wait for long.", "usage-sync check."],
            ),
            (
                with(|s| s.elsewhere = Some(String::from("another org"))),
                ["Another org.", "Usage-sync check says what to do."],
            ),
            (
                with(|s| s.view = Some(String::from("no column x"))),
                ["No column x.", "Postgres' words."],
            ),
            (
                with(|s| s.unwatched = Some(String::from("ad has no trigger"))),
                ["Ad has no trigger.", "usage-sync backfill."],
            ),
        ] {
            let alarms = alarms(&status).into_string();
            assert_eq!(alarms.matches("class=\"alarm\"").count(), 1, "{alarms}");
            for words in words {
                assert!(alarms.contains(words), "{words:?} in {alarms}");
            }
        }
        let explained = with(|s| {
            behind(s);
            s.paused = true;
        });
        for status in [calm(), with(|s| s.pending = 2), explained] {
            assert_eq!(alarms(&status).into_string(), "");
        }
    }
}
