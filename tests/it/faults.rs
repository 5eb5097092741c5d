//! The faults that the promise is held against, one file for each part that
//! they strike. The number in a name is the fault's in the list.

mod deaths;
mod redis;
