//! One run: daemons at work under a steady load, waiting until what the app
//! had committed is reported, and the end that must be exact.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::load::Load;
use super::{Arguments, Figure};
use crate::daemon::Daemon;
use crate::stage::Stage;
use crate::{Error, exact};

/// A run that stands still for this long has failed.
const PATIENCE: Duration = Duration::from_mins(3);
const LOOK: Duration = Duration::from_millis(10);
/// Ids that a load may use up.
const ROOM: u32 = 100_000;
/// Load ahead of the crash.
const WARM: Duration = Duration::from_secs(2);

/// The slowest of these ads, from its trigger to its report, by Postgres' clock.
const SLOWEST: &str = "
select coalesce(max(extract(epoch from reported_at - changed_at)), 0)::double precision
from usage_sync.ad where ad_id = any ($1::bigint[]::text[])";

/// What runs while something breaks.
pub(super) struct Scene<'a> {
    pub(super) stage: &'a mut Stage,
    /// Those that must live.
    pub(super) daemons: Vec<Daemon>,
    load: Option<Load>,
}

impl<'a> Scene<'a> {
    /// So many daemons under load, warmed up.
    pub(super) async fn under_load(
        stage: &'a mut Stage,
        daemons: usize,
        arguments: &Arguments,
    ) -> Result<Self, Error> {
        let mut scene = Self::quiet(stage, daemons)?;
        let (first, _) = scene.stage.number(ROOM);
        let load = Load::start(scene.stage.app.clone(), first, arguments.rate);
        scene.load = Some(load);
        sleep(WARM).await;
        let begun = scene.committed();
        scene.reported(&begun).await?;
        Ok(scene)
    }

    /// So many daemons and nothing to do.
    pub(super) fn quiet(stage: &'a mut Stage, daemons: usize) -> Result<Self, Error> {
        let salesforce = stage.org.ready.base_url.clone();
        let daemons = (0..daemons)
            .map(|_| stage.start_daemon(&salesforce))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            stage,
            daemons,
            load: None,
        })
    }

    /// One more daemon, the same as the others.
    pub(super) fn start_daemon(&mut self) -> Result<(), Error> {
        let salesforce = self.stage.org.ready.base_url.clone();
        self.daemons.push(self.stage.start_daemon(&salesforce)?);
        Ok(())
    }

    /// The ads of the load that are committed by now.
    pub(super) fn committed(&self) -> Vec<i64> {
        self.load.as_ref().map_or_else(Vec::new, Load::committed)
    }

    /// Waits until the app sees these ads as reported; answers when.
    pub(super) async fn reported(&mut self, ads: &[i64]) -> Result<Instant, Error> {
        self.until("that the ads are reported", async |stage| {
            // Postgres may be what is broken.
            Ok(stage.app.reported(ads).await.unwrap_or(false))
        })
        .await
    }

    /// From `start` until all that is committed by now is reported.
    pub(super) async fn recovery(&mut self, start: Instant) -> Result<Duration, Error> {
        let before = self.committed();
        Ok(self.reported(&before).await?.duration_since(start))
    }

    /// Waits until nothing is pending; answers when.
    pub(super) async fn settled(&mut self) -> Result<Instant, Error> {
        self.until("that nothing is pending", async |stage| {
            Ok(stage.app.pending().await? == 0)
        })
        .await
    }

    /// Waits for a condition; answers when it held.
    pub(super) async fn until(
        &mut self,
        what: &'static str,
        mut holds: impl AsyncFnMut(&Stage) -> Result<bool, Error>,
    ) -> Result<Instant, Error> {
        let start = Instant::now();
        loop {
            if holds(self.stage).await? {
                return Ok(Instant::now());
            }
            for daemon in &mut self.daemons {
                daemon.must_live()?;
                if start.elapsed() > PATIENCE {
                    return Err(daemon.late(what, PATIENCE));
                }
            }
            self.stage.org.must_live()?;
            sleep(LOOK).await;
        }
    }

    /// Whether a daemon that lives has said this.
    pub(super) fn said(&self, text: &str) -> bool {
        self.daemons
            .iter()
            .any(|daemon| daemon.log().contains(text))
    }

    /// Ends the load and the daemons, and the run counts if both sides agree.
    /// Answers how long the slowest ad of the load took.
    pub(super) async fn end(mut self) -> Result<Vec<Figure>, Error> {
        let mut figures = Vec::new();
        if let Some(load) = self.load.take() {
            let ads = load.committed();
            load.stop().await?;
            self.settled().await?;
            let slowest: f64 = sqlx::query_scalar(SLOWEST)
                .bind(&ads)
                .fetch_one(&self.stage.app.pool)
                .await?;
            figures.push(Figure::seconds(
                "the slowest ad of all, from commit to report",
                Duration::from_secs_f64(slowest),
            ));
        }
        self.settled().await?;
        for daemon in self.daemons.drain(..) {
            daemon.stop().await?;
        }
        exact::check(self.stage).await?;
        self.stage.org.take_counters().await?;
        Ok(figures)
    }
}
