//! Brings back what nobody has in hand: ids of dead workers, those whose pause
//! is over, and those that Redis has lost.

use super::Context;
use crate::{
    failpoint::{self, Point},
    queue::Error,
};

/// Brings back what waits for nobody; answers how many ads wait to be handled
/// alone.
pub(super) async fn recover(context: &Context) -> Result<usize, Error> {
    let recovered = context.queue.recover().await?;
    failpoint::at(Point::Recovered).await;
    if recovered.expired > 0 {
        tracing::warn!(
            count = recovered.expired,
            "took over ads whose worker gave no sign of life"
        );
    }
    if recovered.lost > 0 {
        tracing::warn!(
            count = recovered.lost,
            "queued ads anew that redis had lost"
        );
    }
    // Who died may have made ads pending without telling Redis of them, and what
    // Redis had lost may have found no room.
    if recovered.emptied || recovered.expired + recovered.lost > 0 {
        context.sweep.notify_one();
    }
    if recovered.expired + recovered.due + recovered.lost > 0 {
        context.pushed.notify_one();
    }
    Ok(recovered.suspects)
}
