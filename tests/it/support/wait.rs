//! Waiting for a condition, never for a time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Long enough for a busy machine; only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(10);

/// Asks until the answer is yes; fails with `what` in its message when it is
/// still no after `patience`.
///
/// `what` completes "waited for ...".
#[track_caller]
pub(crate) fn wait_until<C>(
    what: &str,
    patience: Duration,
    condition: C,
) -> impl Future<Output = ()>
where
    C: AsyncFnMut() -> bool,
{
    // An async function would report its own line instead of the test's.
    let caller = std::panic::Location::caller();
    poll(caller, what, patience, condition)
}

async fn poll<C>(
    caller: &std::panic::Location<'_>,
    what: &str,
    patience: Duration,
    mut condition: C,
) where
    C: AsyncFnMut() -> bool,
{
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(
            Instant::now() < deadline,
            "{caller}: waited {patience:?} in vain for {what}"
        );
        sleep(POLL).await;
    }
}

#[tokio::test]
async fn waiting_ends_when_the_condition_holds() {
    let mut asked = 0;

    wait_until("the third question", PATIENCE, async || {
        asked += 1;
        asked == 3
    })
    .await;

    assert_eq!(asked, 3);
}

#[tokio::test]
#[should_panic(expected = "in vain for the moon to fall")]
async fn waiting_in_vain_names_what_was_waited_for() {
    wait_until("the moon to fall", POLL, async || false).await;
}
