//! Storing what `api` accepted, in a process of its own.
//!
//! On the embedded set, which belongs to one process, `api` does this itself.

use anyhow::Result;
use chat_runtime::{
    program::{CommandLine, print},
    settings::Backend,
};

/// The arguments of `worker` alone.
#[derive(clap::Args)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Store what was accepted (the default)
    Run,
    /// End with code 0 if the work goes on
    Healthcheck,
}

/// Does what the command line asks for.
///
/// # Errors
///
/// Fails when a setting is wrong.
pub fn run() -> Result<()> {
    let command = clap::Command::new("worker")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Stores what `api` accepted");
    let line = CommandLine::<Arguments>::read(command)?;
    match (line.settings()?.backend, line.own.command) {
        (Backend::Embedded { .. }, None | Some(Command::Run | Command::Healthcheck)) => {
            print("nothing to do: on the embedded set `api` does the work of `worker` itself")
        }
    }
}
