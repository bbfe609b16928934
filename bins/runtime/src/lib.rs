//! What every program of the chat backend does around its work.
//!
//! In the order of a program's life: [`program`] reads the command line, [`settings`] what it is told,
//! [`telemetry`] starts its log, [`wiring`] joins the adapters to the ports, [`duties`] works in the
//! background and counts it in [`metrics`](mod@metrics), and [`lifecycle`] brings it to its end.

pub mod duties;
pub mod healthcheck;
pub mod lifecycle;
pub mod metrics;
mod no_search;
pub mod program;
pub mod settings;
pub mod telemetry;
pub mod wiring;
