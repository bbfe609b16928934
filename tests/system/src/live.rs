//! The live set for fault injection: two `api`, two `worker` and one `sync` on servers of their own.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use ::redis::{Cmd, FromRedisValue, RedisError, Value, aio::MultiplexedConnection};
use anyhow::{Context as _, Result, ensure};
use sqlx::{Connection as _, MySqlConnection};
use tempfile::TempDir;

use crate::{
    corpus::Corpus,
    index::Index,
    loader::{Loading, Numbering, Sent},
    program::scratch,
    programs::Programs,
    proxy::Proxy,
    services::{SERVERS, Services, urls},
    stage::{eventually, within},
    tally::Tally,
};

/// How many messages are sent while a fault is injected.
pub const UNDER_FIRE: usize = 30_000;

/// How many shards the counter has by default.
pub const SHARDS: usize = 16;

/// How long search may take to agree with the database again after a fault.
const REPAIRED: Duration = Duration::from_mins(1);

/// How long it may take to store everything after a load, whatever held it up.
const STORED: Duration = Duration::from_mins(1);

/// How much memory a program may take at most, whatever has happened, in bytes.
const MEMORY: u64 = 512 << 20;

/// The settings that point programs to servers.
pub type Settings = BTreeMap<String, String>;

/// Programs on servers, ended when dropped: the programs first.
#[derive(Debug)]
pub struct LiveSet {
    /// The programs.
    pub programs: Programs,
    /// Their servers.
    pub services: Services,
    /// The settings that lead straight to these, by no proxy.
    pub settings: Settings,
    _folder: TempDir,
}

impl LiveSet {
    /// Starts all of it; `None` where no servers are available, as [`Services::find`] reports.
    ///
    /// # Errors
    ///
    /// Fails when something does not come up.
    pub async fn find(name: &str) -> Result<Option<Self>> {
        match Services::find(name)? {
            None => Ok(None),
            Some(services) => Self::on(services, &SERVERS).await.map(Some),
        }
    }

    /// Does the same as [`find`](Self::find), with RabbitMQ to carry the work.
    ///
    /// # Errors
    ///
    /// Fails when something does not come up.
    pub async fn find_with_rabbitmq(name: &str) -> Result<Option<Self>> {
        match Services::find(name)? {
            None => Ok(None),
            Some(services) => {
                // RabbitMQ comes last, since the last server that sets the queue's URL counts.
                let servers = [&SERVERS[..], &["rabbitmq"]].concat();
                Self::on(services, &servers).await.map(Some)
            }
        }
    }

    /// Starts the programs, and before them those of the servers that are not up.
    ///
    /// # Errors
    ///
    /// Fails when something does not come up.
    pub async fn on(services: Services, servers: &[&str]) -> Result<Self> {
        services.up(servers).await?;
        let settings = services.settings_of(servers).await?;
        Self::begin(services, settings.clone(), [&settings, &settings]).await
    }

