//! Auditing and repairing, in a process of its own.
//!
//! On the embedded set, which belongs to one process, `api` does this itself.

use anyhow::Result;
use chat_runtime::{
    program::{CommandLine, print},
    settings::Backend,
};

/// The arguments of `sync` alone.
#[derive(clap::Args)]
struct Arguments {
    /// Audit once, and end
    #[arg(long, global = true)]
    once: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Audit at the set interval (the default)
    Run,
    /// End with code 0 if the audits go on
    Healthcheck,
}

/// Does what the command line asks for.
///
/// # Errors
///
/// Fails when a setting is wrong.
pub fn run() -> Result<()> {
    let command = clap::Command::new("sync")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Audits and repairs counts and pending creations");
    let line = CommandLine::<Arguments>::read(command)?;
    match (line.settings()?.backend, line.own.command, line.own.once) {
        (Backend::Embedded { .. }, None | Some(Command::Run | Command::Healthcheck), _) => {
            print("nothing to do: on the embedded set `api` does the work of `sync` itself")
        }
    }
}
