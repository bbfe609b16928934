//! Adapters that are wrong in one way each, to show that the tests would notice.

#![expect(dead_code, reason = "each test that includes this uses a part of it")]

mod counters;
pub(crate) mod pending;
mod queues;
mod repositories;
pub(crate) mod searches;
mod shim;
pub(crate) mod storing;

pub(crate) use counters::*;
pub(crate) use queues::*;
pub(crate) use repositories::*;
