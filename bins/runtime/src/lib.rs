//! What every program of the chat backend does around its work.
//!
//! In the order of a program's life: [`program`] reads the command line, [`settings`] what it is told,
//! [`telemetry`] starts its log, [`wiring`] joins the adapters to the ports, [`running`] holds them while
//! [`duties`] works in the background, which [`metrics`](mod@metrics) counts, [`server`] accepts
//! connections, [`vitals`] asks what the program stands on, and [`lifecycle`] brings it to its end.

mod counts;
pub mod duties;
pub mod healthcheck;
pub mod lifecycle;
pub mod metrics;
pub mod panics;
pub mod program;
pub mod running;
pub mod server;
pub mod settings;
mod status;
pub mod telemetry;
pub mod vitals;
pub mod wiring;