    /// Starts the programs on servers that are up.
    ///
    /// `ways` are the settings for the first and for the second program of each kind.
    ///
    /// # Errors
    ///
    /// Fails when one does not come up.
    pub async fn begin(
        services: Services,
        settings: Settings,
        ways: [&Settings; 2],
    ) -> Result<Self> {
        let folder = scratch()?;
        let [first, second] = ways.map(urls);
        let live = Self {
            programs: Programs::live_apart(folder.path(), [&first, &second]).await?,
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

    /// Begins to send the first `messages` messages of the corpus, in the background.
    ///
    /// # Errors
    ///
    /// Fails when the corpus is not there, or nothing can be created.
    pub async fn load(&self, messages: usize, numbering: Numbering) -> Result<Loading> {
        let corpus = Corpus::read(&Corpus::file())?.up_to(messages);
        Loading::begin(self.programs.servers(), corpus, numbering).await
    }

    /// Waits for the end of a load, and checks that nothing was lost.
    ///
    /// What was answered must be readable, counted, stored and searchable, and the queue empty.
    ///
    /// # Errors
    ///
    /// Fails with what differs.
    pub async fn expect_kept(&mut self, loading: Loading) -> Result<Tally> {
        let total = loading.total();
        let sent = loading.finish().await?;
        let verified = sent.verify_once_stored().await?;
        ensure!(verified.messages == total, "{verified}");
        let rows = self.rows_of(&sent).await?;
        ensure!(rows == total, "{rows} creations are stored");
        self.expect_settled().await?;
        eprintln!("{verified}");
        Ok(Tally::all(total))
    }

    /// Waits for the end of a load that may have lost something, and counts what is there.
    ///
    /// What is there must be counted, searchable, and in no queue any more.
    ///
    /// # Errors
    ///
    /// Fails where counts, the index or the queue do not agree with the rows.
    pub async fn tally(&mut self, loading: Loading) -> Result<Tally> {
        let sent = loading.finish().await?;
        self.tally_of(&sent).await
    }

    /// Does the same as [`tally`](Self::tally) for a load that has ended.
    ///
    /// # Errors
    ///
    /// As for [`tally`](Self::tally).
    pub async fn tally_of(&mut self, sent: &Sent) -> Result<Tally> {
        self.expect_settled().await?;
        let tally = sent.tally().await?;
        let rows = self.rows_of(sent).await?;
        let shown = tally.stored + tally.unanswered + tally.repeated;
        ensure!(rows == shown, "{rows} creations are stored, and {tally}");
        eprintln!("{tally}");
        Ok(tally)
    }

    /// Waits until the queue is empty and search agrees with the database, and checks the counts.
    ///
    /// No program may have ended or grown large.
    ///
    /// # Errors
    ///
    /// Fails with what differs.
    pub async fn expect_settled(&mut self) -> Result<()> {
        let emptied = within(STORED, "the queue is empty", || async {
            let mut left = 0;
            for shard in 0..SHARDS {
                left += self.waiting(shard).await?;
            }
            Ok((left == 0).then_some(()))
        })
        .await;
        if let Err(error) = emptied {
            let left = self.left_in_streams().await?;
            return Err(error.context(left));
        }
        self.expect_counted().await?;
        let index = self.expect_indexed().await?;
        eprintln!("search is what the database is after {index:.1?}");
        self.programs.expect_running()?;
        let bytes = self.programs.largest_resident_bytes()?;
        ensure!(bytes <= MEMORY, "a program has {bytes} bytes of memory");
        Ok(())
    }

    /// Waits until the index has what the database has, each in its version, and nothing else.
    async fn expect_indexed(&self) -> Result<Duration> {
        let began = Instant::now();
        let index = self.index()?;
        within(REPAIRED, "search is what the database is", || async {
            let (found, stored) = (index.versions().await?, self.versions().await?);
            Ok((found == stored).then_some(()))
        })
        .await?;
        Ok(began.elapsed())
    }

    /// Returns the index.
    ///
    /// # Errors
    ///
    /// Fails where it has no address.
    pub fn index(&self) -> Result<Index> {
        Index::at(&self.settings["CHAT_SEARCH_URL"])
    }

    /// Reads the version of each message from the database, by its id in the index.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be asked.
    pub async fn versions(&self) -> Result<BTreeMap<String, u64>> {
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

    /// Opens a connection to the database.
    ///
    /// # Errors
    ///
    /// Fails when it is away.
    pub async fn database(&self) -> Result<MySqlConnection> {
        let url = &self.settings["CHAT_REPOSITORY_URL"];
        let connection = MySqlConnection::connect(url).await;
        connection.context("reaching the database")
    }

    /// Counts the creations of a load that are stored, each once.
    async fn rows_of(&self, sent: &Sent) -> Result<usize> {
        let mut database = self.database().await?;
        let rows: i64 = sqlx::query_scalar(
            "SELECT COUNT(DISTINCT uid) FROM messages
                JOIN applications ON applications.id = application_id WHERE token = ?",
        )
        .bind(sent.application())
        .fetch_one(&mut database)
        .await?;
        database.close().await.context("leaving the database")?;
        Ok(usize::try_from(rows)?)
    }

    /// Compares the counts with the rows themselves.
    async fn expect_counted(&self) -> Result<()> {
        let mut database = self.database().await?;
        let wrong: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM chats JOIN
                (SELECT application_id, chat_number, COUNT(*) AS there, COUNT(DISTINCT uid) AS made,
                        MAX(number) AS last
                    FROM messages GROUP BY application_id, chat_number) AS stored
                ON stored.application_id = chats.application_id AND chat_number = chats.number
             WHERE messages_count <> there OR made <> there OR last > last_number",
        )
        .fetch_one(&mut database)
        .await?;
        ensure!(wrong == 0, "{wrong} chats have other rows than they count");
        database.close().await.context("leaving the database")
    }

    /// Returns how many entries wait in the stream of a shard, on whichever node that is.
    ///
    /// # Errors
    ///
    /// Fails when Redis is away.
    pub async fn waiting(&self, shard: usize) -> Result<usize> {
        let mut asking = ::redis::cmd("XLEN");
        asking.arg(stream(shard));
        let told: Result<usize, RedisError> = asking.query_async(&mut self.redis().await?).await;
        let elsewhere = match &told {
            Err(error) => error.redirect_node(),
            Ok(_) => None,
        };
        let Some((node, _)) = elsewhere else {
            return told.context("the length of a stream");
        };
        let mut node = connect(&format!("redis://{node}")).await?;
        Ok(asking.query_async(&mut node).await?)
    }

    /// Describes what lies in the streams of Redis, who holds it, and what is acknowledged but kept.
    async fn left_in_streams(&self) -> Result<String> {
        let mut left = String::new();
        for shard in 0..SHARDS {
            if self.waiting(shard).await? == 0 {
                continue;
            }
            let stream = stream(shard);
            for question in [
                format!("XINFO GROUPS {stream}"),
                format!("XPENDING {stream} workers - + 9"),
                format!("XRANGE {stream} - + COUNT 9"),
                format!("SMEMBERS {}", stream.replace(":q", ":k")),
            ] {
                let told: Result<Value> = ask(&mut self.redis().await?, &question).await;
                writeln!(left, "{question}: {told:?}")?;
            }
        }
        Ok(left)
    }

    /// Opens a connection to Redis; of a cluster, to the node that its setting names first.
    ///
    /// # Errors
    ///
    /// Fails when it is away.
    pub async fn redis(&self) -> Result<MultiplexedConnection> {
        connect(&self.settings["CHAT_COUNTER_URL"]).await
    }

    /// Returns the folder with a server's data.
    #[must_use]
    pub fn data_of(&self, server: &str) -> std::path::PathBuf {
        Path::new(self.services.folder()).join(server).join("data")
    }
}

/// Opens a connection to the Redis at a URL; of a cluster, to the node that it names first.
///
/// # Errors
///
/// Fails when it is away.
pub async fn connect(url: &str) -> Result<MultiplexedConnection> {
    let node = url.replace("redis+cluster:", "redis:");
    let node = node.split('?').next().unwrap_or_default();
    let connection = ::redis::Client::open(node)?;
    let connection = connection.get_multiplexed_async_connection().await;
    connection.with_context(|| format!("reaching {node}"))
}

/// Sends Redis a command, written as one would type it with single spaces between its words.
///
/// # Errors
///
/// Fails with the command when Redis refuses it or is away, or answers another type.
pub async fn ask<T: FromRedisValue>(
    redis: &mut MultiplexedConnection,
    question: &str,
) -> Result<T> {
    let mut command = Cmd::new();
    for word in question.split(' ') {
        command.arg(word);
    }
    let answer = command.query_async(redis).await;
    answer.with_context(|| question.to_owned())
}

/// Names the stream of a shard.
#[must_use]
pub fn stream(shard: usize) -> String {
    format!("chat:{{s{shard:02}}}:q")
}

/// Extracts the address of the server from a setting.
///
/// # Errors
///
/// Fails where the setting has no address of loopback in it.
pub fn address(settings: &Settings, setting: &str) -> Result<SocketAddr> {
    let url = &settings[setting];
    let found = url.find("127.0.0.1:").map(|at| &url[at..]);
    let address = found.map(|found| {
        let end = found.find('/').unwrap_or(found.len());
        &found[..end]
    });
    let address = address.with_context(|| format!("`{url}` is elsewhere"))?;
    address.parse().with_context(|| format!("`{url}`"))
}

/// Returns the settings that lead to the same servers through proxies.
#[must_use]
pub fn through(settings: &Settings, proxies: &[&Proxy]) -> Settings {
    let instead = |value: &String| {
        let proxies = proxies.iter();
        proxies.fold(value.clone(), |value, proxy| proxy.instead(&value))
    };
    let settings = settings.iter();
    settings
        .map(|(name, value)| (name.clone(), instead(value)))
        .collect()
}
