//! Random operations of several workers, some of which die, against a model.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use redis::{AsyncCommands, aio::MultiplexedConnection};
use usage_sync::queue::{Claim, DEATHS, Queue, Suspect};

use super::{Bench, LONG, OVER, bench, open, recover_expired};
use crate::support::{PATIENCE, wait_until};

const STEPS: usize = 600;
const IDS: u32 = 12;

/// What must hold, whatever the order in the list.
struct Model {
    rng: Rng,
    queue: Queue,
    /// The same queue as a worker sees it that dies at once.
    dying: Queue,
    other: MultiplexedConnection,
    hands: Vec<Claim>,
    dead: Vec<Claim>,
    /// Who has an id in hand, by the number of the claim.
    holder: BTreeMap<String, usize>,
    claims: usize,
    /// Ids that somebody has yet to take: they changed, or were put back.
    owed: BTreeSet<String>,
    /// Ids that wait out a backoff.
    resting: BTreeSet<String>,
    /// With which ids how many workers died, those included that have them in
    /// hand.
    deaths: BTreeMap<String, u32>,
    log: Vec<String>,
}

impl Model {
    fn some_ids(&mut self) -> Vec<String> {
        let count = self.rng.usize(1..4);
        (0..count)
            .map(|_| self.rng.u32(0..IDS).to_string())
            .collect()
    }

    async fn step(&mut self) {
        match self.rng.u32(0..13) {
            0..=2 => self.change().await,
            3 => self.offer().await,
            4 => self.push().await,
            5..=6 => self.claim().await,
            7..=8 => self.put_down().await,
            9 => self.die().await,
            10 => self.speak_from_the_grave().await,
            11 => self.claim_suspect().await,
            _ => self.renew().await,
        }
        self.check().await;
    }

    async fn change(&mut self) {
        let ids = self.some_ids();
        self.log.push(format!("change {ids:?}"));
        assert_eq!(self.queue.enqueue(&ids).await.unwrap(), 0);
        for id in ids {
            self.resting.remove(&id);
            self.owed.insert(id);
        }
    }

    async fn offer(&mut self) {
        let ids = self.some_ids();
        self.log.push(format!("offer {ids:?}"));
        assert_eq!(self.queue.offer(&ids).await.unwrap().refused, 0);
        for id in ids {
            if !self.holder.contains_key(&id) && !self.resting.contains(&id) {
                self.owed.insert(id);
            }
        }
    }

    async fn push(&mut self) {
        let id = self.some_ids().remove(0);
        self.log.push(format!("push {id}"));
        () = self.other.rpush("{usage-sync}:queue", &id).await.unwrap();
        self.owed.insert(id);
    }

    async fn claim(&mut self) {
        let most = self.rng.usize(1..5);
        let Some(claim) = self.queue.claim(most).await.unwrap() else {
            self.log.push(format!("claim {most}: none"));
            return;
        };
        self.log.push(format!("claim {most}: {:?}", claim.ids));
        for id in &claim.ids {
            let deaths = self.deaths.get(id).copied().unwrap_or_default();
            assert!(deaths < DEATHS, "{id} is a suspect\n{}", self.story());
        }
        self.took(claim).await;
    }

    async fn claim_suspect(&mut self) {
        let Some(Suspect { claim, deaths }) = self.queue.claim_suspect().await.unwrap() else {
            return;
        };
        self.log.push(format!("suspect {:?}", claim.ids));
        assert_eq!(self.deaths.get(&claim.ids[0]), Some(&deaths));
        assert!(deaths >= DEATHS && claim.ids.len() == 1);
        self.took(claim).await;
    }

    async fn took(&mut self, claim: Claim) {
        self.queue.begin(&claim).await.unwrap();
        self.claims += 1;
        for id in &claim.ids {
            *self.deaths.entry(id.clone()).or_default() += 1;
            let before = self.holder.insert(id.clone(), self.claims);
            assert_eq!(before, None, "{id} is in two hands\n{}", self.story());
            self.owed.remove(id);
            self.resting.remove(id);
        }
        self.hands.push(claim);
    }

    async fn put_down(&mut self) {
        if self.hands.is_empty() {
            return;
        }
        let index = self.rng.usize(0..self.hands.len());
        let mut claim = self.hands.swap_remove(index);
        let id = self.rng.choice(claim.ids.clone()).unwrap();
        let ids = vec![id.clone()];
        match self.rng.u32(0..4) {
            0..=1 => {
                self.log.push(format!("done {id}"));
                self.queue.done(&claim, &ids).await.unwrap();
                self.deaths.remove(&id);
            }
            2 => {
                self.log.push(format!("release {id}"));
                self.queue.release(&claim, &ids).await.unwrap();
                self.owed.insert(id.clone());
                if let Some(deaths) = self.deaths.get_mut(&id) {
                    *deaths -= 1;
                }
            }
            _ => {
                self.log.push(format!("retry {id}"));
                let pause = [(id.clone(), LONG)];
                self.queue.retry(&claim, &pause).await.unwrap();
                self.deaths.remove(&id);
                if !self.owed.contains(&id) {
                    self.resting.insert(id.clone());
                }
            }
        }
        self.holder.remove(&id);
        claim.forget(&ids);
        if !claim.ids.is_empty() {
            self.hands.push(claim);
        }
    }

