//! A MariaDB that is away, is locked, loses its answers, or has a full disk.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    live::{LiveSet, UNDER_FIRE, address, through},
    loader::Numbering,
    proxy::{Proxy, Way},
    services::{SERVERS, Services},
};
use sqlx::{Connection as _, Executor as _, MySqlConnection};
use tokio::time::{Instant, sleep, timeout};

use crate::disk::Disk;

/// How long it is away.
const AWAY: Duration = Duration::from_mins(1);

/// How long another session holds locks, which is longer than a worker waits for one.
const LOCKED: Duration = Duration::from_secs(4);

/// How long a disk is full.
const FULL: Duration = Duration::from_secs(20);

/// How often commits get no answer, and for how long each time.
const UNANSWERED: (usize, Duration) = (12, Duration::from_millis(400));

/// How long another session locks rows in the reverse of the workers' order.
const AGAINST: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_without_it_loses_nothing() -> Result<()> {
    let name = "a_minute_without_it_loses_nothing";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(usize::MAX, Numbering::WithoutGaps).await?;
    let part = loading.total() / 5;
    loading.until_answered(part).await?;
    live.services.kill("mariadb").await?;
    let began = Instant::now();
    // Creating in chats that Redis knows already needs no database.
    loading.until_answered(part * 2).await?;
    sleep(AWAY.saturating_sub(began.elapsed())).await;
    live.services.up(&["mariadb"]).await?;
    let tally = live.expect_kept(loading).await?;
    tally.report("MariaDB away for 60 s")
}

/// Locks rows of chats in descending order for a while, and counts the deadlocks that it loses.
async fn lock_backwards(database: &mut MySqlConnection) -> Result<usize> {
    let (end, mut deadlocks) = (Instant::now() + AGAINST, 0);
    while Instant::now() < end {
        let mut transaction = database.begin().await?;
        let locking = async {
            for order in ["DESC", "ASC"] {
                let locked = format!(
                    "SELECT number FROM chats ORDER BY application_id {order}, number {order}
                     LIMIT 2 FOR UPDATE"
                );
                transaction.execute(sqlx::AssertSqlSafe(locked)).await?;
                sleep(Duration::from_millis(5)).await;
            }
            Ok::<_, sqlx::Error>(())
        };
        match locking.await {
            Ok(()) => transaction.rollback().await?,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("40001") => {
                deadlocks += 1;
            }
            Err(error) => return Err(error).context("locking rows"),
        }
    }
    Ok(deadlocks)
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_others_lose_nothing() -> Result<()> {
    let name = "locks_of_others_lose_nothing";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(usize::MAX, Numbering::WithoutGaps).await?;
    let total = loading.total();
    let mut database = live.database().await?;
    for percent in [10, 25] {
        loading.until_answered(total * percent / 100).await?;
        let mut transaction = database.begin().await?;
        transaction
            .execute("SELECT number FROM chats FOR UPDATE")
            .await?;
        sleep(LOCKED).await;
        transaction.rollback().await?;
    }
    let deadlocks = lock_backwards(&mut database).await?;
    eprintln!("{deadlocks} deadlocks of which the other was told");
    let tally = live.expect_kept(loading).await?;
    tally.report("MariaDB: rows locked for 4 s twice, and for 10 s against the workers' order")
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_without_an_answer_store_once() -> Result<()> {
    let name = "commits_without_an_answer_store_once";
    let Some(services) = Services::find(name)? else {
        return Ok(());
    };
    services.up(&SERVERS).await?;
    let settings = services.settings().await?;
    let proxy = Proxy::to(address(&settings, "CHAT_REPOSITORY_URL")?).await?;
    let way = through(&settings, &[&proxy]);
    let mut live = LiveSet::begin(services, settings, [&way, &way]).await?;
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    let (times, long) = UNANSWERED;
    for round in 1..=times {
        loading
            .until_answered(UNDER_FIRE * round / (times + 2))
            .await?;
        proxy.set(Way::Unanswered(b"COMMIT"));
        sleep(long).await;
        proxy.set(Way::Open);
    }
    ensure!(proxy.unanswered() > 0, "each commit was answered");
    eprintln!("{} commits got no answer", proxy.unanswered());
    let tally = live.expect_kept(loading).await?;
    tally.report("MariaDB: the connection cut between `COMMIT` and its answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing() -> Result<()> {
    let name = "a_full_disk_loses_nothing";
    let Some(services) = Services::find(name)? else {
        return Ok(());
    };
    // Declared first, so that it is dropped after the server that lies on it.
    let disk;
    let database = Services::new(&format!("{name}-database"))?;
    disk = Disk::at(database.folder(), 400)?;
    database.up(&["mariadb"]).await?;
    services.up(&["redis", "elasticsearch"]).await?;
    let mut settings = services.settings().await?;
    settings.extend(database.settings().await?);
    let mut live = LiveSet::begin(services, settings.clone(), [&settings, &settings]).await?;
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    loading.until_answered(UNDER_FIRE / 4).await?;
    disk.fill()?;
    // Waits until MariaDB has used up the room within its preallocated logs, too.
    let waiting = timeout(FULL, loading.until_answered(UNDER_FIRE));
    let _ = waiting.await;
    disk.free()?;
    let tally = live.expect_kept(loading).await?;
    tally.report("MariaDB: a full disk for 20 s")
}
