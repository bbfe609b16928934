//! Auditing, repairing and rebuilding, in a process of its own.
//!
//! On the embedded set, which belongs to one process, `api` does this itself; a single audit or rebuild
//! can be run here while no `api` runs.

use anyhow::Result;
use chat_runtime::{
    duties, healthcheck,
    program::{CommandLine, block_on, print},
    settings::Backend,
    telemetry,
};

mod audit;
mod rebuild;

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
    /// Rebuild the search index from the database, with a progress bar, and end
    RebuildSearch,
    /// End with code 0 if the servers that it needs answer
    Healthcheck,
}

/// Does what the command line asks for.
///
/// # Errors
///
/// Fails when a setting is wrong, or what was asked for cannot be done.
pub fn run() -> Result<()> {
    let command = clap::Command::new("sync")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Audits and repairs counts and pending creations");
    let line = CommandLine::<Arguments>::read(command)?;
    let settings = line.settings()?;
    match (line.own.command, &settings.backend) {
        (Some(Command::RebuildSearch), _) => {
            telemetry::start(&settings)?;
            block_on(rebuild::run(&settings))
        }
        (None | Some(Command::Run), _) if line.own.once => {
            telemetry::start(&settings)?;
            block_on(audit::once(&settings))
        }
        (_, Backend::Embedded { .. }) => {
            print("nothing to do: on the embedded set `api` does the work of `sync` itself")
        }
        (None | Some(Command::Run), Backend::Live(_)) => {
            telemetry::start(&settings)?;
            let interval = settings.audit_interval;
            block_on(duties::go_on(&settings, "sync", |duties| {
                duties.audit(interval);
            }))
        }
        (Some(Command::Healthcheck), Backend::Live(_)) => block_on(healthcheck::run(&settings)),
    }
}
