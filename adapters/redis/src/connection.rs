//! Connections to a server; every wait on one has a timeout.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, Value,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
    io::tcp::TcpSettings,
};

use crate::{error::Failure, info::Info, reply};

/// How many commands may wait to be written to one connection.
const PIPELINE: usize = 4_096;

/// How often reconnecting is retried before those who wait for the connection are told.
const RETRIES: usize = 3;

/// The shortest and the longest backoff between two such retries.
const RETRY_AFTER: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// How long sent bytes may go unacknowledged before the connection counts as lost.
const UNHEARD: Duration = Duration::from_secs(10);

/// The settings of every connection.
pub(crate) fn tcp_settings() -> TcpSettings {
    TcpSettings::default()
        .set_nodelay(true)
        .set_user_timeout(UNHEARD)
}

/// The connection that everything but blocking reads shares.
#[derive(Clone)]
pub(crate) struct Shared {
    connection: ConnectionManager,
    /// How long an answer may take.
    pub(crate) answer_timeout: Duration,
}

impl Shared {
    /// Prepares a connection, which is made with the first command, and again whenever it is lost.
    pub(crate) fn try_new(
        client: &Client,
        connect_timeout: Duration,
        answer_timeout: Duration,
    ) -> Result<Self, Failure> {
        Ok(Self {
            connection: managed(client, connect_timeout)?,
            answer_timeout,
        })
    }

    /// Sends one command.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value, Failure> {
        let mut connection = self.connection.clone();
        let answer = command.query_async(&mut connection);
        in_time(self.answer_timeout, answer).await
    }

    /// Sends several commands together.
    pub(crate) async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        let mut connection = self.connection.clone();
        in_time(self.answer_timeout, commands.query_async(&mut connection)).await
    }

    /// Sends several commands together; each has an answer of its own.
    ///
    /// The commands must [ignore errors](Pipeline::ignore_errors).
    pub(crate) async fn ask_each(
        &self,
        commands: &Pipeline,
    ) -> Result<Vec<Result<Value, Failure>>, Failure> {
        let mut connection = self.connection.clone();
        each(self.answer_timeout, commands.query_async(&mut connection)).await
    }
}

/// How the server brings writes to its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncing {
    /// Before it answers them.
    Always,
    /// Within a second or two.
    EverySecond,
    /// Whenever it or the operating system chooses to.
    Never,
}

impl Syncing {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySecond => "everysec",
            Self::Never => "no",
        }
    }
}

/// A connection of one caller, which never reconnects.
pub(crate) struct Line {
    connection: MultiplexedConnection,
    clustered: bool,
    answer_timeout: Duration,
}

impl Line {
    pub(crate) async fn open(
        client: &Client,
        connect_timeout: Duration,
        answer_timeout: Duration,
        clustered: bool,
    ) -> Result<Self, Failure> {
        // The timeout is kept by each command instead.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_timeout))
            .set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        Ok(Self {
            connection: in_time(connect_timeout, connection).await?,
            clustered,
            answer_timeout,
        })
    }

    pub(crate) async fn ask(&mut self, command: &Cmd) -> Result<Value, Failure> {
        let answer = command.query_async(&mut self.connection);
        in_time(self.answer_timeout, answer).await
    }

    pub(crate) async fn info(&mut self, sections: &[&str]) -> Result<Info, Failure> {
        let mut text = reply::text(self.ask(redis::cmd("INFO").arg(sections)).await?)?;
        if self.clustered {
            text.push_str("\r\n");
            text.push_str(&reply::text(
                self.ask(redis::cmd("CLUSTER").arg("INFO")).await?,
            )?);
        }
        Ok(Info::parse(&text))
    }

