//! A server, or a node of a cluster: how it is reached, and whether it may be used.

use std::time::Duration;

use chat_core::{PortError, PortErrorKind};
use redis::{Client, ConnectionInfo, Pipeline, Value};

use crate::{
    RedisConfig,
    batching::Batcher,
    connection::{Line, ReadingLine, Shared, Syncing},
    error::{Failure, OpenError, port_error},
    info::Info,
    reply,
    url::address,
    watch::Watch,
};

/// A server, or a node of a cluster.
pub(crate) struct Server {
    client: Client,
    pub(crate) shared: Shared,
    /// Sends the commands of many callers together.
    pub(crate) batcher: Batcher,
    /// What it last said about itself, while that is fresh.
    pub(crate) watch: Watch,
    /// Whether it is a node of a cluster.
    clustered: bool,
    /// Where it is, without credentials.
    pub(crate) address: String,
    connect_timeout: Duration,
}

impl Server {
    /// Prepares a client for a server, which connects with the first command.
    pub(crate) fn try_new(
        place: &ConnectionInfo,
        clustered: bool,
        config: &RedisConfig,
    ) -> Result<Self, Failure> {
        let client = Client::open(place.clone())?;
        let shared = Shared::try_new(&client, config.connect_timeout, config.answer_timeout)?;
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

    /// How to connect to it.
    pub(crate) fn place(&self) -> &ConnectionInfo {
        self.client.get_connection_info()
    }

    /// Checks on a new connection that it may be used, and logs what an operator should know.
    pub(crate) async fn examine(&self) -> Result<(), OpenError> {
        let unreachable = |failure: Failure| OpenError::Unreachable {
            address: self.address.clone(),
            source: failure.of("connect"),
        };
        let mut line = self.line().await.map_err(unreachable)?;
        let info = line.info(&[]).await.map_err(unreachable)?;
        let reason = match (self.clustered, info.is_clustered()) {
            (false, true) => {
                Some("it is a node of a cluster: use a URL with `redis+cluster://`".to_owned())
            }
            (true, false) => {
                Some("it is not a node of a cluster: use a URL with `redis://`".to_owned())
            }
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
                "Redis evicts idempotency keys when its memory is full; set `maxmemory-policy` to \
                 `noeviction`"
            );
        }
        match line.syncing(&info).await.map_err(unreachable)? {
            Syncing::Always => tracing::info!(
                address,
                "the profile is `strict`: Redis syncs each write, and a power cut loses nothing"
            ),
            Syncing::EverySecond => tracing::warn!(
                address,
                "the profile is `standard`: a power cut may lose the last second, and each start \
                 of Redis may leave a gap in the numbers"
            ),
            Syncing::Never => tracing::warn!(
                address,
                "Redis does not sync its writes: a power cut may lose accepted creations, and each \
                 start of Redis may leave a gap in the numbers"
            ),
        }
        Ok(())
    }

    /// Opens a connection that never reconnects, and so only ever talks to one run of the server.
    pub(crate) async fn line(&self) -> Result<Line, Failure> {
        let answer_timeout = self.shared.answer_timeout;
        Line::open(
            &self.client,
            self.connect_timeout,
            answer_timeout,
            self.clustered,
        )
        .await
    }

    /// A connection for a reader that blocks for up to `longest`.
    pub(crate) fn reading_line(&self, longest: Duration) -> Result<ReadingLine, Failure> {
        let timeout = longest + self.shared.answer_timeout;
        ReadingLine::try_new(&self.client, self.connect_timeout, timeout)
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

    /// Asks the server for its `INFO`.
    pub(crate) async fn info(&self, sections: &[&str]) -> Result<Info, Failure> {
        let mut asking = redis::pipe();
        self.asking_info(&mut asking, sections);
        let answers = self.shared.ask_each(asking.ignore_errors()).await?;
        self.read_info(&mut answers.into_iter())
    }

    /// Adds the commands of [`info`](Self::info) to a pipeline.
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
