//! What a system runs on, for one test alone.

use std::{
    env,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use anyhow::{Context as _, Result};
use hyper::http::uri::Authority;
use lapin::{ConnectionProperties, options::QueueDeleteOptions};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, mysql::MySqlConnectOptions,
};

use crate::{client::Client, programs::Setting, redis::Redis, set::Set};

/// A Redis or a Redis Cluster, a database, indices and queues of its own.
///
/// All but the Redis lie on the MariaDB, Elasticsearch and RabbitMQ that `tests/services/up` started, which
/// take seconds to start and keep such things well apart. Redis comes up in some milliseconds.
/// All are removed when dropped.
#[derive(Debug)]
pub struct Ground {
    settings: Vec<(&'static str, String)>,
    _redis: Redis,
    _database: Database,
    _indices: Indices,
    _queues: Option<Queues>,
}

impl Ground {
    /// Prepares it in `folder`; `None` for the sets that need none or have their own.
    ///
    /// # Errors
    ///
    /// Fails with what to do where no servers are named, and when Redis does not come up.
    pub async fn open(set: Set, folder: &Path) -> Result<Option<Self>> {
        if matches!(set, Set::Embedded | Set::Entry) {
            return Ok(None);
        }
        let name = own_name();
        let database = Database::named(&named("CHAT_TEST_MYSQL_URL", set)?, &name)?;
        let indices = Indices::named(&named("CHAT_TEST_ELASTICSEARCH_URL", set)?, &name)?;
        let redis = named("CHAT_TEST_REDIS_SERVER", set)?;
        let redis = Redis::start(&redis, set == Set::Cluster, folder).await?;
        let redis_url = redis.url();
        let queues = match set {
            Set::RabbitMq => Some(Queues::named(
                &named("CHAT_TEST_RABBITMQ_URL", set)?,
                &name,
            )?),
            Set::Embedded | Set::Redis | Set::Cluster | Set::Entry => None,
        };
        let mut settings = vec![
            ("CHAT_REPOSITORY_URL", database.url()),
            ("CHAT_COUNTER_URL", redis_url.clone()),
            ("CHAT_SEARCH_URL", indices.url.clone()),
            ("CHAT_SEARCH_PREFIX", indices.prefix.clone()),
        ];
        match &queues {
            None => settings.push(("CHAT_QUEUE_URL", redis_url)),
            Some(queues) => settings.extend([
                ("CHAT_QUEUE_URL", queues.url.clone()),
                ("CHAT_QUEUE_PREFIX", queues.prefix.clone()),
            ]),
        }
        Ok(Some(Self {
            settings,
            _redis: redis,
            _database: database,
            _indices: indices,
            _queues: queues,
        }))
    }

    /// Returns the settings that point programs to it.
    pub fn settings(&self) -> impl Iterator<Item = Setting<'_>> {
        let settings = self.settings.iter();
        settings.map(|(name, value)| (*name, value.as_str()))
    }
}

/// Reads a setting that the set needs; the test fails without it, and is not skipped.
fn named(variable: &str, set: Set) -> Result<String> {
    env::var(variable).with_context(|| {
        format!(
            "the set `{set}` needs {variable}: run tests/services/up, and export what \
             tests/services/env prints"
        )
    })
}

/// A name that no other running test has.
fn own_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("e2e_{}_{count}", std::process::id())
}

/// Runs a future on a thread of its own, since the caller may be inside a runtime already.
fn aside(doing: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    let thread = thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build()?.block_on(doing)
    });
    thread.join().ok().context("it broke down")?
}

/// A database that the first program on it makes, and that is dropped at the end.
#[derive(Debug)]
struct Database {
    server: String,
    name: String,
}

impl Database {
    fn named(server: &str, name: &str) -> Result<Self> {
        let database = Self {
            server: server.trim_end_matches('/').to_owned(),
            name: name.to_owned(),
        };
        // An earlier test with the same process id may have been killed, and have left it over.
        database.remove()?;
        Ok(database)
    }

    fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    fn remove(&self) -> Result<()> {
        let options: MySqlConnectOptions = self.server.parse().context("CHAT_TEST_MYSQL_URL")?;
        let statement = format!("DROP DATABASE IF EXISTS {}", self.name);
        aside(async move {
            let mut connection = options.connect().await.context("reaching MariaDB")?;
            let dropped = connection.execute(AssertSqlSafe(statement)).await;
            dropped.context("dropping a database")?;
            connection.close().await.context("leaving MariaDB")
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("the database {} is left over: {error:#}", self.name);
        }
    }
}

/// Indices that the programs make, and that are deleted at the end.
#[derive(Debug)]
struct Indices {
    url: String,
    prefix: String,
}

impl Indices {
    fn named(url: &str, name: &str) -> Result<Self> {
        let indices = Self {
            url: url.to_owned(),
            prefix: format!("{name}-"),
        };
        // An earlier test with the same process id may have been killed, and have left it over.
        indices.remove()?;
        Ok(indices)
    }

    fn remove(&self) -> Result<()> {
        let server: Authority = self
            .url
            .trim_start_matches("http://")
            .parse()
            .context("CHAT_TEST_ELASTICSEARCH_URL")?;
        let path = format!("/{}*", self.prefix);
        aside(async move {
            let deleted = Client::new(&server).delete(&path).await;
            deleted?.expect(200).context("deleting indices").map(drop)
        })
    }
}

impl Drop for Indices {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("the indices {}* are left over: {error:#}", self.prefix);
        }
    }
}

/// Queues that the programs make, and that are deleted at the end.
#[derive(Debug)]
struct Queues {
    url: String,
    prefix: String,
}

impl Queues {
    fn named(url: &str, name: &str) -> Result<Self> {
        let queues = Self {
            url: url.to_owned(),
            prefix: format!("{name}."),
        };
        // An earlier test with the same process id may have been killed, and have left it over.
        queues.remove()?;
        Ok(queues)
    }

    fn remove(&self) -> Result<()> {
        let (url, prefix) = (self.url.clone(), self.prefix.clone());
        aside(async move {
            let connection = lapin::Connection::connect(&url, ConnectionProperties::default());
            let connection = connection.await.context("reaching RabbitMQ")?;
            let channel = connection.create_channel().await?;
            for name in ["creations", "creations.returned"] {
                let options = QueueDeleteOptions::default();
                let deleting = channel.queue_delete(format!("{prefix}{name}").into(), options);
                deleting.await.context("deleting a queue")?;
            }
            connection.close(200, "OK".into()).await?;
            Ok(())
        })
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("the queues {}* are left over: {error:#}", self.prefix);
        }
    }
}
