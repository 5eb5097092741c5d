//! The faults that the promise is held against, one file for each part that
//! they strike. docs/reliability.md lists them; the number in the name of a test
//! is the one that its fault has there.

mod deaths;
mod place;
mod redis;
