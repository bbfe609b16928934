//! The embedded set on a disk that is full or has lost something.

use std::{fs::OpenOptions, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    corpus::Corpus,
    live::UNDER_FIRE,
    loader::{Loading, Numbering},
    program::{Program, scratch},
    stage::within,
};
use tokio::time::{sleep, timeout};

use crate::disk::Disk;

/// How long the disk is full.
const FULL: Duration = Duration::from_secs(5);

/// How soon a load is stored and found afterwards.
const STORED: Duration = Duration::from_mins(1);

async fn until_ready(api: &Program) -> Result<()> {
    within(STORED, "api is ready", || async {
        let ready = api.client().get("/health/ready").await?;
        Ok((ready.status == 200 && ready.expect(200)?["status"] == "ready").then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing() -> Result<()> {
    let folder = scratch()?;
    let disk = Disk::at(folder.path(), 400)?;
    let mut api = Program::api(folder.path(), &[]).await?;
    until_ready(&api).await?;
    let corpus = Corpus::read(&Corpus::file())?.up_to(UNDER_FIRE);
    let mut loading = Loading::begin(api.authority(), corpus, Numbering::WithoutGaps).await?;
    loading.until_answered(UNDER_FIRE / 4).await?;
    disk.fill()?;
    let end = timeout(FULL, loading.until_answered(UNDER_FIRE)).await;
    ensure!(end.is_err(), "a full disk takes everything");
    let answered = loading.answered();
    api.expect_running()?;
    disk.free()?;
    loading.until_answered(answered + UNDER_FIRE / 10).await?;
    let sent = loading.finish().await?;
    sent.verify_once_stored().await?;
    until_ready(&api).await?;
    sent.tally()
        .await?
        .expect_all()?
        .report("embedded: a full disk for 5 s")
}

/// What a disk may do that says it has synced what it has not: what is left is in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_log_of_the_database_leaves_what_is_whole() -> Result<()> {
    let folder = scratch()?;
    let mut api = Program::api(folder.path(), &[]).await?;
    let corpus = Corpus::read(&Corpus::file())?.up_to(UNDER_FIRE);
    let mut loading = Loading::begin(api.authority(), corpus, Numbering::Leaping).await?;
    let mut at_risk = 0;
    for percent in [30, 60] {
        loading.until_answered(UNDER_FIRE * percent / 100).await?;
        let logs = std::fs::read_dir(folder.path().join("data"))?;
        let log = logs
            .filter_map(Result::ok)
            .map(|file| file.path())
            .find(|path| path.to_string_lossy().ends_with("-wal"))
            .context("a log of the database")?;
        let before = loading.answered();
        let length = log.metadata()?.len();
        sleep(Duration::from_millis(300)).await;
        api.kill()?;
        at_risk += loading.answered() - before;
        let cut = OpenOptions::new().write(true).open(&log)?;
        cut.set_len(length.min(log.metadata()?.len()))?;
        api.restart().await?;
    }
    let sent = loading.finish().await?;
    until_ready(&api).await?;
    eprintln!("{at_risk} creations were answered in what was cut");
    let tally = sent.tally().await?;
    eprintln!("{tally}");
    tally.report("embedded: killed, and 0.3 s of the database's log cut off, twice")
}
