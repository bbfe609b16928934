//! What the laws cannot say, because it is the server's: its script, its refusals, its end.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

#[path = "../fresh/mod.rs"]
mod fresh;

mod absence;
mod bulk;
mod ending;
mod generations;
mod judging;
mod repair;
mod shelf;
mod stub;
mod tls;
