//! What is measured: the yardstick, and an `api` on one of the sets of adapters.

use std::env;

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::Client,
    exposition::Exposition,
    process::{Launch, Process},
    program::{Program, free_port, scratch},
    programs::Setting,
    services::{SERVERS, Services, urls},
};
use clap::ValueEnum;
use hyper::http::uri::Authority;
use tempfile::TempDir;

/// More than a round can fill, in megabytes.
const BACKLOG: &str = "8192";

/// How Redis brings writes to its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sync {
    /// Before it answers them.
    Always,
    /// Once a second.
    Everysec,
}

impl Sync {
    fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Everysec => "everysec",
        }
    }
}

/// Starts this program as the same framework doing nothing; its folder ends with it.
///
/// # Errors
///
/// Fails when it does not start.
pub(crate) async fn yardstick() -> Result<(Program, TempDir)> {
    let folder = scratch()?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let no_io = Launch {
        file: env::current_exe().context("finding this program's file")?,
        arguments: ["serve-no-io", "--listen", &address]
            .map(Into::into)
            .to_vec(),
        environment: Vec::new(),
        folder: folder.path().to_path_buf(),
    };
    let authority = address.parse().context("an address is an authority")?;
    Ok((Program::start(no_io, authority).await?, folder))
}

/// An `api`, and what it needs; ended in this order when dropped.
pub(crate) struct Bed {
    api: Program,
    worker: Option<Process>,
    services: Option<Services>,
    folder: TempDir,
}

impl Bed {
    /// Starts an `api` on the embedded set.
    ///
    /// # Errors
    ///
    /// Fails when it does not start.
    pub(crate) async fn embedded() -> Result<Self> {
        let folder = scratch()?;
        Ok(Self {
            api: Program::api(folder.path(), &[]).await?,
            worker: None,
            services: None,
            folder,
        })
    }

    /// Starts Redis, MariaDB and an `api` on them, without a worker.
    ///
    /// # Errors
    ///
    /// Fails when one of them does not start.
    pub(crate) async fn live(sync: Sync) -> Result<Self> {
        let services = Services::new("bench")?.with("CHAT_REDIS_SYNC", sync.as_str());
        services.up(&SERVERS).await?;
        let settings = services.settings().await?;
        let mut settings: Vec<Setting<'_>> = urls(&settings);
        settings.push(("CHAT_BACKLOG_MEGABYTES", BACKLOG));
        let folder = scratch()?;
        Ok(Self {
            api: Program::api(folder.path(), &settings).await?,
            worker: None,
            services: Some(services),
            folder,
        })
    }

    /// Starts a worker.
    ///
    /// # Errors
    ///
    /// Fails when it does not start, and on the embedded set, which needs none.
    pub(crate) async fn work(&mut self) -> Result<()> {
        let services = self.services.as_ref().context("the set needs no worker")?;
        let settings = services.settings().await?;
        let folder = self.folder.path().join("worker");
        std::fs::create_dir_all(&folder)?;
        let launch = Launch::of("worker", &folder)?;
        let settings = urls(&settings);
        let launch = settings
            .into_iter()
            .fold(launch, |launch, (name, value)| launch.with(name, value));
        self.worker = Some(Process::start(launch)?);
        Ok(())
    }

    /// Kills the worker, where there is one.
    ///
    /// # Errors
    ///
    /// Fails when it had ended by itself.
    pub(crate) fn rest(&mut self) -> Result<()> {
        self.worker
            .take()
            .map_or(Ok(()), |mut worker| worker.kill())
    }

    /// Where the `api` is.
    pub(crate) fn authority(&self) -> &Authority {
        self.api.authority()
    }

    /// Asks how many creations wait to be stored.
    ///
    /// # Errors
    ///
    /// Fails when the `api` does not tell.
    pub(crate) async fn waiting(&self) -> Result<f64> {
        waiting(&mut self.api.client()).await
    }
}

/// Asks how many creations wait to be stored.
///
/// # Errors
///
/// Fails when the `api` does not tell.
pub(crate) async fn waiting(client: &mut Client) -> Result<f64> {
    let told = Exposition::read(&client.get("/metrics").await?)?;
    let mut samples = told.samples.iter();
    let waiting = samples.find(|sample| sample.name == "chat_queue_entries");
    let waiting = waiting.context("`api` does not tell how much waits")?.value;
    ensure!(waiting.is_finite(), "{waiting} creations wait");
    Ok(waiting)
}
