//! Queries whose answer did not fit one page.

use std::collections::VecDeque;
use std::sync::Arc;

use super::id::Id;
use super::search::Plan;
use super::store::Key;

/// Cursors kept for everybody together; the oldest gives way. Salesforce
/// drops them after two days, or ten a user.
const MAX: usize = 1000;

/// What is left to read.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    locator: Id,
    pub(crate) user: usize,
    pub(crate) plan: Arc<Plan>,
    pub(crate) rows: Arc<[Key]>,
    pub(crate) page: usize,
}

/// All open cursors.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    open: VecDeque<Cursor>,
    made: u32,
}

impl Cursors {
    /// Keeps the rows of a query; answers its locator.
    pub(crate) fn open(
        &mut self,
        user: usize,
        plan: Arc<Plan>,
        rows: Arc<[Key]>,
        page: usize,
    ) -> Id {
        let locator = Id::new("01g", self.made);
        self.made += 1;
        if self.open.len() >= MAX {
            self.open.pop_front();
        }
        self.open.push_back(Cursor {
            locator,
            user,
            plan,
            rows,
            page,
        });
        locator
    }

    /// The cursor of a locator, for the user who opened it.
    pub(crate) fn find(&self, user: usize, locator: &str) -> Option<Cursor> {
        let found = self
            .open
            .iter()
            .find(|cursor| cursor.user == user && cursor.locator.as_str() == locator);
        found.cloned()
    }

    /// Forgets them all.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }
}
