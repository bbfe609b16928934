//! Connections to the server; no wait on one is without end.

use std::time::Duration;

use chat_core::{PortError, PortErrorKind};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, Pipeline, Value,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
    io::tcp::TcpSettings,
};

use crate::{
    RedisConfig,
    batching::Batcher,
    error::{Failure, OpenError, port_error},
    info::Info,
    place::address,
    reply,
    vitals::Watch,
};

/// How many commands may wait to be written to one connection.
const PIPELINE: usize = 4_096;

/// How often a lost connection is sought anew before those who wait for it are told.
const RETRIES: usize = 3;

/// How long to wait between two such tries.
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

/// A server, or a node of a cluster.
pub(crate) struct Server {
    client: Client,
    pub(crate) shared: Shared,
    /// Sends what many callers ask.
    pub(crate) batcher: Batcher,
    /// What is known of it for a moment.
    pub(crate) watch: Watch,
    /// Whether it is one of a cluster.
    clustered: bool,
    /// Where it is, without credentials.
    pub(crate) address: String,
    connect_timeout: Duration,
}

impl Server {
    /// Names a server, and connects once it is asked something.
    pub(crate) fn try_new(
        place: &ConnectionInfo,
        clustered: bool,
        config: &RedisConfig,
    ) -> Result<Self, Failure> {
        let client = Client::open(place.clone())?;
        let managing = managing(config.connect_timeout);
        let shared = Shared {
            connection: ConnectionManager::new_lazy_with_config(client.clone(), managing)?,
            answer_timeout: config.answer_timeout,
        };
        Ok(Self {
            address: address(place.addr()),
            client,
            batcher: Batcher::begin(&shared),
            watch: Watch::default(),
            shared,
            clustered,
            connect_timeout: config.connect_timeout,
        })
    }

    /// How it is connected to.
    pub(crate) fn place(&self) -> &ConnectionInfo {
        self.client.get_connection_info()
    }

    /// Asks a fresh connection what the server is like, and tells what an operator should know.
    pub(crate) async fn examine(&self) -> Result<(), OpenError> {
        let unreachable = |failure: Failure| OpenError::Unreachable {
            address: self.address.clone(),
            source: failure.of("connect"),
        };
        let mut line = self.line().await.map_err(unreachable)?;
        let info = line.info(&[]).await.map_err(unreachable)?;
        let reason = match (self.clustered, info.is_clustered()) {
            (false, true) => {
                Some("it is a node of a cluster: name it by `redis+cluster://`".to_owned())
            }
            (true, false) => Some("it is no node of a cluster: name it by `redis://`".to_owned()),
            _ => info.unfit(),
        };
        if let Some(reason) = reason {
            return Err(OpenError::Unusable {
                address: self.address.clone(),
                reason,
            });
        }
        let address = self.address.as_str();
        let policy = info.policy();
        if policy.starts_with("volatile-") {
            tracing::warn!(
                address,
                policy,
                "a full memory makes Redis forget idempotency keys; `noeviction` is wanted"
            );
        }
        match line.syncing(&info).await.map_err(unreachable)? {
            Syncing::Always => tracing::info!(
                address,
                "the profile is `strict`: Redis syncs each write, and keeps all through a power cut"
            ),
            Syncing::EverySecond => tracing::warn!(
                address,
                "the profile is `standard`: a power cut may take the last second, and each start of \
                 Redis may leave a gap in the numbers"
            ),
            Syncing::Never => tracing::warn!(
                address,
                "Redis syncs nothing by itself: a power cut may take accepted creations, and each \
                 start of Redis may leave a gap in the numbers"
            ),
        }
        Ok(())
    }

    /// A new connection, which is to one run of the server for as long as it lasts.
    pub(crate) async fn line(&self) -> Result<Line, Failure> {
        // The deadline is kept by the caller of each command.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(None);
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        Ok(Line {
            connection: in_time(self.connect_timeout, connection).await?,
            clustered: self.clustered,
            answer_timeout: self.shared.answer_timeout,
        })
    }

    /// A connection for a reader that blocks for up to `longest`.
    pub(crate) fn reading_line(&self, longest: Duration) -> Result<ReadingLine, Failure> {
        let managing = managing(self.connect_timeout);
        Ok(ReadingLine {
            connection: ConnectionManager::new_lazy_with_config(self.client.clone(), managing)?,
            timeout: longest + self.shared.answer_timeout,
        })
    }

    /// Makes sure that the server answers and may be used.
    pub(crate) async fn check(&self) -> Result<(), PortError> {
        const CHECKING: &str = "check the server";
        let info = self.info(&["server", "replication", "persistence", "memory", "stats"]);
        let info = info.await.map_err(|failure| failure.of(CHECKING))?;
        if let Some(reason) = info.unfit() {
            return Err(port_error(PortErrorKind::Misconfigured, CHECKING, reason));
        }
        match info.not_now() {
            Some(reason) => Err(port_error(PortErrorKind::Unavailable, CHECKING, reason)),
            None => Ok(()),
        }
    }

    /// Asks what the server says of itself.
    async fn info(&self, sections: &[&str]) -> Result<Info, Failure> {
        let mut asking = redis::pipe();
        self.asking_info(&mut asking, sections);
        let answers = self.shared.ask_each(asking.ignore_errors()).await?;
        self.read_info(&mut answers.into_iter())
    }

    /// Adds to other questions what the server says of itself.
    pub(crate) fn asking_info(&self, asking: &mut Pipeline, sections: &[&str]) {
        asking.cmd("INFO").arg(sections);
        if self.clustered {
            asking.cmd("CLUSTER").arg("INFO");
        }
    }

    /// Reads the answers to what [`asking_info`](Self::asking_info) added.
    pub(crate) fn read_info(
        &self,
        answers: &mut impl Iterator<Item = Result<Value, Failure>>,
    ) -> Result<Info, Failure> {
        let mut next = || reply::text(answers.next().unwrap_or(Ok(Value::Nil))?);
        let mut text = next()?;
        if self.clustered {
            text.push_str("\r\n");
            text.push_str(&next()?);
        }
        Ok(Info::parse(&text))
    }
}

impl Shared {
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
    /// When it or the system likes to.
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

/// A connection of one's own that is never made anew.
pub(crate) struct Line {
    connection: MultiplexedConnection,
    clustered: bool,
    answer_timeout: Duration,
}

impl Line {
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

    /// Finds out how the server syncs; one that does not tell counts as one that may not.
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

/// Waits for an answer, but not for ever: also a connection that is being made anew has this long.
async fn in_time<T>(
    timeout: Duration,
    answer: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Late),
    }
}

fn managing(connect_timeout: Duration) -> ConnectionManagerConfig {
    let [min_delay, max_delay] = RETRY_AFTER;
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(connect_timeout))
        .set_response_timeout(None)
        .set_number_of_retries(RETRIES)
        .set_min_delay(min_delay)
        .set_max_delay(max_delay)
        .set_pipeline_buffer_size(PIPELINE)
}
