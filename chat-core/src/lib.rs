//! The domain of a chat backend: what is numbered, kept, read and found.
//!
//! An application has chats, numbered from 1; a chat has messages, numbered from 1; creating one
//! answers its number at once, and from then on it is kept.
//! This crate holds the rules and does no I/O: it reaches the outside world through [`ports`], which
//! adapters implement with one technology each, and [`service`] holds what the system does over them.
//!
//! In reading order:
//!
//! 1. [`model`]: the values, valid by construction.
//! 2. [`ports`]: what the system needs from the outside, one port a file, each with its laws.
//! 3. [`service`]: what the system does.
//! 4. [`text`]: what search means: words, matches and ranks.
//! 5. `memory` (feature `memory`): every port in memory, for tests, prototypes and simulation.
//! 6. `contract` (feature `contract`): each port's laws as tests, to check an adapter with.
//! 7. [`promised`]: what the system promises as a whole, what voids that, and the tests that show it.
//!
//! Feature `mocks` adds a mockall mock of every port, such as `ports::MockCounter`.
//!
//! # Writing an adapter
//!
//! 1. Implement the port's trait; its doc says what must hold.
//! 2. Mount its laws in `tests/contract.rs`: `chat_core::contract::counter_contract!(ports())`, where
//!    the argument is an async expression that yields [`Ports`](ports::Ports) over an empty
//!    namespace.
//! 3. Put it into a [`Ports`](ports::Ports) and hand that to the services.

#[cfg(feature = "contract")]
pub mod contract;
pub mod model;
pub mod ports;
pub mod service;
pub mod text;

#[cfg(feature = "memory")]
pub mod memory;

#[doc = include_str!("promised.md")]
pub mod promised {}

mod error;

pub use error::{Chain, PortError, PortErrorKind};
