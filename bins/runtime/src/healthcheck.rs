//! Whether a program could do its work: whether the servers that it needs answer.

use anyhow::{Context as _, Result};

use crate::{settings::Settings, wiring::Wiring};

/// Fails unless database, counter and queue can be used.
///
/// # Errors
///
/// Fails with the first that cannot.
pub async fn run(settings: &Settings) -> Result<()> {
    let wiring = Wiring::open(settings).await?;
    let ports = &wiring.ports;
    ports
        .repository
        .check()
        .await
        .context("asking the database")?;
    ports.counter.check().await.context("asking the counter")?;
    ports.queue.check().await.context("asking the queue")?;
    wiring.close().await;
    Ok(())
}
