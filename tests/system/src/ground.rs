//! What a system of programs stands on, for one test alone.

use std::{
    env,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use hyper::http::uri::Authority;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, mysql::MySqlConnectOptions,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::{
    client::Client,
    process::{Launch, Process},
    program::free_port,
    programs::Setting,
    set::Set,
};

/// How long Redis may take until it answers, on a busy machine.
const START: Duration = Duration::from_secs(20);

/// The wait between two looks at whether it does.
const POLL: Duration = Duration::from_millis(2);

/// A Redis of its own, and on the MariaDB and the Elasticsearch that `tests/services/up` started a
/// database and indices of its own.
///
/// Redis comes up in some milliseconds; the others take seconds, and keep those well apart.
/// All are removed when dropped.
#[derive(Debug)]
pub struct Ground {
    settings: Vec<(&'static str, String)>,
    _redis: Process,
    _database: Database,
    _indices: Indices,
}

impl Ground {
    /// Prepares it in `folder`; the embedded set needs none, and what runs already has its own.
    ///
    /// # Errors
    ///
    /// Fails with what to do where no servers are named, and when Redis does not come up.
    pub async fn open(set: Set, folder: &Path) -> Result<Option<Self>> {
        if set != Set::Redis {
            return Ok(None);
        }
        let name = own_name();
        let database = Database::named(&named("CHAT_TEST_MYSQL_URL", set)?, &name)?;
        let indices = Indices::named(&named("CHAT_TEST_ELASTICSEARCH_URL", set)?, &name)?;
        let (redis, port) = redis(&named("CHAT_TEST_REDIS_SERVER", set)?, folder).await?;
        let redis_url = format!("redis://127.0.0.1:{port}");
        let settings = [
            ("CHAT_REPOSITORY_URL", database.url()),
            ("CHAT_COUNTER_URL", redis_url.clone()),
            ("CHAT_QUEUE_URL", redis_url),
            ("CHAT_SEARCH_URL", indices.url.clone()),
            ("CHAT_SEARCH_PREFIX", indices.prefix.clone()),
        ];
        Ok(Some(Self {
            settings: settings.into(),
            _redis: redis,
            _database: database,
            _indices: indices,
        }))
    }

    /// Answers the settings that lead to it.
    pub fn settings(&self) -> impl Iterator<Item = Setting<'_>> {
        let settings = self.settings.iter();
        settings.map(|(name, value)| (*name, value.as_str()))
    }
}

/// Answers where a server of the set is; one that was asked for and is not there is a failure.
fn named(variable: &str, set: Set) -> Result<String> {
    env::var(variable).with_context(|| {
        format!(
            "the set `{set}` needs {variable}: run tests/services/up, and export what \
             tests/services/env prints"
        )
    })
}

/// Starts a Redis as `tests/services/up` does, which keeps every write.
async fn redis(server: &str, folder: &Path) -> Result<(Process, u16)> {
    let folder = folder.join("redis");
    std::fs::create_dir(&folder).context("making a folder for Redis")?;
    let port = free_port()?;
    let arguments = format!(
        "--bind 127.0.0.1 --port {port} --appendonly yes --appendfsync always \
         --maxmemory-policy noeviction --save"
    );
    let mut launch = Launch {
        file: server.into(),
        arguments: arguments.split(' ').map(Into::into).collect(),
        environment: Vec::new(),
        folder,
    };
    launch.arguments.push("".into());
    let mut process = Process::start(launch)?;
    let give_up = Instant::now() + START;
    while !answers(port).await {
        process.expect_running()?;
        ensure!(
            Instant::now() < give_up,
            "Redis did not answer in {START:?}"
        );
        sleep(POLL).await;
    }
    Ok((process, port))
}

async fn answers(port: u16) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    asked.await.is_ok_and(|answer| answer == *b"+PONG\r\n")
}

/// A name that no other test has now.
fn own_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("e2e_{}_{count}", std::process::id())
}

/// Does something on a thread of its own, since the caller may be in the middle of a runtime.
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
        // A test whose process had this id may have been killed before.
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
        // A test whose process had this id may have been killed before.
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
