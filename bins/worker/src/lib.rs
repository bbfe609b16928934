//! Storing what `api` accepted, and carrying it into the search index, in a process of its own.
//!
//! What cannot be stored or indexed is set aside as dead letters, which an operator lists, replays and drops
//! here. On the embedded set, which belongs to one process, `api` does all this itself.

use anyhow::{Result, bail};
use chat_runtime::{
    duties, healthcheck,
    program::{CommandLine, block_on, print},
    settings::Backend,
    telemetry,
};

mod dead_letters;
mod shown;

/// The arguments of `worker` alone.
#[derive(clap::Args)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Store what was accepted, and index it (the default)
    Run,
    /// Handle what could not be stored or indexed
    #[command(subcommand)]
    DeadLetters(dead_letters::Action),
    /// End with code 0 if the servers that it needs answer
    Healthcheck,
}

/// Does what the command line asks for.
///
/// # Errors
///
/// Fails when a setting is wrong, a server cannot be used, or what was asked for cannot be done.
pub fn run() -> Result<()> {
    let command = clap::Command::new("worker")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Stores what `api` accepted, and carries it into the search index");
    let line = CommandLine::<Arguments>::read(command)?;
    let settings = line.settings()?;
    match (line.own.command, &settings.backend) {
        (Some(Command::DeadLetters(_)), Backend::Embedded { .. }) => bail!(dead_letters::ELSEWHERE),
        (Some(Command::DeadLetters(action)), Backend::Live(_)) => {
            telemetry::start(&settings)?;
            block_on(dead_letters::run(&settings, action))
        }
        (_, Backend::Embedded { .. }) => {
            print("nothing to do: on the embedded set `api` does the work of `worker` itself")
        }
        (None | Some(Command::Run), Backend::Live(_)) => {
            telemetry::start(&settings)?;
            block_on(duties::go_on(&settings, "worker", |duties| {
                duties.persist();
                duties.index();
            }))
        }
        (Some(Command::Healthcheck), Backend::Live(_)) => block_on(healthcheck::run(&settings)),
    }
}
