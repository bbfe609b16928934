//! A program's outline: its command line, its runtime, and the code that it ends with.

use std::{
    future::Future,
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{ArgMatches, Args};

use crate::settings::{Arguments, Given, Settings, SettingsError};

/// The exit code for a wrong setting.
const WRONG_SETTING: u8 = 2;

/// What the command line says.
pub struct CommandLine<Own> {
    /// The arguments of this program alone.
    pub own: Own,
    matches: ArgMatches,
}

impl<Own: Args> CommandLine<Own> {
    /// Reads the command line; ends the program where that asks for help, or makes no sense.
    ///
    /// # Errors
    ///
    /// Fails when the program's own arguments contradict their description.
    pub fn read(command: clap::Command) -> Result<Self> {
        let matches = Self::described(command).get_matches();
        let own = Own::from_arg_matches(&matches).context("reading the command line")?;
        Ok(Self { own, matches })
    }

    /// Adds the settings and the program's own arguments to its description.
    fn described(command: clap::Command) -> clap::Command {
        let about = command.get_about().cloned().unwrap_or_default();
        // Augmenting replaces the description by the doc comment of the arguments' struct.
        Own::augment_args(Arguments::augment_args(command)).about(about)
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// Fails with one sentence about the first that is wrong.
    pub fn settings(&self) -> Result<Settings, SettingsError> {
        // Settings may stand after a subcommand as well, and only the subcommand's own matches have those.
        let mut matches = &self.matches;
        while let Some((_, behind)) = matches.subcommand() {
            matches = behind;
        }
        Settings::try_from_given(&Given::try_new(matches)?)
    }
}

/// Writes a document to standard output.
///
/// # Errors
///
/// Fails when it cannot be written, as to a closed pipe.
pub fn print(document: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}", document.trim_end()).context("writing to standard output")
}

/// Runs a future on all cores.
///
/// # Errors
///
/// Fails as the future does, or when no threads can be started.
pub fn block_on(future: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("starting the threads")?;
    let outcome = runtime.block_on(future);
    // A thread that hangs in a system call must not keep the program alive.
    runtime.shutdown_background();
    outcome
}

/// Says what went wrong, once, and returns the exit code: 2 for a wrong setting, else 1.
#[must_use]
pub fn conclude(outcome: Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    if tracing::dispatcher::has_been_set() {
        tracing::error!("{error:#}");
    } else {
        // Nobody is left to tell when this fails.
        let _ = writeln!(io::stderr(), "error: {error:#}");
    }
    if error.is::<SettingsError>() {
        ExitCode::from(WRONG_SETTING)
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::CommandLine;

    #[derive(clap::Args)]
    struct Arguments {
        #[arg(long, global = true)]
        _once: bool,
    }

    #[test]
    fn settings_and_own_arguments_go_together() {
        let command = clap::Command::new("test").about("a test");
        let described = CommandLine::<Arguments>::described(command);
        assert_eq!(
            described.get_about().map(ToString::to_string).as_deref(),
            Some("a test")
        );
        described.debug_assert();
    }
}
