//! Checks what the built programs promise, from outside.
//!
//! Starts the programs as an operator would ([`program`], [`invocation`], [`stage`]).
//! Speaks HTTP to them as a device would ([`client`], [`problem`]).
//! A corpus of real chat ([`corpus`]) is sent to them ([`loader`]) and read back ([`verify`]).
//! It depends on no other crate of the workspace: what it knows of them is the documented contract.

pub mod client;
pub mod corpus;
pub mod invocation;
pub mod loader;
pub mod problem;
pub mod program;
pub mod stage;
pub mod verify;
