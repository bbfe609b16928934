//! Checks what the built programs promise, from outside.
//!
//! Starts the programs as an operator would ([`process`], [`program`], [`invocation`]), all that make a
//! system ([`programs`]) on each set of adapters ([`set`]), on servers where it needs some ([`services`],
//! [`ground`]): most tests begin with that ([`stage`]).
//! Speaks HTTP to every `api` of it ([`servers`]) as a device would ([`client`], [`problem`], [`paging`],
//! [`moment`]), as many devices at once ([`race`]), and as nobody should ([`wire`]).
//! Knows the contract as data ([`operations`], [`windows`], [`exposition`]).
//! Lets tools that others made judge them ([`tools`]).
//! A corpus of real chat ([`corpus`]) is sent to them ([`loader`]) and read back ([`verify`]), also while
//! programs and servers ([`live`], [`index`]) and the ways between them ([`proxy`]) are hurt ([`tally`]).
//! It depends on no other crate of the workspace: what it knows of them is the documented contract.
//! Tests of search alone ask `chat_core::text`, the one place that says what a match is.

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
