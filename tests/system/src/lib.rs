//! Black-box tests: checks what the built programs promise, from outside.
//!
//! - Starts the programs as an operator would ([`process`], [`program`], [`invocation`]), or all that make a
//!   system ([`programs`]), on each set of adapters ([`set`]) and the servers that it needs ([`services`],
//!   [`ground`]). Most tests begin with a [`stage`].
//! - Speaks HTTP to every `api` ([`servers`]) as a device would ([`client`], [`problem`], [`paging`],
//!   [`moment`]), as many devices at once ([`race`]), and as nobody should ([`wire`]).
//! - Holds the contract as data ([`operations`], [`windows`], [`exposition`]).
//! - Lets third-party tools judge the programs ([`tools`]).
//! - Loads a corpus of real chat ([`corpus`], [`loader`]) and reads it back ([`verify`], [`tally`]), also
//!   while programs, servers ([`live`], [`index`]) or the connections between them ([`proxy`]) fail.
//!
//! It depends on no other crate of the workspace: what it knows of them is the documented contract.
//! Only the tests of search use `chat_core::text`, the one place that defines what a match is.

pub mod client;
pub mod corpus;
pub mod exposition;
pub mod ground;
pub mod index;
pub mod invocation;
pub mod live;
pub mod loader;
pub mod moment;
pub mod operations;
pub mod paging;
pub mod problem;
pub mod process;
pub mod program;
pub mod programs;
pub mod proxy;
pub mod race;
mod redis;
pub mod servers;
pub mod services;
pub mod set;
pub mod stage;
pub mod tally;
pub mod tools;
pub mod verify;
pub mod windows;
pub mod wire;
