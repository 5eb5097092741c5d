//! The faults that strike a history: what they are called, what they concern,
//! how they begin and end.

use std::fmt;

use fastrand::Rng;
use usage_sync::sandbox::{Effect, Plan};

use super::app::ADS;

/// What a fault concerns. Two faults of one place never overlap, except at
/// Salesforce, where several plans may be at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Daemon(usize),
    Redis,
    Postgres,
    /// The wires of one daemon.
    RedisWire(usize),
    PostgresWire(usize),
    /// The wire of all daemons.
    SalesforceWire,
    Salesforce,
}

macro_rules! kinds {
    ($($kind:ident $name:literal,)*) => {
        /// What goes wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Kind { $($kind,)* }

        impl Kind {
            /// Every fault there is.
            pub(super) const ALL: &[Self] = &[$(Self::$kind,)*];

            /// What people call it.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    Kill "kill",
    Freeze "freeze",
    Stop "stop",
    Roll "roll",
    RedisFlush "redis_flush",
    RedisRestart "redis_restart",
    RedisLost "redis_lost",
    RedisFreeze "redis_freeze",
    RedisReadOnly "redis_readonly",
    RedisFull "redis_full",
    RedisKey "redis_key",
    RedisScripts "redis_scripts",
    RedisClients "redis_clients",
    RedisCut "redis_cut",
    RedisStall "redis_stall",
    RedisSwallow "redis_swallow",
    PostgresRestart "postgres_restart",
    PostgresKill "postgres_kill",
    PostgresTerminate "postgres_terminate",
    PostgresTerminateOne "postgres_terminate_one",
    PostgresReadOnly "postgres_readonly",
    PostgresCut "postgres_cut",
    PostgresStall "postgres_stall",
    PostgresSwallow "postgres_swallow",
    SalesforceCut "salesforce_cut",
    SalesforceStall "salesforce_stall",
    SalesforceSwallow "salesforce_swallow",
    DropBefore "drop_before",
    DropAfter "drop_after",
    LateLanding "late_landing",
    ServerError "server_error",
    HtmlPage "html_page",
    EmptyBody "empty_body",
    Hang "hang",
    LockRow "lock_row",
    SessionExpired "session_expired",
    LimitConcurrent "limit_concurrent",
    LimitDaily "limit_daily",
    Truncated "truncated",
    CutJson "cut_json",
    RecordError "record_error",
    Delay "delay",
}

/// A fault that is to strike.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) place: Place,
    /// Decides what the kind leaves open.
    pub(super) seed: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}", self.kind.name(), self.place)?;
        match self.plan() {
            Some(plan) => write!(f, " {}", serde_json::to_string(&plan).unwrap_or_default()),
            None => Ok(()),
        }
    }
}

/// How long after its connection a request may still be carried out: less
/// than the daemon's landing window.
const LATE: std::ops::Range<u64> = 50..1200;

impl Fault {
    /// A fault of a kind, at one of so many daemons where that matters.
    pub(super) fn random(kind: Kind, daemons: usize, dice: &mut Rng) -> Self {
        let daemon = dice.usize(..daemons);
        Self {
            kind,
            place: place(kind, daemon),
            seed: dice.u64(..),
        }
    }

    /// What the sandbox is told, if it is Salesforce that does wrong.
    pub(super) fn plan(&self) -> Option<Plan> {
        let mut dice = Rng::with_seed(self.seed);
        let effect = effect(self.kind, &mut dice)?;
        let often = [1.0, 0.5, 0.25, 0.1][dice.usize(..4)];
        let mut plan = Plan {
            probability: Some(often),
            seed: Some(dice.u64(..)),
            ..Plan::always(effect)
        };
        // Most strike only what writes, or of that only corrections; some also the
        // login and the probes.
        let struck = ["/composite", "/composite", "/composite/graph", ""][dice.usize(..4)];
        plan.path = Some(String::from(struck)).filter(|path| !path.is_empty());
        match self.kind {
            Kind::ServerError | Kind::HtmlPage | Kind::EmptyBody => plan.processed = dice.bool(),
            Kind::Hang => plan.times = Some(2),
            Kind::RecordError => {
                plan.path = None;
                plan.probability = None;
            }
            _ => {}
        }
        Some(plan)
    }
}

fn place(kind: Kind, daemon: usize) -> Place {
    match kind {
        Kind::Kill | Kind::Freeze | Kind::Stop | Kind::Roll => Place::Daemon(daemon),
        Kind::RedisFlush
        | Kind::RedisRestart
        | Kind::RedisLost
        | Kind::RedisFreeze
        | Kind::RedisReadOnly
        | Kind::RedisFull
        | Kind::RedisKey
        | Kind::RedisScripts
        | Kind::RedisClients => Place::Redis,
        Kind::RedisCut | Kind::RedisStall | Kind::RedisSwallow => Place::RedisWire(daemon),
        Kind::PostgresRestart
        | Kind::PostgresKill
        | Kind::PostgresTerminate
        | Kind::PostgresTerminateOne
        | Kind::PostgresReadOnly => Place::Postgres,
        Kind::PostgresCut | Kind::PostgresStall | Kind::PostgresSwallow => {
            Place::PostgresWire(daemon)
        }
        Kind::SalesforceCut | Kind::SalesforceStall | Kind::SalesforceSwallow => {
            Place::SalesforceWire
        }
        _ => Place::Salesforce,
    }
}

fn effect(kind: Kind, dice: &mut Rng) -> Option<Effect> {
    Some(match kind {
        Kind::DropBefore => Effect::DropBefore,
        Kind::DropAfter => Effect::DropAfter,
        Kind::LateLanding => Effect::LateLanding {
            after_ms: dice.u64(LATE),
        },
        Kind::ServerError => Effect::Error {
            status: 500,
            code: String::from("UNKNOWN_EXCEPTION"),
            message: String::from("An unexpected error occurred."),
        },
        Kind::HtmlPage => Effect::HtmlPage {
            status: [500, 502, 503][dice.usize(..3)],
        },
        Kind::EmptyBody => Effect::EmptyBody {
            status: [200, 500, 503][dice.usize(..3)],
        },
        Kind::Hang => Effect::Hang,
        Kind::LockRow => Effect::LockRow {
            every_row: dice.usize(1..4),
        },
        Kind::SessionExpired => Effect::SessionExpired { all: dice.bool() },
        Kind::LimitConcurrent => Effect::RequestLimit { concurrent: true },
        Kind::LimitDaily => Effect::RequestLimit { concurrent: false },
        Kind::Truncated => Effect::Truncate,
        Kind::CutJson => Effect::CutJson,
        Kind::RecordError => Effect::RecordError {
            code: String::from("FIELD_CUSTOM_VALIDATION_EXCEPTION"),
            message: String::from("This ad may not be."),
            fields: Vec::new(),
            external_ids: vec![format!("{}:*", dice.u32(1..=ADS))],
            every_row: 1,
        },
        Kind::Delay => Effect::Delay {
            ms: dice.u64(50..800),
        },
        _ => return None,
    })
}
