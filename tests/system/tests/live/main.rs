//! The live set: many processes on Redis, MariaDB and Elasticsearch, and some on RabbitMQ too, keep what
//! they answered, and find it again, whatever happens to them.
//!
//! Each test has programs and servers of its own, on whatever set the others run.

mod index;
mod kills;
mod rabbitmq;
mod searching;

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
    stage::{eventually, within},
};
use index::Index;
use redis::aio::MultiplexedConnection;
use sqlx::{Connection as _, MySqlConnection};
use tempfile::TempDir;

/// How many messages are sent while something is killed.
const UNDER_FIRE: usize = 30_000;

/// How soon search is again what the database is, after whatever it was.
const REPAIRED: Duration = Duration::from_mins(1);

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
        match Services::find(name)? {
            None => Ok(None),
            Some(services) => Self::on(services, &SERVERS).await.map(Some),
        }
    }

    /// The same, with RabbitMQ to carry the work.
    async fn find_with_rabbitmq(name: &str) -> Result<Option<Self>> {
        match Services::find(name)? {
            None => Ok(None),
            Some(services) => {
                // The last one of these that says where the queue is counts.
                let servers = [&SERVERS[..], &["rabbitmq"]].concat();
                Self::on(services, &servers).await.map(Some)
            }
        }
    }

    async fn on(services: Services, servers: &[&str]) -> Result<Self> {
        services.up(servers).await?;
        let (settings, folder) = (services.settings_of(servers).await?, scratch()?);
        let live = Self {
            programs: Programs::live(folder.path(), &urls(&settings)).await?,
            services,
            settings,
            _folder: folder,
        };
        eventually("the index was made", || async {
            let mut client = live.programs.apis[0].client();
            let ready = client.get("/health/ready").await?.expect(200)?;
            Ok((ready["status"] == "ready").then_some(()))
        })
        .await?;
        Ok(live)
    }

    /// Begins to send the first so many messages of the corpus.
    async fn load(&self, messages: usize) -> Result<Loading> {
        let corpus = Corpus::read(&Corpus::file())?.up_to(messages);
        Loading::begin(self.programs.servers(), corpus).await
    }

    /// Waits for the end of a load, and compares what was answered with what can be read, is counted,
    /// lies in the database, and is found; nothing may be left in the queue.
    async fn expect_kept(&mut self, loading: Loading) -> Result<String> {
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
        let index = self.expect_indexed().await?;
        self.programs.expect_running()?;
        Ok(format!(
            "{verified}; search is what the database is after {index:.1?}"
        ))
    }

    /// Waits until the index has what the database has, each in its version, and nothing else.
    async fn expect_indexed(&self) -> Result<Duration> {
        let began = Instant::now();
        let (index, stored) = (self.index()?, self.versions().await?);
        within(REPAIRED, "search is what the database is", || async {
            let found = index.versions().await?;
            Ok((found == stored).then_some(()))
        })
        .await?;
        Ok(began.elapsed())
    }

    fn index(&self) -> Result<Index> {
        Index::at(&self.settings["CHAT_SEARCH_URL"])
    }

    /// Answers the version of each message, by its name in the index.
    async fn versions(&self) -> Result<BTreeMap<String, u64>> {
        let mut database = self.database().await?;
        let rows: Vec<(String, u64)> = sqlx::query_as(
            "SELECT CONCAT_WS(':', application_id, chat_number, number), version FROM messages
             WHERE deleted_at IS NULL",
        )
        .fetch_all(&mut database)
        .await?;
        database.close().await.context("leaving the database")?;
        Ok(rows.into_iter().collect())
    }

    async fn database(&self) -> Result<MySqlConnection> {
        let url = &self.settings["CHAT_REPOSITORY_URL"];
        let connection = MySqlConnection::connect(url).await;
        connection.context("reaching the database")
    }

    /// Counts the rows themselves, whatever the counts say.
    async fn expect_rows(&self, total: usize) -> Result<()> {
        let mut database = self.database().await?;
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
