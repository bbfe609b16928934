//! Tests beyond the laws: lost connections, silent brokers, foreign entries, and refused users.

#![expect(
    clippy::unwrap_used,
    reason = "what a test needs and does not get fails it"
)]

mod broker;
mod entries;
mod losses;
#[path = "../named/mod.rs"]
mod named;
mod proxy;
mod refusals;
mod tls;
