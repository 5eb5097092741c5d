//! Parcels that are ready: sent as soon as their contracts are free, or put
//! back unsent.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Event, Worker, gate::Cause, prepare::Parcel, settle};
use crate::watchdog;

/// If nothing was sent and nothing landed for so long, though there is room,
/// all that waits stands behind a slow contract: then others are looked for.
pub(super) const STUCK: Duration = Duration::from_secs(1);

/// What then waits beyond this many parcels for each request is put back.
const AHEAD: usize = 2;

impl Worker {
    pub(super) fn has_in_hand(&self) -> bool {
        self.in_flight + self.lanes.waiting() > 0
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.gate.is_open()
            && self.lanes.waiting() > 0
            && self.in_flight < self.context.options.concurrency
            && self.moved.elapsed() >= STUCK
    }

    /// Sends the next parcel whose contracts are free, if there is one.
    pub(super) fn send_one(&mut self, trial: bool) -> bool {
        if self.standing.borrow().is_barred() {
            return false;
        }
        let Some((contracts, parcel)) = self.startable() else {
            return false;
        };
        self.in_flight += 1;
        self.moved = Instant::now();
        let (context, witness) = (Arc::clone(&self.context), Arc::clone(&self.witness));
        if trial {
            self.trial.sends(parcel.ids());
        }
        let refused_before = trial && self.gate.closed_for() == Some(Cause::Configuration);
        self.spawn(context.options.silence, "a delivery", async move {
            let landed =
                settle::deliver_and_settle(&context, &witness, parcel, refused_before).await;
            Event::Landed {
                trial,
                contracts,
                landed,
            }
        });
        true
    }

    /// The next parcel whose contracts are free. Where this process was frozen,
    /// or Redis away, for longer than the lease, another hand may have the ads
    /// and knows better what to send.
    fn startable(&mut self) -> Option<(HashSet<String>, Parcel)> {
        while let Some((contracts, parcel)) = self.lanes.start() {
            if parcel.ads.iter().all(|ad| parcel.hand.holds(&ad.ad_id)) {
                return Some((contracts, parcel));
            }
            self.lanes.finish(&contracts);
            let context = Arc::clone(&self.context);
            self.spawn(watchdog::PATIENCE, "putting back", async move {
                settle::abandon(&context, parcel).await;
                Event::PutBack
            });
        }
        None
    }

    /// Starts what can be started, and puts back what would only lengthen the
    /// line behind a slow contract.
    pub(super) fn put_back_surplus(&mut self) {
        let concurrency = self.context.options.concurrency;
        while self.in_flight < concurrency && self.send_one(false) {}
        self.put_back_beyond(AHEAD * concurrency);
    }

    pub(super) fn put_back_beyond(&mut self, most: usize) {
        for parcel in self.lanes.surplus(most) {
            let context = Arc::clone(&self.context);
            self.spawn(watchdog::PATIENCE, "putting back", async move {
                settle::put_back(&context, parcel).await;
                Event::PutBack
            });
        }
    }

    /// Gives back what waits: nothing of it was sent.
    pub(super) async fn give_back(&mut self) {
        for parcel in self.lanes.clear() {
            settle::abandon(&self.context, parcel).await;
        }
    }
}
