//! Rebuilding the search index, with its progress shown.

use std::{
    convert::Infallible,
    io::{self, IsTerminal as _},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use chat_core::{
    model::{JobProgress, JobState},
    service::Rebuilder,
};
use chat_runtime::{program::print, running::Running, settings::Settings, wiring::is_in_use};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, interval, sleep};

/// How often the progress of the rebuild is read.
const LOOK: Duration = Duration::from_millis(200);

/// How often a line is logged where there is no terminal to draw a bar on.
const LINE: Duration = Duration::from_secs(5);

/// Rebuilds the index, or watches the process that does.
pub(crate) async fn run(settings: &Settings) -> Result<()> {
    let running = match Running::open("sync", settings).await {
        Ok(Some(running)) => running,
        Ok(None) => bail!("the rebuild was stopped before it began"),
        Err(error) if is_in_use(&error) => {
            return Err(error.context(
                "the data folder is in use by an `api`, which rebuilds the index itself on \
                 request: POST /api/v1/admin/search/rebuild",
            ));
        }
        Err(error) => return Err(error),
    };
    let begun = Instant::now();
    let rebuilder = &running.wiring.services.rebuilder;
    let watched = async {
        tokio::select! {
            done = until_done(rebuilder, &running.name) => done,
            failed = show(rebuilder) => match failed? {},
        }
    };
    let outcome = running.shutdown.soft.run_until_cancelled(watched).await;
    running.close().await;
    let Some(outcome) = outcome else {
        bail!(
            "the rebuild was stopped half-way; searches use the old index until a rebuild is done"
        );
    };
    let JobProgress { done, .. } = outcome?;
    let took = begun.elapsed();
    print(&format!("messages indexed: {done}, in {took:.1?}"))
}

/// Asks for a rebuild and waits until it is done, by this process or by one that was faster.
async fn until_done(rebuilder: &Rebuilder, holder: &str) -> Result<JobProgress> {
    rebuilder.request().await.context("requesting a rebuild")?;
    loop {
        let rebuilt = rebuilder.run_once(holder).await;
        rebuilt.context("rebuilding the search index")?;
        let progress = rebuilder.progress().await?;
        let progress = progress.context("the database has no record of the requested rebuild")?;
        match progress.state {
            JobState::Done => return Ok(progress),
            JobState::Running => sleep(LOOK).await,
            JobState::Failed => {
                let detail = progress.detail.unwrap_or_default();
                return Err(anyhow!(detail).context("the rebuild failed"));
            }
        }
    }
}

/// Shows how far the rebuild is, for as long as it is polled.
async fn show(rebuilder: &Rebuilder) -> Result<Infallible> {
    let is_terminal = io::stderr().is_terminal();
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} messages, {per_sec}, {eta} left")?;
    let bar = ProgressBar::new(0).with_style(style);
    let mut tick = interval(if is_terminal { LOOK } else { LINE });
    tick.tick().await;
    loop {
        tick.tick().await;
        if let Some(JobProgress { done, total, .. }) = rebuilder.progress().await? {
            bar.set_length(total);
            bar.set_position(done);
            if !is_terminal {
                tracing::info!(done, total, "indexing");
            }
        }
    }
}
