//! Runs what `tests/tools/install` installed: a linter, a fuzzer, a browser, a generator of clients.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{process::Command, time::timeout};

use crate::{process::forget_settings, program::workspace};

/// The variable that names the folder that the tools are installed in.
const FOLDER: &str = "CHAT_TEST_TOOLS";

/// The folder with the installed tools.
#[derive(Clone, Debug)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Finds the tools for the test `name`, or reports it as skipped where their folder is not named.
    ///
    /// Once `CHAT_TEST_TOOLS` names their folder, as `tests/run` does, a tool that is missing there
    /// fails the test.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let folder = env::var_os(FOLDER).map(PathBuf::from);
        if folder.is_none() {
            eprintln!("skipped: {name} needs the folder of `tests/tools/install` in {FOLDER}");
        }
        folder.map(|folder| Self { folder })
    }

    /// Prepares a run of an installed Python program.
    ///
    /// # Errors
    ///
    /// Fails where the program is not installed.
    pub fn python(&self, program: &str, home: &Path) -> Result<Run> {
        self.run(&format!("python/bin/{program}"), home)
    }

    /// Prepares a run of a JavaScript file, which lies beside the tools or in `tests/tools`.
    ///
    /// # Errors
    ///
    /// Fails where the program is not installed.
    pub fn node(&self, script: &str, home: &Path) -> Result<Run> {
        let installed = self.folder.join("node_modules").join(script);
        let script = if installed.exists() {
            installed
        } else {
            source(script)
        };
        Ok(self.run("node", home)?.argument(script))
    }

    /// Prepares a run of an installed program, with `home` as its home and working folder.
    ///
    /// # Errors
    ///
    /// Fails with what to do when it is not installed.
    fn run(&self, program: &str, home: &Path) -> Result<Run> {
        let file = self.folder.join(program);
        ensure!(
            file.exists(),
            "there is no `{}`: run tests/tools/install",
            file.display()
        );
        let mut command = std::process::Command::new(file);
        forget_settings(&mut command);
        let mut search: OsString = self.folder.join("python/bin").into();
        search.push(":");
        search.push(env::var_os("PATH").unwrap_or_default());
        command
            .env("PATH", search)
            .env("HOME", home)
            .env(FOLDER, &self.folder)
            // Whoever runs the tests may have a proxy for the world outside; the programs are not behind it.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .current_dir(home)
            .stdin(Stdio::null());
        Ok(Run {
            command: Command::from(command),
        })
    }

    /// Returns where to keep the file `name` for a look after the run: beside the tools' folder.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be made.
    pub fn artefact(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.with_file_name("artefacts");
        fs::create_dir_all(&folder).with_context(|| format!("making `{}`", folder.display()))?;
        Ok(folder.join(name))
    }
}

/// Returns the path of a file in `tests/tools`.
#[must_use]
pub fn source(name: &str) -> PathBuf {
    workspace().join("tests/tools").join(name)
}

/// A tool that is about to be run.
#[derive(Debug)]
pub struct Run {
    command: Command,
}

impl Run {
    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds a variable to its environment.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it, expects success, and returns its output, which is also kept in the file `log`.
    ///
    /// # Errors
    ///
    /// Fails with its output when it ends with another code than 0, or does not end in time; it
    /// is killed then.
    pub async fn succeed(mut self, log: &Path, deadline: Duration) -> Result<String> {
        let file = File::create(log).with_context(|| format!("making `{}`", log.display()))?;
        self.command
            .stdout(file.try_clone().context("sharing the log")?)
            .stderr(file)
            .kill_on_drop(true);
        let shown = format!("`{}`", self.command.as_std().get_program().display());
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("starting {shown}"))?;
        let ended = timeout(deadline, child.wait()).await;
        let said = fs::read(log).with_context(|| format!("reading `{}`", log.display()))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        match ended {
            Ok(Ok(status)) if status.success() => Ok(said),
            Ok(Ok(status)) => bail!("{shown} ended with {status}:\n{said}"),
            Ok(Err(error)) => Err(error).with_context(|| format!("waiting for {shown}")),
            Err(_) => bail!("{shown} did not end in {deadline:?}:\n{said}"),
        }
    }
}
