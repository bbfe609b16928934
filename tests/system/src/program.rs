//! Starts the built programs as an operator would, watches them, and ends them.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use hyper::http::uri::Authority;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::client::Client;

/// How long a program may take until it answers, on a machine that is busy with other tests.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// The wait between two looks at something that is being waited for.
const POLL: Duration = Duration::from_millis(2);

/// Answers the folder with the built programs: `CHAT_BIN_DIR`, else the workspace's release folder.
#[must_use]
pub fn folder() -> PathBuf {
    env::var_os("CHAT_BIN_DIR")
        .map_or_else(|| workspace().join("target").join("release"), PathBuf::from)
}

/// Answers the root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_path_buf()
}

/// Answers the file of the built program `name`.
///
/// # Errors
///
/// Fails with what to do when it is not built.
pub fn built(name: &str) -> Result<PathBuf> {
    let file = folder().join(name);
    ensure!(
        file.is_file(),
        "the program `{name}` is not in `{}`: build it with `cargo build --release --workspace \
         --bins`, or name its folder in CHAT_BIN_DIR",
        folder().display()
    );
    Ok(file)
}

/// Makes an empty folder on the disk of the built programs.
///
/// The system's temporary folder may lie in memory, where keeping data safe costs nothing.
///
/// # Errors
///
/// Fails when the folder cannot be made.
pub fn scratch() -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("chat-system-")
        .tempdir_in(folder())
        .with_context(|| format!("making a folder in `{}`", folder().display()))
}

/// Finds a free port of loopback that no outgoing connection can be given.
///
/// A client that knocks at a dead server's port can be given that very port as its own and then
/// talks to itself, so the ports that systems hand out (32768 and above) are left alone.
///
/// # Errors
///
/// Fails when all are taken.
pub fn free_port() -> Result<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    /// Tests that run side by side, with process ids in a row, start this far apart.
    const APART: u32 = 101;
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let own = std::process::id().wrapping_mul(APART) % u32::from(COUNT);
    let own = u16::try_from(own).unwrap_or_default();
    for _ in 0..COUNT {
        let offset = own.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST + offset)).is_ok() {
            return Ok(FIRST + offset);
        }
    }
    bail!("no port from {FIRST} on is free")
}

/// What to start: a program file, its arguments and its environment.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program's file.
    pub file: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What is set in its environment, beside what it inherits.
    pub environment: Vec<(&'static str, OsString)>,
    /// The address that it is told to listen on.
    pub authority: Authority,
    /// Where its output goes, and where it is started.
    pub folder: PathBuf,
}

impl Launch {
    /// Describes an `api` on `folder` (data and log lie below it) and a free port.
    ///
    /// # Errors
    ///
    /// Fails when the program is not built or no port is free.
    pub fn api(folder: &Path) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        Ok(Self {
            file: built("api")?,
            arguments: Vec::new(),
            environment: vec![
                ("CHAT_LISTEN", OsString::from(&address)),
                ("CHAT_DATA", folder.join("data").into_os_string()),
            ],
            authority: address.parse().context("an address is an authority")?,
            folder: folder.to_path_buf(),
        })
    }

    /// Adds a setting.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Answers the file that the program's output is appended to.
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

/// A started program that answers HTTP, killed when dropped.
#[derive(Debug)]
pub struct Program {
    launch: Launch,
    child: Child,
    started_in: Duration,
}

impl Program {
    /// Starts it and waits until it answers that it lives.
    ///
    /// # Errors
    ///
    /// Fails with the end of its output when it ends or does not answer in time.
    pub async fn start(launch: Launch) -> Result<Self> {
        let start = Instant::now();
        let child = launch.spawn()?;
        let mut program = Self {
            launch,
            child,
            started_in: Duration::ZERO,
        };
        program.wait_until_live(start).await?;
        Ok(program)
    }

    async fn wait_until_live(&mut self, start: Instant) -> Result<()> {
        let mut client = self.client().with_deadline(Duration::from_secs(1));
        loop {
            let answer = client.get("/health/live").await;
            // Looked at in any case, so that nobody else's answer is taken for its own.
            if let Some(status) = self.child.try_wait().context("looking at the program")? {
                bail!(
                    "{} ended with {status}:\n{}",
                    self.name(),
                    self.last_output()
                );
            }
            if answer.is_ok_and(|answer| answer.status == 200) {
                self.started_in = start.elapsed();
                return Ok(());
            }
            if start.elapsed() > START_DEADLINE {
                let output = self.last_output();
                bail!(
                    "{} did not answer in {START_DEADLINE:?}:\n{output}",
                    self.name()
                );
            }
            sleep(POLL).await;
        }
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// Fails when it had ended by itself, which it should not.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("looking at the program")? {
            bail!(
                "{} had ended with {status}:\n{}",
                self.name(),
                self.last_output()
            );
        }
        self.child.kill().context("killing the program")?;
        self.child
            .wait()
            .context("waiting for the killed program")?;
        Ok(())
    }

    /// Asks it to end with SIGTERM and waits for its exit.
    ///
    /// # Errors
    ///
    /// Fails when it still runs after `deadline`.
    pub async fn stop(&mut self, deadline: Duration) -> Result<ExitStatus> {
        // The standard library sends no other signal than SIGKILL; every shell does.
        let sent = Command::new("sh")
            .args(["-c", "kill -s TERM \"$0\"", &self.child.id().to_string()])
            .status()
            .context("sending SIGTERM")?;
        ensure!(
            sent.success(),
            "SIGTERM could not be sent to {}",
            self.name()
        );
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

    /// Starts it again on the same folder and port.
    ///
    /// It must have been ended by [`kill`](Self::kill) or [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<()> {
        ensure!(
            self.child.try_wait()?.is_some(),
            "{} still runs",
            self.name()
        );
        let start = Instant::now();
        self.child = self.launch.spawn()?;
        self.wait_until_live(start).await
    }

    /// Answers how long the last start took until the first answer.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Reads how much memory of it is resident, in bytes.
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

    /// Makes a client with a connection of its own.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.launch.authority.clone())
    }

    /// Answers the address that it listens on.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.launch.authority
    }

    /// Answers what was started.
    #[must_use]
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    fn name(&self) -> String {
        let name = self.launch.file.file_name().unwrap_or_default();
        format!("`{}`", name.to_string_lossy())
    }

    fn last_output(&self) -> String {
        let log = fs::read(self.launch.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
