//! What the laws cannot test because it is specific to the server: plans, locks, texts and crashes.

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
