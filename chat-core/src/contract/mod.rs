//! Each port's laws as tests, to check an adapter with.
//!
//! A law is an async function that panics where an adapter breaks it.
//! The macros turn all laws of a port into named tests:
//!
//! ```
//! # use chat_core::memory::Memory;
//! mod counter {
//!     use super::*;
//!     chat_core::contract::counter_contract!(async { Some((Memory::new().ports(), ())) });
//! }
//! # fn main() {}
//! ```
//!
//! The argument is an async expression, evaluated anew for every law.
//! It answers the ports over an *empty namespace* (a key prefix, a database, an index of their own),
//! so that laws run in parallel, and a guard that lives as long as the law runs, such as a temporary
//! folder; or `None` where the backend is not there, and the law is skipped.
//! Ports that are not being checked come from [`Memory`](crate::memory::Memory).

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::unused_async,
    reason = "a law is a test: it panics where an adapter breaks it"
)]

pub mod clock;
pub mod counter;
pub mod queue;
pub mod repository;
pub mod search;
pub mod tokens;

mod scene;

pub use scene::Scene;

pub use crate::{
    __clock_contract as clock_contract, __counter_contract as counter_contract,
    __counter_forgetting_contract as counter_forgetting_contract,
    __queue_contract as queue_contract, __repository_contract as repository_contract,
    __search_contract as search_contract, __tokens_contract as tokens_contract,
};

/// Runs one law on a runtime of its own.
///
/// # Panics
///
/// Panics where the law is broken, and where no runtime can be made.
pub fn run<T, G>(maker: impl Future<Output = Option<(T, G)>>, law: impl AsyncFnOnce(T)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("the system gives threads");
    runtime.block_on(async {
        if let Some((ports, guard)) = maker.await {
            law(ports).await;
            drop(guard);
        }
    });
}

/// Makes a test of each law of a port.
#[doc(hidden)]
#[macro_export]
macro_rules! __laws {
    ($port:ident, $maker:expr, [$($law:ident,)+]) => {
        $(
            #[test]
            fn $law() {
                $crate::contract::run($maker, $crate::contract::$port::$law);
            }
        )+
    };
}
