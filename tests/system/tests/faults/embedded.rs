//! The embedded set on a disk that is full.

use std::time::Duration;

use anyhow::{Result, ensure};
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
