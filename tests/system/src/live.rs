//! The live set of one test alone: servers, two `api`, two `worker` and a `sync`.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use hyper::http::uri::Authority;
use tempfile::TempDir;

use crate::{
    client::Servers,
    process::{Launch, Process},
    program::{Program, scratch},
    services::Services,
};

/// How many `api` and how many `worker` are started.
const EACH: usize = 2;

/// The servers that are started.
pub const SERVERS: [&str; 2] = ["mariadb", "redis"];

/// Everything that a live system consists of, ended when dropped: the programs before the servers.
#[derive(Debug)]
pub struct LiveSet {
    /// What clients talk to.
    pub apis: Vec<Program>,
    /// What stores.
    pub workers: Vec<Process>,
    /// What audits.
    pub sync: Process,
    /// The servers.
    pub services: Services,
    _folder: TempDir,
}

impl LiveSet {
    /// Starts all of it; `None` where no servers are to be had, as [`Services::find`] says.
    ///
    /// # Errors
    ///
    /// Fails when one of them does not start.
    pub async fn find(name: &str) -> Result<Option<Self>> {
        let Some(services) = Services::find(name)? else {
            return Ok(None);
        };
        services.up(&SERVERS).await?;
        let settings = services.settings().await?;
        let folder = scratch()?;
        // No order is needed: the schema is made by whoever comes first, and all wait for it.
        let sync = start("sync", &folder.path().join("sync"), &settings)?;
        let mut workers = Vec::new();
        for number in 1..=EACH {
            let folder = folder.path().join(format!("worker-{number}"));
            workers.push(start("worker", &folder, &settings)?);
        }
        let mut apis = Vec::new();
        for number in 1..=EACH {
            let folder = folder.path().join(format!("api-{number}"));
            std::fs::create_dir(&folder)?;
            let settings: Vec<_> = urls(&settings).collect();
            apis.push(Program::api(&folder, &settings).await?);
        }
        Ok(Some(Self {
            apis,
            workers,
            sync,
            services,
            _folder: folder,
        }))
    }

    /// The addresses of every `api`.
    #[must_use]
    pub fn servers(&self) -> Servers {
        let apis = self.apis.iter();
        apis.map(|api| Authority::clone(api.authority())).collect()
    }
}

/// Starts what serves no HTTP.
fn start(name: &str, folder: &Path, settings: &BTreeMap<String, String>) -> Result<Process> {
    std::fs::create_dir(folder)?;
    let launch = urls(settings).fold(Launch::of(name, folder)?, |launch, (name, value)| {
        launch.with(name, value)
    });
    // It must find what is stranded within a test.
    Process::start(launch.with("CHAT_SYNC_SECONDS", "5"))
}

/// Picks the settings that lead to the servers.
pub fn urls(settings: &BTreeMap<String, String>) -> impl Iterator<Item = (&'static str, &str)> {
    ["CHAT_REPOSITORY_URL", "CHAT_COUNTER_URL", "CHAT_QUEUE_URL"]
        .into_iter()
        .filter_map(|name| Some((name, settings.get(name)?.as_str())))
}
