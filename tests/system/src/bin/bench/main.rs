//! Compares creates by the built `api` with the same web framework doing nothing.
//!
//! Absolute rates say more about the machine than about the program.
//! The ratio of the two, measured in alternating rounds on the same machine, carries over.

mod creates;
mod no_io;
mod report;

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Compares creates by the built api with the same web framework doing nothing.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures how many messages a second are created.
    Creates(CreatesArguments),
    /// Serves the same request without any I/O; `creates` starts it by itself.
    #[command(hide = true)]
    ServeNoIo {
        /// The address to listen on.
        #[arg(long)]
        listen: SocketAddr,
    },
}

#[derive(Clone, Debug, Args)]
struct CreatesArguments {
    /// How long each round lasts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How many rounds each server gets; they take turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How many connections send at the same time, each into a chat of its own.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// The lowest ratio to the server without I/O that is a success.
    #[arg(long, value_name = "RATIO")]
    at_least: Option<f64>,
}

impl CreatesArguments {
    fn round(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Creates(arguments) => creates::run(&arguments).await,
        Command::ServeNoIo { listen } => no_io::serve(listen).await,
    }
}
