//! Whether a program could do its work: whether the servers that it needs answer.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::timeout;

use crate::{program::print, settings::Settings, wiring};

/// How long all answers together may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Reports that database, counter and queue can be used; waits for none of them, and changes nothing.
///
/// # Errors
///
/// Fails with the first that cannot be used, or when not all have answered within 5 s.
pub async fn run(settings: &Settings) -> Result<()> {
    let asked = timeout(DEADLINE, wiring::check(settings)).await;
    match asked {
        Ok(Ok(())) => print("healthy: the database, the counter and the queue answer"),
        // Drop the error's type, so that the exit code is 1 for a wrong setting as well.
        Ok(Err(error)) => Err(anyhow!("{error:#}")),
        Err(_) => Err(anyhow!(
            "the servers did not all answer in {} s",
            DEADLINE.as_secs()
        )),
    }
}
