//! Starts a built program in the background, and ends it.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::{Instant, sleep};

use crate::program::built;

/// The polling interval.
const POLL: Duration = Duration::from_millis(2);

/// How many lines of a program's log are shown with a failed test.
const KEPT: usize = 200;

/// What to start: a program file, its arguments and its environment.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program's file.
    pub file: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What is set in its environment, beside what it inherits.
    pub environment: Vec<(&'static str, OsString)>,
    /// Where its output goes, and where it is started.
    pub folder: PathBuf,
}

impl Launch {
    /// Describes a run of the built program `name` that is started in `folder`.
    ///
    /// # Errors
    ///
    /// Fails when the program is not built.
    pub fn of(name: &str, folder: &Path) -> Result<Self> {
        Ok(Self {
            file: built(name)?,
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: folder.to_path_buf(),
        })
    }

    /// Adds a setting.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Adds settings.
    #[must_use]
    pub fn with_all<V: Into<OsString>>(
        self,
        settings: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Self {
        let settings = settings.into_iter();
        settings.fold(self, |launch, (name, value)| launch.with(name, value))
    }

    /// Returns the file that the program's output is appended to.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("output.log")
    }

    fn spawn(&self) -> Result<Child> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log());
        let log: File = log.with_context(|| format!("opening `{}`", self.log().display()))?;
        let mut command = Command::new(&self.file);
        forget_settings(&mut command);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stderr(log.try_clone().context("sharing the log")?)
            .stdout(log);
        command
            .spawn()
            .with_context(|| format!("starting `{}`", self.file.display()))
    }
}

/// Keeps the settings of whoever runs the tests away from the program.
pub(crate) fn forget_settings(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CHAT_") {
            command.env_remove(name);
        }
    }
}

/// A started program, killed when dropped.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be started.
    pub fn start(launch: Launch) -> Result<Self> {
        let child = launch.spawn()?;
        Ok(Self { launch, child })
    }

    /// Checks that it still runs.
    ///
    /// # Errors
    ///
    /// Fails with the end of its output when it has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("looking at the program")? {
            bail!(
                "{} had ended with {status}:\n{}",
                self.name(),
                self.last_output()
            );
        }
        Ok(())
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// Fails when it had ended by itself, which it should not.
    pub fn kill(&mut self) -> Result<()> {
        self.expect_running()?;
        self.child.kill().context("killing the program")?;
        self.child
            .wait()
            .context("waiting for the killed program")?;
        Ok(())
    }

    /// Suspends it by SIGSTOP: its connections stay open, and nothing comes from it.
    ///
    /// # Errors
    ///
    /// Fails when it had ended by itself, which it should not.
    pub fn stall(&mut self) -> Result<()> {
        self.expect_running()?;
        self.send("STOP")
    }

    /// Lets it go on after [`stall`](Self::stall).
    ///
    /// # Errors
    ///
    /// Fails when the signal cannot be sent.
    pub fn wake(&mut self) -> Result<()> {
        self.send("CONT")
    }

    fn send(&self, signal: &str) -> Result<()> {
        // The standard library can send no signal but SIGKILL; every shell can.
        let id = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$0\"", &id, signal])
            .status()
            .with_context(|| format!("sending SIG{signal}"))?;
        ensure!(
            sent.success(),
            "SIG{signal} could not be sent to {}",
            self.name()
        );
        Ok(())
    }

    /// Asks it to end with SIGTERM and waits for its exit.
    ///
    /// # Errors
    ///
    /// Fails when it still runs after `deadline`.
    pub async fn stop(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.send("TERM")?;
        let give_up = Instant::now() + deadline;
        loop {
            if let Some(status) = self.child.try_wait().context("looking at the program")? {
                return Ok(status);
            }
            if Instant::now() > give_up {
                let output = self.last_output();
                bail!(
                    "{} still ran {deadline:?} after SIGTERM:\n{output}",
                    self.name()
                );
            }
            sleep(POLL).await;
        }
    }

    /// Starts it again in the same folder.
    ///
    /// It must have been ended by [`kill`](Self::kill) or [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// Fails when it still runs, or cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(
            self.child.try_wait()?.is_some(),
            "{} still runs",
            self.name()
        );
        self.child = self.launch.spawn()?;
        Ok(())
    }

    /// Reads its resident memory, in bytes.
    ///
    /// # Errors
    ///
    /// Fails when it has ended, or where the system has no `/proc`.
    pub fn resident_bytes(&self) -> Result<u64> {
        let file = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&file).with_context(|| format!("reading `{file}`"))?;
        let kibibytes: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
            .with_context(|| format!("no VmRSS in `{file}`"))?
            .trim()
            .parse()
            .context("reading VmRSS")?;
        Ok(kibibytes * 1024)
    }

    /// Returns what was started.
    #[must_use]
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    pub(crate) fn name(&self) -> String {
        let name = self.launch.file.file_name().unwrap_or_default();
        format!("`{}`", name.to_string_lossy())
    }

    /// Returns the last lines of its output.
    pub(crate) fn last_output(&self) -> String {
        end_of(&self.launch.log(), 20)
    }
}

/// Returns the last lines of a log; none where there is no such file.
pub(crate) fn end_of(log: &Path, lines: usize) -> String {
    let log = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        // The log is deleted with the folder. Test runners show this when the test has failed.
        let log = self.launch.log();
        let said = end_of(&log, KEPT);
        if !said.is_empty() {
            eprintln!("--- the end of {}:\n{said}", log.display());
        }
    }
}
