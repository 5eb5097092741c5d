//! Faults on demand: what goes wrong, with which requests, how often.
//!
//! A plan names the requests it is for; the first plan that takes a request
//! decides what happens to it.

use serde::{Deserialize, Serialize};

/// What goes wrong, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What happens to a request that is taken.
    pub effect: Effect,
    /// Only requests with this method.
    pub method: Option<String>,
    /// Only requests whose path and query hold this.
    pub path: Option<String>,
    /// Only requests whose body holds this.
    pub body: Option<String>,
    /// Of those, every how manieth; default every one.
    pub every: Option<u64>,
    /// Of those, at most this many.
    pub times: Option<u64>,
    /// Of those, with this probability.
    pub probability: Option<f64>,
    /// Makes the probability's dice repeatable.
    pub seed: Option<u64>,
    /// The request is carried out all the same, though the answer denies it.
    /// For effects that answer in the place of the sandbox.
    #[serde(default)]
    pub processed: bool,
}

impl Plan {
    /// Strikes every request; narrow it down with the other fields.
    pub fn always(effect: Effect) -> Self {
        Self {
            effect,
            method: None,
            path: None,
            body: None,
            every: None,
            times: None,
            probability: None,
            seed: None,
            processed: false,
        }
    }
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// The connection closes, nothing was done.
    DropBefore,
    /// It was done, and the connection closes without an answer.
    DropAfter,
    /// The connection closes now, and the request is carried out later.
    LateLanding {
        /// How much later.
        after_ms: u64,
    },
    /// The request is carried out when `Sandbox::land` says so, which may be
    /// long after the client gave it up. The connection closes now, or hangs.
    Withhold {
        /// It hangs.
        #[serde(default)]
        hangs: bool,
    },
    /// An error array with any status.
    Error {
        /// HTTP status.
        status: u16,
        /// `errorCode`.
        code: String,
        /// What it says.
        message: String,
    },
    /// A refusal in the words of the token endpoint, with status 400.
    LoginRefused {
        /// Such as `invalid_grant`.
        error: String,
        /// What it says.
        description: String,
    },
    /// A page as a load balancer sends it.
    HtmlPage {
        /// HTTP status.
        status: u16,
    },
    /// No body at all.
    EmptyBody {
        /// HTTP status.
        status: u16,
    },
    /// 401 `INVALID_SESSION_ID`; the token of the request dies, or all do.
    SessionExpired {
        /// Every token dies.
        #[serde(default)]
        all: bool,
    },
    /// 403 `REQUEST_LIMIT_EXCEEDED` with the words for the daily limit, or
    /// for too many long calls at once.
    RequestLimit {
        /// The second meaning.
        #[serde(default)]
        concurrent: bool,
    },
    /// Rows are refused with `UNABLE_TO_LOCK_ROW`.
    LockRow {
        /// Every how manieth row; default every one.
        #[serde(default)]
        every_row: usize,
    },
    /// Records are refused with any code.
    RecordError {
        /// `statusCode` or `errorCode`.
        code: String,
        /// What it says.
        message: String,
        /// Fields that it names.
        #[serde(default)]
        fields: Vec<String>,
        /// External ids, `*` at the end for a beginning; default all.
        #[serde(default)]
        external_ids: Vec<String>,
        /// Of those, every how manieth; default every one.
        #[serde(default)]
        every_row: usize,
    },
    /// It takes longer, and is then done and answered.
    Delay {
        /// How much longer.
        ms: u64,
    },
    /// It is never answered, and not done.
    Hang,
    /// It was done; less comes than `Content-Length` promised.
    Truncate,
    /// It was done; the answer is complete as HTTP and cut as JSON.
    CutJson,
    /// It was done; the answer does not end.
    EndlessBody,
    /// It was done; the answer is padded to this size.
    OversizedBody {
        /// Bytes.
        bytes: usize,
    },
}

/// A plan at work.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Active {
    pub(crate) id: u64,
    #[serde(flatten)]
    plan: Plan,
    /// Requests that it was for.
    matched: u64,
    /// Requests that it took.
    pub(crate) hits: u64,
    #[serde(skip)]
    dice: fastrand::Rng,
}

/// All plans, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    active: Vec<Active>,
    made: u64,
}

impl Faults {
    /// Adds a plan; answers its number.
    pub(crate) fn add(&mut self, plan: Plan) -> u64 {
        self.made += 1;
        let dice = plan
            .seed
            .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        self.active.push(Active {
            id: self.made,
            plan,
            matched: 0,
            hits: 0,
            dice,
        });
        self.made
    }

    /// Removes one plan, or all.
    pub(crate) fn remove(&mut self, id: Option<u64>) {
        self.active
            .retain(|active| id.is_some_and(|id| id != active.id));
    }

    pub(crate) fn list(&self) -> &[Active] {
        &self.active
    }

    /// What happens to this request: the effect, and whether the request is
    /// carried out although the answer denies it.
    pub(crate) fn pick(&mut self, method: &str, path: &str, body: &[u8]) -> Option<(Effect, bool)> {
        self.active.iter_mut().find_map(|active| {
            active
                .takes(method, path, body)
                .then(|| (active.plan.effect.clone(), active.plan.processed))
        })
    }
}

impl Active {
    fn takes(&mut self, method: &str, path: &str, body: &[u8]) -> bool {
        let plan = &self.plan;
        let matches = plan
            .method
            .as_deref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && plan.path.as_deref().is_none_or(|part| path.contains(part))
            && plan
                .body
                .as_deref()
                .is_none_or(|part| contains(body, part.as_bytes()));
        if !matches {
            return false;
        }
        self.matched += 1;
        let taken = plan.times.is_none_or(|times| self.hits < times)
            && self.matched.is_multiple_of(plan.every.unwrap_or(1).max(1))
            && plan
                .probability
                .is_none_or(|probability| self.dice.f64() < probability);
        self.hits += u64::from(taken);
        taken
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str) -> Plan {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_plan_takes_every_nth_request_it_is_for_so_many_times() {
        let mut faults = Faults::default();
        faults.add(plan(
            r#"{"effect":{"kind":"hang"},"method":"post","body":"u-1","every":2,"times":2}"#,
        ));

        let mut taken = |method, body: &str| faults.pick(method, "/x", body.as_bytes()).is_some();

        assert!(!taken("GET", "u-1"));
        assert!(!taken("POST", "u-2"));
        let posts: Vec<bool> = (0..6).map(|_| taken("POST", "a u-1 b")).collect();
        assert_eq!(posts, [false, true, false, true, false, false]);
    }

    #[test]
    fn the_same_seed_throws_the_same_dice() {
        let run = || {
            let mut faults = Faults::default();
            faults.add(plan(
                r#"{"effect":{"kind":"hang"},"probability":0.5,"seed":7}"#,
            ));
            (0..64)
                .map(|_| faults.pick("GET", "/", b"").is_some())
                .collect::<Vec<_>>()
        };

        let first = run();

        assert_eq!(first, run());
        assert!(first.contains(&true) && first.contains(&false));
    }
}
