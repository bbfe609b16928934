//! What the laws cannot say, because it is the server's: its plans, its locks, its texts, its end.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

#[path = "../fresh/mod.rs"]
mod fresh;

mod auditing;
mod calls;
mod cuts;
mod falling_silent;
mod generations;
mod opening;
mod plans;
mod private;
mod refusals;
mod stage;
mod storms;
mod texts;
mod upkeep;
