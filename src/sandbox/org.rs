//! The org: its schema, its rows, its open queries.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::cursors::Cursors;
use super::history::History;
use super::refusal::Refusal;
use super::schema::Schema;
use super::store::{Key, Store};

/// Everything that one process knows of its org.
pub(crate) struct Org {
    /// Shared, so that it can be read while rows change.
    pub(crate) schema: Arc<Schema>,
    pub(crate) store: Store,
    pub(crate) cursors: Cursors,
    pub(crate) history: History,
    /// Shrinks the pages of queries, which Salesforce is free to do.
    pub(crate) page_size: Option<usize>,
    /// Answers an unknown field or a wrong type in one record of a
    /// collection by refusing the whole call. No source settles which it is,
    /// so clients have to live with both.
    pub(crate) strict_collections: bool,
}

/// What one call finds different from usual.
#[derive(Debug, Default, Clone)]
pub(crate) struct Circumstances {
    /// Rows that somebody else holds: no write below them succeeds.
    pub(crate) locked: HashSet<Key>,
    /// Refusals that were asked for.
    pub(crate) staged: Vec<StagedRefusal>,
}

/// A refusal of records that would be fine otherwise.
#[derive(Debug, Clone)]
pub(crate) struct StagedRefusal {
    pub(crate) refusal: Refusal,
    /// External ids; one that ends in `*` stands for all that begin like it.
    /// Empty: every record.
    pub(crate) external_ids: Vec<String>,
    /// Of those, every how manieth.
    pub(crate) every: usize,
}

/// One call at work on the org: who it is for, and what it touched.
pub(crate) struct Session<'o> {
    pub(crate) org: &'o mut Org,
    pub(crate) schema: Arc<Schema>,
    pub(crate) user: usize,
    pub(crate) circumstances: &'o Circumstances,
    /// The parents whose locks this call needs.
    pub(crate) touched: HashSet<Key>,
    /// Records that it tried to write.
    pub(crate) written: usize,
    pub(crate) tally: Tally,
    /// How often each staged refusal met a record of this call.
    pub(crate) staged_hits: Vec<usize>,
    pub(crate) now: i64,
}

/// Records that were changed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Inserted.
    pub created: u64,
    /// Changed, or sent unchanged.
    pub updated: u64,
    /// Put into the recycle bin.
    pub deleted: u64,
}

impl Org {
    /// An empty org.
    pub(crate) fn new(schema: Schema) -> Self {
        Self {
            store: Store::new(&schema),
            schema: Arc::new(schema),
            cursors: Cursors::default(),
            history: History::default(),
            page_size: None,
            strict_collections: false,
        }
    }

    /// Makes everything since the last commit final.
    pub(crate) fn commit(&mut self) {
        self.history.note(&self.schema, &self.store);
        self.store.commit();
    }

    /// Begins a call of a user.
    pub(crate) fn session<'o>(
        &'o mut self,
        user: usize,
        circumstances: &'o Circumstances,
    ) -> Session<'o> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Session {
            schema: Arc::clone(&self.schema),
            org: self,
            user,
            circumstances,
            touched: HashSet::new(),
            written: 0,
            tally: Tally::default(),
            staged_hits: vec![0; circumstances.staged.len()],
            now: i64::try_from(now).unwrap_or(i64::MAX),
        }
    }
}

/// A point in a call that can be returned to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Savepoint {
    mark: usize,
    tally: Tally,
}

impl Session<'_> {
    /// Marks this point.
    pub(crate) fn savepoint(&self) -> Savepoint {
        Savepoint {
            mark: self.org.store.mark(),
            tally: self.tally,
        }
    }

    /// Takes back every change since.
    pub(crate) fn roll_back(&mut self, savepoint: Savepoint) {
        self.org.store.rollback(&self.schema, savepoint.mark);
        self.tally = savepoint.tally;
    }
}
