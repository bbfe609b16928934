//! Starts the built programs that serve HTTP as an operator would, watches them, and ends them.

use std::{
    env,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use hyper::http::uri::Authority;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{
    client::Client,
    process::{Launch, Process},
};

/// How long a program may take until it answers, on a machine that is busy with other tests.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// The polling interval.
const POLL: Duration = Duration::from_millis(2);

/// Returns the folder with the built programs: `CHAT_BIN_DIR`, else that of the running program,
/// so that all are of one build.
#[must_use]
pub fn folder() -> PathBuf {
    env::var_os("CHAT_BIN_DIR").map_or_else(
        || {
            let running = env::current_exe().unwrap_or_default();
            let mut folders = running.ancestors().skip(1);
            let is_of_tests = |folder: &&Path| folder.ends_with("deps");
            let folder = folders.find(|folder| !is_of_tests(folder));
            folder.unwrap_or(Path::new(".")).to_path_buf()
        },
        PathBuf::from,
    )
}

/// Returns the root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_path_buf()
}

/// Returns the file of the built program `name`.
///
/// # Errors
///
/// Fails with what to do when it is not built.
pub fn built(name: &str) -> Result<PathBuf> {
    let file = folder().join(name);
    ensure!(
        file.is_file(),
        "the program `{name}` is not in `{}`: build it with `cargo build --workspace --bins`, and with \
         --release where this was, or name its folder in CHAT_BIN_DIR",
        folder().display()
    );
    Ok(file)
}

/// Makes an empty folder on the disk of the built programs.
///
/// The system's temporary folder may lie in memory, where durable writes cost nothing.
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
/// A client that connects to a dead server's port can be given that very port as its own and then
/// talks to itself, so the ephemeral ports (32768 and above) are left alone.
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

/// A started program that answers HTTP, killed when dropped.
#[derive(Debug)]
pub struct Program {
    process: Process,
    authority: Authority,
    started_in: Duration,
}

impl Program {
    /// Starts an `api` on `folder` (data and log lie below it) and a free port, with these settings.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start), and when the program is not built or no port is free.
    pub async fn api(folder: &Path, settings: &[(&'static str, &str)]) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let launch = Launch::of("api", folder)?
            .with("CHAT_LISTEN", &address)
            .with("CHAT_DATA", folder.join("data"))
            .with_all(settings.iter().copied());
        let authority = address.parse().context("an address is an authority")?;
        Self::start(launch, authority).await
    }

    /// Starts a program that listens on `authority`, and waits until it reports that it is live.
    ///
    /// # Errors
    ///
    /// Fails with the end of its output when it ends or does not answer in time.
    pub async fn start(launch: Launch, authority: Authority) -> Result<Self> {
        let start = Instant::now();
        let mut program = Self {
            process: Process::start(launch)?,
            authority,
            started_in: Duration::ZERO,
        };
        program.wait_until_live(start).await?;
        Ok(program)
    }

    async fn wait_until_live(&mut self, start: Instant) -> Result<()> {
        let mut client = self.client().with_deadline(Duration::from_secs(1));
        loop {
            let answer = client.get("/health/live").await;
            // Checked whatever the answer, which may be that of another process on this port.
            self.process.expect_running()?;
            if answer.is_ok_and(|answer| answer.status == 200) {
                self.started_in = start.elapsed();
                return Ok(());
            }
            if start.elapsed() > START_DEADLINE {
                let (name, output) = (self.process.name(), self.process.last_output());
                bail!("{name} did not answer in {START_DEADLINE:?}:\n{output}");
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
        self.process.kill()
    }

    /// Checks that it still runs.
    ///
    /// # Errors
    ///
    /// Fails with the end of its output when it has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        self.process.expect_running()
    }

    /// Asks it to end with SIGTERM and waits for its exit.
    ///
    /// # Errors
    ///
    /// Fails when it still runs after `deadline`.
    pub async fn stop(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.process.stop(deadline).await
    }

    /// Starts it again on the same folder and port.
    ///
    /// It must have been ended by [`kill`](Self::kill) or [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<()> {
        let start = Instant::now();
        self.process.restart()?;
        self.wait_until_live(start).await
    }

    /// Returns how long the last start took until the first HTTP answer.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Reads its resident memory, in bytes.
    ///
    /// # Errors
    ///
    /// Fails when it has ended, or where the system has no `/proc`.
    pub fn resident_bytes(&self) -> Result<u64> {
        self.process.resident_bytes()
    }

    /// Makes a client with a connection of its own.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.authority)
    }

    /// Returns the address that it listens on.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns what was started.
    #[must_use]
    pub fn launch(&self) -> &Launch {
        self.process.launch()
    }
}
