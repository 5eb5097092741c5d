//! Pacing: a steady trickle while the org's calls run low. What it costs in
//! calls, and how long an ad waits for others to share its call.

use serde::Serialize;

use crate::latency::{self, Latency};
use crate::stage::Stage;
use crate::{Error, Mode, Options};

/// Of these the daemons may spend the default share of 80 %: 100,000 a day.
const ALLOWED: u64 = 125_000;
/// So much that the bucket begins with a tenth of its credit.
const USED: u64 = 60_000;

/// What a trickle took.
#[derive(Debug, Serialize)]
pub(crate) struct Paced {
    ads_a_second: u32,
    seconds: u32,
    calls_a_second: f64,
    #[serde(flatten)]
    latency: Latency,
}

/// Measures it.
pub(crate) async fn run(options: &Options) -> Result<Paced, Error> {
    let mut stage = Stage::set(options, Mode::Limit).await?;
    stage.org.allow(ALLOWED, USED).await?;
    let seconds = options.seconds.unwrap_or(60);
    let latency = latency::measure(&mut stage, options, seconds).await?;
    stage.check().await?;
    Ok(Paced {
        ads_a_second: options.rate,
        seconds,
        calls_a_second: f64::from(u32::try_from(latency.api_calls).unwrap_or(u32::MAX))
            / f64::from(seconds.max(1)),
        latency,
    })
}

impl Paced {
    /// For people or for programs.
    pub(crate) fn text(&self, json: bool) -> String {
        if json {
            return serde_json::to_string_pretty(self).unwrap_or_default();
        }
        let Latency {
            ads,
            p50_ms,
            p99_ms,
            max_ms,
            api_calls,
        } = self.latency;
        format!(
            "{ads} ads, {} a second: {api_calls} calls, {:.2} a second; \
             from commit to Salesforce p50 {p50_ms:.0} ms, p99 {p99_ms:.0} ms, max {max_ms:.0} ms",
            self.ads_a_second, self.calls_a_second
        )
    }
}
