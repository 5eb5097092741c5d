//! The faults that the promise is held against, one file for each part that
//! they strike. docs/reliability.md lists them; the number in the name of a test
//! is the one that its fault has there.

mod app;
mod commands;
mod deaths;
#[cfg(feature = "failpoints")]
mod failpoints;
mod hands;
mod landing;
mod listener;
mod moves;
mod pace;
mod place;
mod postgres;
mod process;
mod redis;
mod salesforce;
mod stop;
mod survivor;
mod units;
mod view;
