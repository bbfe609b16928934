//! Tests beyond the laws: restarts, losses, limits and tampering, each on a server of its own.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

mod authority;
mod cluster;
mod entries;
mod joined;
mod limits;
mod losses;
mod one_by_one;
mod pending;
mod private_cluster;
mod private_server;
mod restarts;
mod system;
mod tls;
mod torn_log;
