//! Queries whose answer did not fit one page.

use std::collections::VecDeque;
use std::sync::Arc;

use super::id::Id;
use super::search::Plan;
use super::store::Key;

/// Cursors kept for everybody together; the oldest gives way. Salesforce
/// drops them after two days, or ten a user.
const MAX: usize = 1000;

/// The rows that a query found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) plan: Arc<Plan>,
    pub(crate) rows: Arc<[Key]>,
    /// Records that a page has room for, children counted.
    pub(crate) page: usize,
}

/// What is left to read.
#[derive(Debug)]
struct Cursor {
    locator: Id,
    user: usize,
    found: Found,
}

/// All open cursors.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    open: VecDeque<Cursor>,
    made: u32,
}

impl Cursors {
    /// Keeps the rows of a query; answers its locator.
    pub(crate) fn open(&mut self, user: usize, found: Found) -> Id {
        let locator = Id::new("01g", self.made);
        self.made += 1;
        if self.open.len() >= MAX {
            self.open.pop_front();
        }
        self.open.push_back(Cursor {
            locator,
            user,
            found,
        });
        locator
    }

    /// The rows of a locator, for the user who opened it.
    pub(crate) fn find(&self, user: usize, locator: &str) -> Option<(Id, Found)> {
        let found = self
            .open
            .iter()
            .find(|cursor| cursor.user == user && cursor.locator.as_str() == locator);
        found.map(|cursor| (cursor.locator, cursor.found.clone()))
    }

    /// Forgets them all.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }
}
