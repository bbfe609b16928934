//! Connections to the server; no wait on one is without end.

use std::time::Duration;

use chat_core::{PortError, PortErrorKind};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo as _, Pipeline, Value,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
    io::tcp::TcpSettings,
};

use crate::{
    RedisConfig,
    error::{Failure, OpenError, port_error},
    info::Info,
    keys::Keys,
    reply,
    scripts::{Call, Scripts},
};

/// How many commands may wait to be written to one connection.
const PIPELINE: usize = 4_096;

/// How often a lost connection is sought anew before those who wait for it are told.
const RETRIES: usize = 3;

/// How long to wait between two such tries.
const RETRY_AFTER: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// How long sent bytes may go unacknowledged before the connection counts as lost.
const UNHEARD: Duration = Duration::from_secs(10);

/// The server, and the connection that everything but blocking reads shares.
pub(crate) struct Server {
    client: Client,
    shared: ConnectionManager,
    /// Where it is, without credentials.
    pub(crate) address: String,
    connect_timeout: Duration,
    /// How long an answer may take.
    pub(crate) answer_timeout: Duration,
}

impl Server {
    /// Connects, and makes sure that the server may be used.
    pub(crate) async fn connect(
        config: &RedisConfig,
        keys: &Keys,
        scripts: &Scripts,
    ) -> Result<Self, OpenError> {
        // Whoever embeds this may have chosen another provider before, which then stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = |_| OpenError::Setting {
            what: "the URL of Redis",
            wanted: "`redis://[user[:password]@]host[:port][/database]`, or `rediss://…` for TLS",
        };
        let settings = TcpSettings::default()
            .set_nodelay(true)
            .set_user_timeout(UNHEARD);
        let place = config.url.as_str().into_connection_info().map_err(wrong)?;
        let client = Client::open(place.set_tcp_settings(settings)).map_err(wrong)?;
        let address = address(client.get_connection_info().addr());
        let managing = managing(config.connect_timeout);
        let shared =
            ConnectionManager::new_lazy_with_config(client.clone(), managing).map_err(wrong)?;
        let server = Self {
            client,
            shared,
            address,
            connect_timeout: config.connect_timeout,
            answer_timeout: config.answer_timeout,
        };
        server.examine().await?;
        server.probe(keys, scripts).await?;
        Ok(server)
    }

    /// Asks a fresh connection what the server is like, and tells what an operator should know.
    async fn examine(&self) -> Result<(), OpenError> {
        let unreachable = |failure: Failure| OpenError::Unreachable {
            address: self.address.clone(),
            source: failure.of("connect"),
        };
        let mut line = self.line().await.map_err(unreachable)?;
        let info = line.info(&[]).await.map_err(unreachable)?;
        if let Some(reason) = info.unfit() {
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

    /// Does once what the scripts do, so that none of them is stopped half-way for want of a permission.
    async fn probe(&self, keys: &Keys, scripts: &Scripts) -> Result<(), OpenError> {
        let probes = ["x", "y", "z", "w", "v"].map(|kind| keys.probe(kind));
        match scripts.probe.run(self, &Call::on(probes)).await {
            Err(failure) if failure.is("ERR") || failure.is("NOPERM") => Err(OpenError::Unusable {
                address: self.address.clone(),
                reason: format!("it does not let this user do all that is needed: {failure}"),
            }),
            // What else is wrong may pass, and is found again when something is created.
            _ => Ok(()),
        }
    }

    /// Sends one command on the shared connection.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value, Failure> {
        let mut shared = self.shared.clone();
        let answer = command.query_async(&mut shared);
        in_time(self.answer_timeout, answer).await
    }

    /// Sends several commands together on the shared connection.
    pub(crate) async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        let mut shared = self.shared.clone();
        in_time(self.answer_timeout, commands.query_async(&mut shared)).await
    }

    /// Sends several commands together on the shared connection; each has an answer of its own.
    ///
    /// The commands must [ignore errors](Pipeline::ignore_errors).
    pub(crate) async fn ask_each(
        &self,
        commands: &Pipeline,
    ) -> Result<Vec<Result<Value, Failure>>, Failure> {
        let mut shared = self.shared.clone();
        let answers = commands.query_async(&mut shared);
        let answers: Vec<redis::RedisResult<Value>> = in_time(self.answer_timeout, answers).await?;
        Ok(answers
            .into_iter()
            .map(|answer| answer.map_err(Failure::from))
            .collect())
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
            answer_timeout: self.answer_timeout,
        })
    }

    /// A connection for a reader that blocks for up to `longest`.
    pub(crate) fn reading_line(&self, longest: Duration) -> Result<ReadingLine, Failure> {
        let managing = managing(self.connect_timeout);
        Ok(ReadingLine {
            connection: ConnectionManager::new_lazy_with_config(self.client.clone(), managing)?,
            timeout: longest + self.answer_timeout,
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
    pub(crate) async fn info(&self, sections: &[&str]) -> Result<Info, Failure> {
        let answer = self.ask(redis::cmd("INFO").arg(sections)).await?;
        Ok(Info::parse(&reply::text(answer)?))
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
    answer_timeout: Duration,
}

impl Line {
    pub(crate) async fn ask(&mut self, command: &Cmd) -> Result<Value, Failure> {
        let answer = command.query_async(&mut self.connection);
        in_time(self.answer_timeout, answer).await
    }

    pub(crate) async fn info(&mut self, sections: &[&str]) -> Result<Info, Failure> {
        let answer = self.ask(redis::cmd("INFO").arg(sections)).await?;
        Ok(Info::parse(&reply::text(answer)?))
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

    pub(crate) async fn ask_all(&mut self, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        in_time(self.timeout, commands.query_async(&mut self.connection)).await
    }
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

/// Where a server is, as it may be shown and remembered.
fn address(place: &ConnectionAddr) -> String {
    match place {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            format!("{host}:{port}")
        }
        ConnectionAddr::Unix(path) => path.display().to_string(),
        other => other.to_string(),
    }
}
