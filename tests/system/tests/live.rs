//! The live set: many processes on Redis and MariaDB keep what they answered, whatever is killed.
//!
//! Each test has programs and servers of its own, on whatever set the others run.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    corpus::Corpus,
    loader::Loading,
    program::scratch,
    programs::Programs,
    services::{SERVERS, Services, urls},
    stage::eventually,
    verify::Verified,
};
use redis::aio::MultiplexedConnection;
use sqlx::{Connection as _, MySqlConnection};
use tempfile::TempDir;
use tokio::time::sleep;

/// How many messages are sent while something is killed.
const UNDER_FIRE: usize = 40_000;

/// How many workers are killed in the middle of a batch.
const IN_MID_BATCH: usize = 6;

/// How long it may take until a worker under load has something in its hands.
const BUSY: Duration = Duration::from_secs(20);

/// Into how many parts the counter cuts its data by default.
const SHARDS: usize = 16;

/// Programs on servers, ended when dropped: the programs first.
struct LiveSet {
    programs: Programs,
    services: Services,
    settings: BTreeMap<String, String>,
    _folder: TempDir,
}

impl LiveSet {
    /// Starts all of it; `None` where no servers are to be had, as [`Services::find`] says.
    async fn find(name: &str) -> Result<Option<Self>> {
        let Some(services) = Services::find(name)? else {
            return Ok(None);
        };
        services.up(&SERVERS).await?;
        let (settings, folder) = (services.settings().await?, scratch()?);
        Ok(Some(Self {
            programs: Programs::live(folder.path(), &urls(&settings)).await?,
            services,
            settings,
            _folder: folder,
        }))
    }

    async fn load(&self, corpus: Corpus) -> Result<Loading> {
        Loading::begin(self.programs.servers(), corpus).await
    }

    /// Waits for the end of a load, and compares what was answered with what can be read, is counted,
    /// and lies in the database; nothing may be left in the queue.
    async fn expect_kept(&mut self, loading: Loading) -> Result<Verified> {
        let total = loading.total();
        let verified = loading.finish().await?.verify_once_stored().await?;
        ensure!(verified.messages == total, "{verified}");
        self.expect_rows(total).await?;
        let redis = self.redis().await?;
        eventually("the queue is empty", || {
            let mut redis = redis.clone();
            async move {
                let mut left = 0;
                for shard in 0..SHARDS {
                    let mut asking = redis::cmd("XLEN");
                    let length: usize = asking.arg(stream(shard)).query_async(&mut redis).await?;
                    left += length;
                }
                Ok((left == 0).then_some(()))
            }
        })
        .await?;
        self.programs.expect_running()?;
        Ok(verified)
    }

    /// Counts the rows themselves, whatever the counts say.
    async fn expect_rows(&self, total: usize) -> Result<()> {
        let url = &self.settings["CHAT_REPOSITORY_URL"];
        let mut database = MySqlConnection::connect(url).await?;
        let rows: i64 = sqlx::query_scalar("SELECT COUNT(DISTINCT uid) FROM messages")
            .fetch_one(&mut database)
            .await?;
        ensure!(rows == i64::try_from(total)?, "{rows} creations are stored");
        let wrong: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM chats JOIN
                (SELECT application_id, chat_number, COUNT(*) AS there, MAX(number) AS last
                    FROM messages GROUP BY application_id, chat_number) AS stored
                ON stored.application_id = chats.application_id AND chat_number = chats.number
             WHERE messages_count <> there OR last <> there OR last_number <> there",
        )
        .fetch_one(&mut database)
        .await?;
        ensure!(wrong == 0, "{wrong} chats have other rows than they count");
        database.close().await.context("leaving the database")
    }

    async fn redis(&self) -> Result<MultiplexedConnection> {
        let client = redis::Client::open(self.settings["CHAT_COUNTER_URL"].as_str())?;
        let connection = client.get_multiplexed_async_connection().await;
        connection.context("reaching Redis")
    }
}

fn stream(shard: usize) -> String {
    format!("chat:{{s{shard:02}}}:q")
}

/// Answers how many creations a worker was given and has neither stored nor given back.
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
async fn the_whole_corpus_comes_back_over_two_apis() -> Result<()> {
    let name = "the_whole_corpus_comes_back_over_two_apis";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let began = Instant::now();
    let loading = live.load(Corpus::read(&Corpus::file())?).await?;
    let verified = live.expect_kept(loading).await?;
    println!("{verified} in {:.1?}", began.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_killed_program_loses_or_repeats_a_message() -> Result<()> {
    let name = "no_killed_program_loses_or_repeats_a_message";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let corpus = Corpus::read(&Corpus::file())?.up_to(UNDER_FIRE);
    let mut loading = live.load(corpus).await?;
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
    println!("{}", live.expect_kept(loading).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_killed_in_mid_batch_loses_or_repeats_a_message() -> Result<()> {
    let name = "no_worker_killed_in_mid_batch_loses_or_repeats_a_message";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let corpus = Corpus::read(&Corpus::file())?.up_to(UNDER_FIRE);
    let mut loading = live.load(corpus).await?;
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
            // It may have come to the end of its batch in between. What the dead hold proves it.
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
    println!("{}", live.expect_kept(loading).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_killed_server_loses_or_repeats_a_message() -> Result<()> {
    let name = "no_killed_server_loses_or_repeats_a_message";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let corpus = Corpus::read(&Corpus::file())?.up_to(UNDER_FIRE);
    let mut loading = live.load(corpus).await?;
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
    println!("{}", live.expect_kept(loading).await?);
    Ok(())
}
