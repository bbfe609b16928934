//! What is measured: the yardstick, and an `api` on one of the sets of adapters.

use std::{env, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::Client,
    exposition::Exposition,
    process::{Launch, Process},
    program::{Program, free_port, scratch},
    programs::Setting,
    services::{SERVERS, Services, URLS},
    stage::within,
};
use clap::ValueEnum;
use hyper::http::uri::Authority;
use tempfile::TempDir;

/// A limit for the backlog that no round can reach, in megabytes.
const BACKLOG: &str = "8192";

/// How long a worker may take until it has made the search index.
const START: Duration = Duration::from_secs(30);

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

/// Starts this program as the server without I/O, and returns it with its folder.
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

/// Which servers are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Servers {
    /// Those that creates need: Redis and MariaDB.
    Needed,
    /// Elasticsearch too.
    All,
}

/// An `api`, and what it needs; ended in this order when dropped.
pub(crate) struct Bed {
    api: Program,
    worker: Option<Process>,
    _services: Option<Services>,
    settings: Vec<(&'static str, String)>,
    is_searched: bool,
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
            _services: None,
            settings: Vec::new(),
            is_searched: false,
            folder,
        })
    }

    /// Starts servers and an `api` on them, without a worker.
    ///
    /// # Errors
    ///
    /// Fails when one of them does not start.
    pub(crate) async fn live(sync: Sync, servers: Servers) -> Result<Self> {
        let services = Services::new("bench")?.with("CHAT_REDIS_SYNC", sync.as_str());
        let names = match servers {
            Servers::Needed => &SERVERS[..2],
            Servers::All => &SERVERS[..],
        };
        services.up(names).await?;
        let mut told = services.settings().await?;
        let mut settings = vec![("CHAT_BACKLOG_MEGABYTES", BACKLOG.to_owned())];
        for name in URLS {
            // A server that was left out gets an address where nobody listens.
            let nobody = || Ok(format!("http://127.0.0.1:{}", free_port()?));
            let url = told.remove(name);
            settings.push((name, url.map_or_else(nobody, anyhow::Ok)?));
        }
        let folder = scratch()?;
        let given = settings.iter();
        let given: Vec<_> = given.map(|(name, value)| (*name, value.as_str())).collect();
        Ok(Self {
            api: Program::api(folder.path(), &given).await?,
            worker: None,
            _services: Some(services),
            settings,
            is_searched: servers == Servers::All,
            folder,
        })
    }

    /// Starts a worker, and waits for the search index where there is one.
    ///
    /// # Errors
    ///
    /// Fails when it does not start, and on the embedded set, which needs none.
    pub(crate) async fn work(&mut self) -> Result<()> {
        ensure!(!self.settings.is_empty(), "the set needs no worker");
        let folder = self.folder.path().join("worker");
        std::fs::create_dir_all(&folder)?;
        let launch = Launch::of("worker", &folder)?.with_all(self.settings.clone());
        self.worker = Some(Process::start(launch)?);
        if !self.is_searched {
            return Ok(());
        }
        within(START, "the index is made", || async {
            let ready = self.api.client().get("/health/ready").await?.expect(200)?;
            Ok((ready["status"] == "ready").then_some(()))
        })
        .await
    }

    /// Returns a setting of the programs.
    ///
    /// # Errors
    ///
    /// Fails when they have none of that name.
    pub(crate) fn setting(&self, name: &str) -> Result<&str> {
        let mut settings = self.settings.iter();
        let found = settings.find(|(it, _)| *it == name);
        Ok(&found.with_context(|| format!("there is no {name}"))?.1)
    }

    /// Starts another `api` on the same servers with one setting changed, and returns it with its folder.
    ///
    /// # Errors
    ///
    /// Fails when it does not start.
    pub(crate) async fn another_api(&self, changed: Setting<'_>) -> Result<(Program, TempDir)> {
        let folder = scratch()?;
        let settings = self.settings.iter();
        let settings = settings.map(|(name, value)| (*name, value.as_str()));
        let settings: Vec<Setting<'_>> = settings.chain([changed]).collect();
        Ok((Program::api(folder.path(), &settings).await?, folder))
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

    /// Returns the address of the `api`.
    pub(crate) fn authority(&self) -> &Authority {
        self.api.authority()
    }

    /// Asks the `api` how much waits.
    ///
    /// # Errors
    ///
    /// Fails when the `api` does not tell.
    pub(crate) async fn waiting(&self) -> Result<Waiting> {
        Waiting::ask(&mut self.api.client()).await
    }
}

/// How much waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// How many creations wait to be stored.
    pub(crate) to_be_stored: f64,
    /// How many changes wait to be indexed.
    pub(crate) to_be_indexed: f64,
}

impl Waiting {
    /// Asks an `api`.
    ///
    /// # Errors
    ///
    /// Fails when it does not tell.
    pub(crate) async fn ask(client: &mut Client) -> Result<Self> {
        let told = Exposition::read(&client.get("/metrics").await?)?;
        let count = |name: &str| {
            let count = told.value(name);
            count.with_context(|| format!("`api` does not tell {name}"))
        };
        Ok(Self {
            to_be_stored: count("chat_queue_entries")?,
            to_be_indexed: count("chat_outbox_rows")?,
        })
    }
}