    async fn die(&mut self) {
        let Some(claim) = self.dying.claim(2).await.unwrap() else {
            return;
        };
        self.log.push(format!("die with {:?}", claim.ids));
        self.dying.begin(&claim).await.unwrap();
        for id in &claim.ids {
            *self.deaths.entry(id.clone()).or_default() += 1;
            let holder = self.holder.get(id);
            assert_eq!(holder, None, "{id} is in two hands\n{}", self.story());
            self.owed.insert(id.clone());
            self.resting.remove(id);
        }
        recover_expired(&self.queue, claim.ids.len()).await;
        self.dead.push(claim);
    }

    async fn speak_from_the_grave(&mut self) {
        let Some(mut claim) = self.dead.pop() else {
            return;
        };
        self.log.push(format!("grave {:?}", claim.ids));
        let ids = claim.ids.clone();
        let retry: Vec<_> = ids.iter().map(|id| (id.clone(), OVER)).collect();
        self.dying.done(&claim, &ids).await.unwrap();
        self.dying.release(&claim, &ids).await.unwrap();
        self.dying.retry(&claim, &retry).await.unwrap();
        assert_eq!(self.dying.renew(&mut claim).await.unwrap(), ids);
    }

    async fn renew(&mut self) {
        if let Some(claim) = self.hands.last_mut() {
            let lost = self.queue.renew(claim).await.unwrap();
            assert_eq!(lost, [""; 0], "a living hand lost its ids");
        }
    }

    async fn check(&mut self) {
        let depth = self.queue.depth().await.unwrap();
        assert_eq!(depth.claimed, self.holder.len(), "{}", self.story());
        let ready: Vec<String> = self
            .other
            .lrange("{usage-sync}:queue", 0, -1)
            .await
            .unwrap();
        let suspects: Vec<String> = self
            .other
            .zrange("{usage-sync}:suspects", 0, -1)
            .await
            .unwrap();
        for id in &self.owed {
            assert!(
                ready.contains(id) || suspects.contains(id) || self.holder.contains_key(id),
                "{id} is lost\n{}",
                self.story()
            );
        }
    }

    /// Puts everything down and takes whatever is left: what was owed comes.
    async fn finish(mut self) {
        for claim in std::mem::take(&mut self.hands) {
            self.queue.done(&claim, &claim.ids).await.unwrap();
        }
        self.holder.clear();
        for id in std::mem::take(&mut self.resting) {
            let due: f64 = 1.0;
            () = self
                .other
                .zadd("{usage-sync}:retry", &id, due)
                .await
                .unwrap();
            self.owed.insert(id);
        }
        let story = self.story();
        wait_until("all that was owed", PATIENCE, async || {
            self.queue.recover().await.unwrap();
            while let Some(claim) = self.queue.claim(5).await.unwrap() {
                for id in &claim.ids {
                    self.owed.remove(id);
                }
                self.queue.done(&claim, &claim.ids).await.unwrap();
            }
            while let Some(Suspect { claim, .. }) = self.queue.claim_suspect().await.unwrap() {
                self.owed.remove(&claim.ids[0]);
                self.queue.done(&claim, &claim.ids).await.unwrap();
            }
            self.owed.is_empty()
        })
        .await;
        let depth = self.queue.depth().await.unwrap();
        assert_eq!(depth.total(), 0, "something is left over\n{story}");
        let marks: usize = self.other.scard("{usage-sync}:queued").await.unwrap();
        assert_eq!(marks, 0, "marks are left over\n{story}");
        let counts: usize = self.other.hlen("{usage-sync}:deaths").await.unwrap();
        assert_eq!(counts, 0, "deaths are left over\n{story}");
    }

    fn story(&self) -> String {
        self.log.join("\n")
    }
}

#[tokio::test]
async fn whatever_happens_no_id_is_in_two_hands_and_none_is_lost() {
    let Bench {
        server,
        queue,
        other,
    } = bench().await;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut model = Model {
        rng: Rng::with_seed(seed),
        dying: open(&server, 50_000, OVER).await,
        queue,
        other,
        hands: Vec::new(),
        dead: Vec::new(),
        holder: BTreeMap::new(),
        claims: 0,
        owed: BTreeSet::new(),
        resting: BTreeSet::new(),
        deaths: BTreeMap::new(),
        log: vec![format!("seed {seed}")],
    };

    for _ in 0..STEPS {
        model.step().await;
    }
    model.finish().await;
}
