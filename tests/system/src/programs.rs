//! The programs of one system: one `api` on the embedded set, and on the live ones enough of each to
//! get into each other's way.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use hyper::http::uri::Authority;

use crate::{
    process::{Launch, Process},
    program::Program,
    servers::Servers,
};

/// How many `api` and how many `worker` are started where there may be many.
const EACH: usize = 2;

/// How often `sync` audits, in seconds: it must find what is stranded within a test.
const AUDIT: &str = "5";

/// A setting in a program's environment.
pub type Setting<'a> = (&'static str, &'a str);

/// The started programs, killed when dropped; none by default.
#[derive(Debug, Default)]
pub struct Programs {
    /// What clients talk to.
    pub apis: Vec<Program>,
    /// What stores, on a set where `api` does not.
    pub workers: Vec<Process>,
    /// What audits, on a set where `api` does not.
    pub sync: Option<Process>,
}

impl Programs {
    /// Starts an `api` that does everything, on `folder`.
    ///
    /// # Errors
    ///
    /// As for [`Program::api`].
    pub async fn embedded(folder: &Path, settings: &[Setting<'_>]) -> Result<Self> {
        Ok(Self {
            apis: vec![Program::api(folder, settings).await?],
            workers: Vec::new(),
            sync: None,
        })
    }

    /// Starts two `api`, two `worker` and a `sync` that share the servers of the settings.
    ///
    /// Each has a folder of its own below `folder`.
    ///
    /// # Errors
    ///
    /// Fails when one of them does not start.
    pub async fn live(folder: &Path, settings: &[Setting<'_>]) -> Result<Self> {
        Self::live_apart(folder, [settings; EACH]).await
    }

    /// Starts the same, where the programs may reach the servers in two ways.
    ///
    /// The `sync` and the first `api` and `worker` take the first one, the second of each the other.
    ///
    /// # Errors
    ///
    /// As for [`live`](Self::live).
    pub async fn live_apart(folder: &Path, ways: [&[Setting<'_>]; EACH]) -> Result<Self> {
        // No order is needed: the schema is made by whoever comes first, and all wait for it.
        let sync = start("sync", "sync", folder, ways[0])?;
        let (mut workers, mut folders) = (Vec::new(), Vec::new());
        for (number, settings) in (1..).zip(ways) {
            let name = format!("worker-{number}");
            workers.push(start("worker", &name, folder, settings)?);
            folders.push((made(folder, &format!("api-{number}"))?, settings));
        }
        let apis = folders.iter();
        let apis = apis.map(|(folder, settings)| Program::api(folder, settings));
        Ok(Self {
            apis: try_join_all(apis).await?,
            workers,
            sync: Some(sync),
        })
    }

    /// Returns the address of every `api`.
    #[must_use]
    pub fn servers(&self) -> Servers {
        let apis = self.apis.iter();
        apis.map(|api| Authority::clone(api.authority())).collect()
    }

    /// Kills all of them as `kill -9` does.
    ///
    /// # Errors
    ///
    /// Fails when one had ended by itself, which it should not.
    pub fn kill(&mut self) -> Result<()> {
        for api in &mut self.apis {
            api.kill()?;
        }
        for process in self.workers.iter_mut().chain(&mut self.sync) {
            process.kill()?;
        }
        Ok(())
    }

    /// Starts all of them again, and waits until every `api` answers.
    ///
    /// # Errors
    ///
    /// Fails when one still runs, or does not start.
    pub async fn restart(&mut self) -> Result<()> {
        for process in self.workers.iter_mut().chain(&mut self.sync) {
            process.restart()?;
        }
        try_join_all(self.apis.iter_mut().map(Program::restart)).await?;
        Ok(())
    }

    /// Returns the resident memory of the largest one, in bytes.
    ///
    /// # Errors
    ///
    /// As for [`Process::resident_bytes`].
    pub fn largest_resident_bytes(&self) -> Result<u64> {
        let apis = self.apis.iter().map(Program::resident_bytes);
        let others = self.workers.iter().chain(&self.sync);
        apis.chain(others.map(Process::resident_bytes))
            .try_fold(0, |largest, bytes| Ok(bytes?.max(largest)))
    }

    /// Checks that none has ended by itself.
    ///
    /// # Errors
    ///
    /// Fails with the end of the output of one that has.
    pub fn expect_running(&mut self) -> Result<()> {
        for api in &mut self.apis {
            api.expect_running()?;
        }
        for process in self.workers.iter_mut().chain(&mut self.sync) {
            process.expect_running()?;
        }
        Ok(())
    }
}

/// Starts a `worker` or a `sync`; its fixed name lets it find again what it held when it was killed.
fn start(program: &str, name: &str, folder: &Path, settings: &[Setting]) -> Result<Process> {
    let launch = Launch::of(program, &made(folder, name)?)?;
    let launch = launch
        .with("CHAT_NAME", name)
        .with("CHAT_SYNC_SECONDS", AUDIT);
    Process::start(launch.with_all(settings.iter().copied()))
}

fn made(folder: &Path, name: &str) -> Result<std::path::PathBuf> {
    let folder = folder.join(name);
    fs::create_dir(&folder).with_context(|| format!("making `{}`", folder.display()))?;
    Ok(folder)
}
