//! What laws do not say: lost connections, silent brokers, strange entries, and who may not come in.

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
