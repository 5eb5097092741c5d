//! The names of the keys, and the scripts: one file an operation.

use redis::Script;

use super::budget;

/// The keys of one installation, in one slot of a Redis Cluster.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) queue: String,
    pub(super) queued: String,
    pub(super) claimed: String,
    pub(super) retry: String,
    pub(super) suspects: String,
    pub(super) deaths: String,
    pub(super) filled: String,
    pub(super) budget: String,
    pub(super) salesforce: String,
    pub(super) token: String,
    pub(super) elsewhere: String,
    pub(super) view: String,
    pub(super) daemons: String,
    pub(super) crew: String,
    pub(super) samples: String,
}

/// One for each operation. Redis forgets them when it restarts; the crate then
/// loads them again.
pub(super) struct Scripts {
    pub(super) enqueue: Script,
    pub(super) offer: Script,
    pub(super) claim: Script,
    pub(super) claim_suspect: Script,
    pub(super) begin: Script,
    pub(super) done: Script,
    pub(super) retry: Script,
    pub(super) release: Script,
    pub(super) renew: Script,
    pub(super) recover: Script,
    pub(super) token: Script,
    pub(super) lives: Script,
    pub(super) crew: Script,
    pub(super) sample: Script,
    pub(super) budget: budget::Scripts,
}

impl Keys {
    pub(super) fn of(name: &str) -> Self {
        let key = |what: &str| format!("{{{name}}}:{what}");
        Self {
            queue: key("queue"),
            queued: key("queued"),
            claimed: key("claimed"),
            retry: key("retry"),
            suspects: key("suspects"),
            deaths: key("deaths"),
            filled: key("filled"),
            budget: key("budget"),
            salesforce: key("salesforce"),
            token: key("token"),
            elsewhere: key("elsewhere"),
            view: key("view"),
            daemons: key("daemons"),
            crew: key("crew"),
            samples: key("samples"),
        }
    }
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            enqueue: Script::new(include_str!("enqueue.lua")),
            offer: Script::new(include_str!("offer.lua")),
            claim: Script::new(include_str!("claim.lua")),
            claim_suspect: Script::new(include_str!("claim_suspect.lua")),
            begin: Script::new(include_str!("begin.lua")),
            done: Script::new(include_str!("done.lua")),
            retry: Script::new(include_str!("retry.lua")),
            release: Script::new(include_str!("release.lua")),
            renew: Script::new(include_str!("renew.lua")),
            recover: Script::new(include_str!("recover.lua")),
            token: Script::new(include_str!("token.lua")),
            lives: Script::new(include_str!("lives.lua")),
            crew: Script::new(include_str!("crew.lua")),
            sample: Script::new(include_str!("sample.lua")),
            budget: budget::Scripts::new(),
        }
    }
}
