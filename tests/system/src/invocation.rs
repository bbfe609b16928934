//! Runs a program that is expected to end by itself, and keeps its output.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    process::forget_settings,
    program::{built, scratch},
};

/// How long it may take to end, unless more is given.
const DEADLINE: Duration = Duration::from_secs(10);

/// A program that is about to be run in an empty folder.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
    folder: TempDir,
    deadline: Duration,
}

impl Invocation {
    /// Prepares a run of the built program `name` without arguments and settings.
    ///
    /// # Errors
    ///
    /// Fails when it is not built.
    pub fn of(name: &str) -> Result<Self> {
        Self::of_file(built(name)?)
    }

    /// Prepares a run of any program, by its file or its name, without arguments and settings.
    ///
    /// # Errors
    ///
    /// Fails when its folder cannot be made.
    pub fn of_file(file: impl AsRef<OsStr>) -> Result<Self> {
        let folder = scratch()?;
        let mut command = Command::new(file);
        forget_settings(&mut command);
        command.current_dir(folder.path()).stdin(Stdio::null());
        Ok(Self {
            command,
            folder,
            deadline: DEADLINE,
        })
    }

    /// Gives it this long to end.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds a setting to its environment.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Writes a file into its folder, and passes it as `--config`.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn with_config(self, text: &str) -> Result<Self> {
        let file = self.folder.path().join("chat.toml");
        std::fs::write(&file, text).context("writing the config file")?;
        Ok(self.argument("--config").argument(file))
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// Fails when it does not end in time; it is killed then.
    pub async fn run(self) -> Result<Ended> {
        let shown = format!("{:?}", self.command);
        let mut command = tokio::process::Command::from(self.command);
        let output = timeout(self.deadline, command.kill_on_drop(true).output())
            .await
            .with_context(|| format!("{shown} did not end in {:?}", self.deadline))?
            .with_context(|| format!("running {shown}"))?;
        Ok(Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// How a program ended and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Ended {
    /// Returns both outputs as one text.
    #[must_use]
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}
