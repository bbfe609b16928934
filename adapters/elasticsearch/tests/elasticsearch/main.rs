//! What the laws cannot test because it is specific to the server: its script, refusals and outages.

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