    /// Has the server rewrite its log if it has not since it started; `false` if this user may not.
    ///
    /// A server that was killed may find half a transaction at the end of its log. Redis, and Valkey until
    /// August 2026, ignore that but leave it in the file, and at the next start join it with what was
    /// written behind it: then a creation comes back that was answered to nobody, under a number that was
    /// given again (<https://github.com/valkey-io/valkey/pull/4342>). A rewrite begins a new file before it
    /// answers.
    pub(crate) async fn renew_log(&mut self, info: &Info) -> Result<bool, Failure> {
        if info.has_renewed_log() {
            return Ok(true);
        }
        let asked = self.ask(&redis::cmd("BGREWRITEAOF")).await;
        let is_refused = match asked {
            Ok(_) => false,
            // Perhaps because another process was faster.
            Err(failure) if failure.is("ERR") || failure.is("NOPERM") => true,
            Err(failure) => return Err(failure),
        };
        let is_done = self.info(&["persistence"]).await?.has_renewed_log();
        if is_done || is_refused {
            return Ok(is_done);
        }
        Err(Failure::Busy(
            "busy saving its data, after which it rewrites its append-only file",
        ))
    }

    /// Finds out how the server syncs; one that does not tell is taken for `everysec`.
    pub(crate) async fn syncing(&mut self, info: &Info) -> Result<Syncing, Failure> {
        if !info.keeps_a_log() {
            return Ok(Syncing::Never);
        }
        let mut asking = redis::cmd("CONFIG");
        asking.arg("GET").arg("*appendfsync*");
        let settings = match self.ask(&asking).await {
            Ok(answer) => reply::pairs(answer)?,
            Err(Failure::Told(error)) if error.code().is_some() => Vec::new(),
            Err(failure) => return Err(failure),
        };
        let mut syncing = Syncing::EverySecond;
        let mut pauses = false;
        for (name, value) in settings {
            match (name.as_str(), reply::text(value)?.as_str()) {
                ("appendfsync", "always") => syncing = Syncing::Always,
                ("appendfsync", "no") => syncing = Syncing::Never,
                ("no-appendfsync-on-rewrite", "yes") => pauses = true,
                _ => {}
            }
        }
        Ok(match syncing {
            Syncing::Always if pauses => Syncing::EverySecond,
            syncing => syncing,
        })
    }
}

/// The connection of one reader, which may block on it.
pub(crate) struct ReadingLine {
    connection: ConnectionManager,
    timeout: Duration,
}

impl ReadingLine {
    pub(crate) fn try_new(
        client: &Client,
        connect_timeout: Duration,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        Ok(Self {
            connection: managed(client, connect_timeout)?,
            timeout,
        })
    }

    pub(crate) async fn ask(&mut self, command: &Cmd) -> Result<Value, Failure> {
        in_time(self.timeout, command.query_async(&mut self.connection)).await
    }

    /// Sends several commands together; each has an answer of its own.
    pub(crate) async fn ask_each(
        &mut self,
        commands: &mut Pipeline,
    ) -> Result<Vec<Result<Value, Failure>>, Failure> {
        let commands = commands.ignore_errors();
        each(self.timeout, commands.query_async(&mut self.connection)).await
    }
}

/// Waits for the answers to several commands.
async fn each(
    timeout: Duration,
    answers: impl Future<Output = redis::RedisResult<Vec<redis::RedisResult<Value>>>>,
) -> Result<Vec<Result<Value, Failure>>, Failure> {
    let answers = in_time(timeout, answers).await?.into_iter();
    Ok(answers
        .map(|answer| answer.map_err(Failure::from))
        .collect())
}

/// Waits for an answer, up to a timeout that includes any reconnecting.
async fn in_time<T>(
    timeout: Duration,
    answer: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Late),
    }
}

fn managed(client: &Client, connect_timeout: Duration) -> Result<ConnectionManager, Failure> {
    let [min_delay, max_delay] = RETRY_AFTER;
    let managing = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(connect_timeout))
        .set_response_timeout(None)
        .set_number_of_retries(RETRIES)
        .set_min_delay(min_delay)
        .set_max_delay(max_delay)
        .set_pipeline_buffer_size(PIPELINE);
    Ok(ConnectionManager::new_lazy_with_config(
        client.clone(),
        managing,
    )?)
}
