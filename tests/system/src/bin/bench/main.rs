//! Compares creates by the built `api` with the same web framework doing nothing, and times searches.
//!
//! Absolute rates say more about the machine than about the program.
//! The ratio of the two, measured in alternating rounds on the same machine, carries over.

mod bed;
mod creates;
mod found;
mod no_io;
mod recorder;
mod report;
mod searched;
mod searches;
mod stored;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Result;
use bed::Sync;
use clap::{Args, Parser, Subcommand};

/// Measures the built api.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compares creates with the same web framework doing nothing.
    Creates(CreatesArguments),
    /// Loads an `api` and a `worker` on Redis and MariaDB, and compares what is stored the same way.
    Stored(StoredArguments),
    /// Measures how soon a message is found on Elasticsearch, while others are created at a steady rate.
    Found(FoundArguments),
    /// Compares searches through an `api` with the same requests sent straight to Elasticsearch.
    Searched(SearchedArguments),
    /// Measures how long searches take, in a chat of 10,000 messages and in one with the whole corpus.
    Searches(SearchesArguments),
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
    /// Measures on servers that it starts, Redis syncing like this; without it on the embedded set.
    #[arg(long, value_name = "SYNC")]
    redis: Option<Sync>,
    /// The lowest ratio to the server without I/O that is a success.
    #[arg(long, value_name = "RATIO")]
    at_least: Option<f64>,
}

#[derive(Clone, Debug, Args)]
struct StoredArguments {
    /// How long the load lasts.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How many connections send at the same time, each into a chat of its own.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// How Redis brings writes to its disk.
    #[arg(long, value_name = "SYNC", default_value = "always")]
    redis: Sync,
    /// Starts Elasticsearch too, and counts what is indexed.
    #[arg(long)]
    indexed: bool,
    /// The most creations that may wait to be stored at once.
    #[arg(long, value_name = "COUNT")]
    waiting_at_most: Option<u32>,
    /// The lowest ratio to the server without I/O that is a success.
    #[arg(long, value_name = "RATIO")]
    at_least: Option<f64>,
}

#[derive(Clone, Debug, Args)]
struct FoundArguments {
    /// How many messages are created a second.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_second: u32,
    /// How long the load lasts.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How Redis brings writes to its disk.
    #[arg(long, value_name = "SYNC", default_value = "always")]
    redis: Sync,
    /// The most milliseconds after which 99 of 100 messages may be found.
    #[arg(long, value_name = "MS")]
    at_most_ms: Option<f64>,
}

impl CreatesArguments {
    fn round(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[derive(Clone, Debug, Args)]
struct SearchedArguments {
    /// How long each round lasts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How many rounds each side gets; they take turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How many messages of the corpus the chat has.
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    messages: usize,
    /// The lowest ratio to Elasticsearch alone that is a success.
    #[arg(long, value_name = "RATIO")]
    at_least: Option<f64>,
}

#[derive(Clone, Debug, Args)]
struct SearchesArguments {
    /// How long the smaller chat is searched.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// The corpus to fill the chats with; by default where the tests look for it.
    #[arg(long, value_name = "FILE")]
    corpus: Option<PathBuf>,
    /// The most that 99 of 100 searches of the smaller chat may take.
    #[arg(long, value_name = "MS")]
    small_at_most_ms: Option<f64>,
    /// The most that 99 of 100 searches of the larger chat may take.
    #[arg(long, value_name = "MS")]
    large_at_most_ms: Option<f64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Creates(arguments) => creates::run(&arguments).await,
        Command::Stored(arguments) => stored::run(&arguments).await,
        Command::Found(arguments) => found::run(&arguments).await,
        Command::Searched(arguments) => searched::run(&arguments).await,
        Command::Searches(arguments) => searches::run(&arguments).await,
        Command::ServeNoIo { listen } => no_io::serve(listen).await,
    }
}
