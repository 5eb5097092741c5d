//! Places where a test lets the process die, panic, hang or stop: each step of a
//! delivery and of capture, and each loop.
//!
//! Only with the feature `failpoints`; without it a point is nothing at all.
//! `FAILPOINT` in the environment says what happens where, as in
//! `Answered:kill:2,CaptureLoop:hang`: the point, what to do there, and at
//! which of its hits (the first, unless given).

/// Names the points, and lists them.
macro_rules! points {
    ($($(#[$doc:meta])* $point:ident,)*) => {
        /// A place in the daemon.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point { $($(#[$doc])* $point,)* }

        impl Point {
            /// Every point there is.
            pub const ALL: &[Self] = &[$(Self::$point,)*];
        }
    };
}

points! {
    /// Ids were taken from the queue.
    Claimed,
    /// The fence's transaction is open.
    FenceBegun,
    /// The ads have new tokens, not yet on disk.
    FenceTaken,
    /// What a dead hand sent is in doubt now, not yet on disk.
    FenceTakenOver,
    /// View and ledger were read.
    FenceRead,
    /// An intent was written, not yet on disk.
    FenceIntended,
    /// The fence is about to be committed.
    FenceCommitting,
    /// The fence is on disk, and nothing was sent yet.
    FenceCommitted,
    /// A request is about to leave.
    Sending,
    /// It was answered, and nothing of that is written down.
    Answered,
    /// A request of graphs is about to leave.
    SendingUnit,
    /// It was answered.
    AnsweredUnit,
    /// Records in doubt were looked up.
    LookedUp,
    /// The transaction of the answers is open.
    RecordBegun,
    /// It is about to be committed.
    Recording,
    /// The answers are in the ledger, and the queue does not know.
    Recorded,
    /// What is settled was put down.
    PutDown,
    /// What is to be tried again was put down.
    Retried,
    /// What was not tried was given back.
    Released,
    /// An intent was taken back, and its ads are still in hand.
    Abandoned,
    /// A lease is about to be renewed.
    Renewing,
    /// A lease was renewed.
    Renewed,
    /// Dead workers' ids were put at the tail.
    Recovered,
    /// A batch of the outbox is about to be moved.
    MoveBegun,
    /// It was moved, not yet committed.
    Moving,
    /// It is pending, and Redis does not know.
    Moved,
    /// Redis was told.
    Pushed,
    /// A page of pending ads was read.
    SweepRead,
    /// Redis was offered it.
    SweepOffered,
    /// A page of the ads that a truncation concerns is pending.
    TruncationPage,
    /// All pages are, and the truncation still stands in the outbox.
    TruncationMoved,
    /// LISTEN was said, and nobody was woken yet.
    Listening,
    /// One round of the delivery loop.
    WorkerLoop,
    /// One look at the outbox.
    CaptureLoop,
    /// One heartbeat of the listener.
    ListenerLoop,
    /// One publication of Salesforce's health.
    MetricsLoop,
    /// One round of the journal's loop.
    JournalLoop,
}

#[cfg(feature = "failpoints")]
pub(crate) use armed::at;

/// Nothing.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn at(_point: Point) -> std::future::Ready<()> {
    std::future::ready(())
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::{
        sync::{
            LazyLock,
            atomic::{AtomicU32, Ordering},
        },
        time::Duration,
    };

    use super::Point;

    /// Longer than any test.
    const FOR_EVER: Duration = Duration::from_hours(1);

    /// What is to happen at one point.
    struct Order {
        point: String,
        action: Action,
        hits_left: AtomicU32,
    }

    #[derive(Clone, Copy)]
    enum Action {
        /// The process is gone, and nothing is cleaned up.
        Kill,
        /// The task panics.
        Panic,
        /// The task never goes on.
        Hang,
        /// Nor does its thread.
        Block,
        /// The whole process stands still until it is told to go on.
        Stop,
    }

    static ORDERS: LazyLock<Vec<Order>> = LazyLock::new(|| {
        let orders = std::env::var("FAILPOINT").unwrap_or_default();
        orders.split(',').filter_map(order).collect()
    });

    fn order(text: &str) -> Option<Order> {
        let mut parts = text.split(':');
        let point = parts.next()?.to_owned();
        let action = match parts.next()? {
            "kill" => Action::Kill,
            "panic" => Action::Panic,
            "hang" => Action::Hang,
            "block" => Action::Block,
            "stop" => Action::Stop,
            _ => return None,
        };
        let hit = parts.next().map_or(Some(1), |hit| hit.parse().ok())?;
        let hits_left = AtomicU32::new(hit);
        Some(Order {
            point,
            action,
            hits_left,
        })
    }

    /// Does here what was ordered for this point.
    pub(crate) async fn at(point: Point) {
        let name = || format!("{point:?}");
        let Some(order) = ORDERS.iter().find(|order| order.point == name()) else {
            return;
        };
        if order.hits_left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        match order.action {
            Action::Kill => std::process::abort(),
            Action::Panic => panic!("fail point {point:?}"),
            Action::Hang => std::future::pending().await,
            Action::Block => std::thread::sleep(FOR_EVER),
            Action::Stop => {
                // It cannot be refused.
                let _stopped = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
            }
        }
    }
}
