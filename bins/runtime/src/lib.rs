//! What every program of the chat backend does around its work.
//!
//! In the order of a program's life: [`program`] reads the command line, [`settings`] the settings,
//! [`telemetry`] starts its log, [`wiring`] joins the adapters to the ports, [`running`] holds them while
//! [`duties`] works in the background, which [`metrics`](mod@metrics) counts, [`server`] accepts
//! connections, [`vitals`] checks the health of the ports, and [`lifecycle`] shuts the program down.

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
