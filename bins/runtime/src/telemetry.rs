//! The log: text for people, JSON for programs, both to standard error.

use std::io::{self, IsTerminal as _};

use anyhow::{Result, anyhow};
use tracing_subscriber::EnvFilter;

use crate::settings::{LogForm, Settings};

/// Silences libraries that log as errors what they also return to their callers, which log it
/// themselves; the setting can name them to hear them after all.
const QUIET: &str = "lapin=off";

/// Starts the log.
///
/// # Errors
///
/// Fails when a log was started before.
pub fn start(settings: &Settings) -> Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", settings.log))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Otherwise a line that cannot be written (to a full disk, say) is reported by one more line there,
        // and failing to write that one panics, which ends the task that logs.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    let is_terminal = io::stderr().is_terminal();
    let started = match settings.log_form {
        LogForm::Auto if is_terminal => log.with_target(false).try_init(),
        LogForm::Text => log.with_target(false).with_ansi(is_terminal).try_init(),
        LogForm::Auto | LogForm::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow!(error).context("starting the log"))
}
