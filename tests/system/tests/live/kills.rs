//! Killed programs and servers: what was answered is kept once, under its number.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    live::{LiveSet, SHARDS, UNDER_FIRE, stream},
    loader::Numbering,
};
use redis::aio::MultiplexedConnection;
use tokio::time::sleep;

/// How many workers are killed in the middle of a batch.
const IN_MID_BATCH: usize = 6;

/// How long it may take until a worker under load has something in its hands.
const BUSY: Duration = Duration::from_secs(20);

/// Returns how many creations were delivered to a worker and are not acknowledged yet.
async fn held(redis: &mut MultiplexedConnection, worker: &str) -> Result<usize> {
    let mut held = 0;
    for shard in 0..SHARDS {
        let entries: Vec<redis::Value> = redis::cmd("XPENDING")
            .arg(stream(shard))
            .arg("workers")
            .arg(("-", "+", 10_000, worker))
            .query_async(redis)
            .await?;
        held += entries.len();
    }
    Ok(held)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_killed_program_loses_or_repeats_a_message() -> Result<()> {
    let name = "no_killed_program_loses_or_repeats_a_message";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    for (percent, one) in [(20, 0), (40, 1), (60, 0), (80, 1)] {
        loading.until_answered(UNDER_FIRE * percent / 100).await?;
        let programs = &mut live.programs;
        programs.workers[one].kill()?;
        programs.apis[one].kill()?;
        let sync = programs.sync.as_mut().context("there is a sync")?;
        sync.kill()?;
        sync.restart()?;
        programs.apis[one].restart().await?;
        programs.workers[one].restart()?;
    }
    let tally = live.expect_kept(loading).await?;
    tally.report("an `api`, a `worker` and `sync` killed 4 times")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_killed_in_mid_batch_loses_or_repeats_a_message() -> Result<()> {
    let name = "no_worker_killed_in_mid_batch_loses_or_repeats_a_message";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    let mut redis = live.redis().await?;
    for round in 0..IN_MID_BATCH {
        loading
            .until_answered(UNDER_FIRE * (round + 1) / (IN_MID_BATCH + 2))
            .await?;
        let (one, name) = (round % 2, format!("worker-{}", round % 2 + 1));
        let give_up = Instant::now() + BUSY;
        let left = loop {
            ensure!(Instant::now() < give_up, "{name} has nothing to do");
            if held(&mut redis, &name).await? == 0 {
                sleep(Duration::from_millis(1)).await;
                continue;
            }
            live.programs.workers[one].kill()?;
            // It may have finished its batch before the kill; what is still unacknowledged proves otherwise.
            match held(&mut redis, &name).await? {
                0 => live.programs.workers[one].restart()?,
                left => break left,
            }
        };
        println!("{name} was killed with {left} creations in its hands");
        if round + 1 < IN_MID_BATCH {
            live.programs.workers[one].restart()?;
        } else {
            // This one does not come back: the other has to take over.
            live.programs.workers.remove(one);
        }
    }
    let tally = live.expect_kept(loading).await?;
    tally.report("a `worker` killed in mid-batch 6 times")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_killed_server_loses_or_repeats_a_message() -> Result<()> {
    let name = "no_killed_server_loses_or_repeats_a_message";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    for (percent, server) in [
        (20, "redis"),
        (40, "mariadb"),
        (60, "redis"),
        (80, "mariadb"),
    ] {
        loading.until_answered(UNDER_FIRE * percent / 100).await?;
        live.services.kill(server).await?;
        live.services.up(&[server]).await?;
    }
    let tally = live.expect_kept(loading).await?;
    tally.report("Redis (AOF `always`) and MariaDB killed twice each")
}
