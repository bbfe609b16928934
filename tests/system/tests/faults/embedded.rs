//! The embedded set on a disk that is full, or that has lost what it claimed to have synced.

use std::{
    fs::{OpenOptions, read_to_string},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    corpus::Corpus,
    live::UNDER_FIRE,
    loader::{Loading, Numbering},
    program::{Program, scratch},
    stage::within,
};
use tokio::time::timeout;

use crate::disk::Disk;

/// How long the disk is full.
const FULL: Duration = Duration::from_secs(5);

/// How soon `api` must be ready again afterwards.
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

/// Simulates a disk that has not synced what it claimed to have synced.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_log_of_the_database_repeats_nothing_and_is_told() -> Result<()> {
    let folder = scratch()?;
    let mut api = Program::api(folder.path(), &[]).await?;
    let corpus = Corpus::read(&Corpus::file())?.up_to(UNDER_FIRE);
    let mut loading = Loading::begin(api.authority(), corpus, Numbering::Leaping).await?;
    // Early enough that the log was not checkpointed yet: after that it is written from its start again.
    loading.until_answered(UNDER_FIRE / 10).await?;
    api.kill()?;
    let log = folder.path().join("data/chat.db-wal");
    let length = log.metadata().context("the log of the database")?.len();
    let cut = OpenOptions::new().write(true).open(&log)?;
    cut.set_len(length / 10 * 9)?;
    api.restart().await?;
    let at_risk = loading.answered();
    let sent = loading.finish().await?;
    until_ready(&api).await?;
    let said = read_to_string(api.launch().log()).context("reading the log")?;
    let is_told = said.contains("the database has lost its last transactions");
    ensure!(is_told, "nobody told of the loss");
    let tally = sent.tally().await?.expect_lost_at_most(at_risk)?;
    ensure!(tally.lost > 0, "nothing was lost: {tally}");
    tally.report("embedded: killed, and a tenth of the database's log cut off")
}
