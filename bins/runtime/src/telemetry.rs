//! The log: text for people, JSON for programs, both to standard error.

use std::io::{self, IsTerminal as _};

use anyhow::{Result, anyhow};
use tracing_subscriber::EnvFilter;

use crate::settings::{LogForm, Settings};

/// Libraries that log as errors what their callers are told and log themselves; who wants to hear them
/// names them in the setting.
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
        // A line that cannot be written, as to a full disk, would be told by one more line there, and
        // failing to write that one ends the task that logs.
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
