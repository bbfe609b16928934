//! The programs on servers of the test's own: how they start there, what they report about themselves,
//! and how they go on when a server comes back with less data than it had.

mod dead_letters;
mod restoring;
mod starting;

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};
use chat_system::{
    process::Launch,
    program::{Program, free_port},
    services::urls,
};

/// Starts a program in a subfolder; one that serves no API serves its metrics instead.
async fn start(folder: &Path, name: &str, settings: &BTreeMap<String, String>) -> Result<Program> {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder)?;
    let urls = urls(settings);
    if name == "api" {
        return Program::api(&folder, &urls).await;
    }
    let address = format!("127.0.0.1:{}", free_port()?);
    let launch = Launch::of(name, &folder)?
        .with("CHAT_METRICS_LISTEN", &address)
        .with_all(urls);
    Program::start(launch, address.parse().context("an address")?).await
}
