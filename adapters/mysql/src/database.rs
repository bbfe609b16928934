//! The connections to the server, and how calls use them, with timeouts and retries.

use std::{
    hash::{BuildHasher as _, RandomState},
    mem,
    ops::{Deref, DerefMut},
    time::Duration,
};

use chat_core::PortError;
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, MySql, MySqlConnection, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
    pool::PoolConnection,
};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    config::MySqlConfig,
    error::{self, Fault, OpenError, is_broken, is_contention, port_error},
    server::{self, Server},
};

/// How many attempts a call has under contention, or where its connection turns out to be dead.
const TRIES: u32 = 8;

/// How long the first pause between tries lasts at most; each later one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(4);

/// The longest pause between tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How long a connection may be idle before it is pinged ahead of its next use.
const TRUSTED: Duration = Duration::from_secs(1);

/// How long a connection stays open without use; the server closes it after [`server::IDLE`].
const IDLE: Duration = Duration::from_secs(30);

/// How long a connection lives: after a failover or a rebalancing, all move on within this.
const LIFETIME: Duration = Duration::from_mins(30);

/// How many prepared statements a connection caches: all that there are, with inserts of each size.
const STATEMENTS: usize = 256;

/// How long a ping may take.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// An open database.
pub(crate) struct Database {
    pool: MySqlPool,
    /// How long a call that only reads may take, and a statement in the server.
    read_timeout: Duration,
    /// How long a call that writes may take.
    pub(crate) timeout: Duration,
    /// How long a step of an audit or a purge may take.
    pub(crate) upkeep_timeout: Duration,
    /// What the server told about itself when it was opened.
    pub(crate) server: Server,
}

/// How each connection is made.
fn options(config: &MySqlConfig) -> Result<MySqlConnectOptions, OpenError> {
    let options: MySqlConnectOptions = config.url.parse().map_err(|_| OpenError::Address)?;
    Ok(options
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging())
}

impl Database {
    pub(crate) async fn open(config: &MySqlConfig) -> Result<Self, OpenError> {
        let options = options(config)?;
        let server = server::prepare(&options, config).await?;
        Ok(Self::over(options, server, config))
    }

    pub(crate) async fn connect(config: &MySqlConfig) -> Result<Self, OpenError> {
        let options = options(config)?;
        let server = server::look(&options, config).await?;
        Ok(Self::over(options, server, config))
    }

    fn over(options: MySqlConnectOptions, server: Server, config: &MySqlConfig) -> Self {
        let session = server.session(config.read_timeout);
        let pool = MySqlPoolOptions::new()
            .max_connections(config.connections)
            .acquire_timeout(config.acquire_timeout)
            .idle_timeout(IDLE)
            .max_lifetime(LIFETIME)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let session = session.clone();
                Box::pin(async move { connection.execute(session).await.map(drop) })
            })
            .before_acquire(|connection, metadata| {
                Box::pin(async move {
                    if metadata.idle_for < TRUSTED {
                        return Ok(true);
                    }
                    Ok(is_alive(connection).await)
                })
            })
            .connect_lazy_with(options);
        Self {
            pool,
            read_timeout: config.read_timeout,
            timeout: config.timeout,
            upkeep_timeout: config.upkeep_timeout,
            server,
        }
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Checks that the server answers and can be written to, since a read-only one is not healthy.
    pub(crate) async fn check(&self) -> Result<(), PortError> {
        const OPERATION: &str = "answer a health check";
        let read_only: String = self
            .read(OPERATION, |mut lease| async move {
                let answer = sqlx::query_scalar("SELECT CAST(@@global.read_only AS CHAR)");
                let answer = answer.fetch_one(&mut *lease).await;
                (lease, answer)
            })
            .await?;
        if matches!(&*read_only, "0" | "OFF") {
            Ok(())
        } else {
            Err(error::unavailable(OPERATION, "the server is read-only"))
        }
    }

    /// Runs statements that only read, without a transaction, on one connection.
    ///
    /// `work` gets a connection for each try, and gives it back with its answer.
    #[tracing::instrument(
        level = "debug",
        name = "mysql.repository.read",
        skip_all,
        fields(operation)
    )]
    pub(crate) async fn read<T, Work>(
        &self,
        operation: &'static str,
        work: impl Fn(Lease) -> Work,
    ) -> Result<T, PortError>
    where
        Work: Future<Output = (Lease, Result<T, sqlx::Error>)>,
    {
        self.bounded(operation, self.read_timeout, |is_wary| {
            let work = &work;
            async move {
                let (mut lease, answer) = work(self.lease(is_wary).await?).await;
                lease.sound = !answer.as_ref().is_err_and(is_broken);
                answer.map_err(Failure::passing)
            }
        })
        .await
    }

    /// Runs a transaction that may take as long as `limit`, and retries all of it on contention.
    #[tracing::instrument(
        level = "debug",
        name = "mysql.repository.write",
        skip_all,
        fields(operation)
    )]
    pub(crate) async fn write<T, Work>(
        &self,
        operation: &'static str,
        limit: Duration,
        work: impl Fn(Lease) -> Work,
    ) -> Result<T, PortError>
    where
        Work: Future<Output = (Lease, Result<T, sqlx::Error>)>,
    {
        let once = |is_wary| self.transact(is_wary, limit, &work);
        self.bounded(operation, limit, once).await
    }

    /// Retries a call while that makes sense, up to [`TRIES`] and `limit`.
    ///
    /// All tries but the first are wary, and ping their connection.
    async fn bounded<T, Try>(
        &self,
        operation: &'static str,
        limit: Duration,
        once: impl Fn(bool) -> Try,
    ) -> Result<T, PortError>
    where
        Try: Future<Output = Result<T, Failure>>,
    {
        let deadline = Instant::now() + limit;
        for tried in 0..TRIES {
            match timeout_at(deadline, once(tried > 0)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) if failure.again && tried + 1 < TRIES => {
                    let reason = Fault::of(&failure.error);
                    tracing::debug!(operation, tried, %reason, "a call failed and is retried");
                    sleep(pause_after(tried)).await;
                }
                Ok(Err(failure)) => return Err(port_error(operation, &failure.error)),
                Err(_) => break,
            }
        }
        Err(error::timeout(operation))
    }

    /// Takes a connection, and where `is_wary` one that answers a ping.
    ///
    /// After a restart of the server all connections in the pool are dead.
    async fn lease(&self, is_wary: bool) -> Result<Lease, Failure> {
        loop {
            let connection = self.pool.acquire().await.map_err(Failure::lasting)?;
            let mut lease = Lease {
                connection: Some(connection),
                sound: false,
            };
            if !is_wary || is_alive(&mut lease).await {
                return Ok(lease);
            }
        }
    }

    /// Runs one try of a transaction to its commit, or rolls it back.
    ///
    /// If `limit` is longer than usual, the server lets each of its statements take as long.
    async fn transact<T, Work>(
        &self,
        is_wary: bool,
        limit: Duration,
        work: impl Fn(Lease) -> Work,
    ) -> Result<T, Failure>
    where
        Work: Future<Output = (Lease, Result<T, sqlx::Error>)>,
    {
        let mut lease = self.lease(is_wary).await?;
        let is_usual = limit <= self.timeout;
        if !is_usual {
            let limiting = self.limit_statements(&mut lease, limit).await;
            limiting.map_err(Failure::passing)?;
        }
        let (mut lease, answer) = commit(lease, work).await;
        if !is_usual && mem::take(&mut lease.sound) {
            let limiting = self.limit_statements(&mut lease, self.read_timeout).await;
            lease.sound = limiting.is_ok();
        }
        answer
    }

    async fn limit_statements(
        &self,
        lease: &mut Lease,
        longest: Duration,
    ) -> Result<(), sqlx::Error> {
        let limiting = self.server.limiting(longest);
        lease.execute(limiting).await.map(drop)
    }
}

/// Runs `work` in a transaction, and commits it or rolls it back by the outcome.
async fn commit<T, Work>(
    mut lease: Lease,
    work: impl Fn(Lease) -> Work,
) -> (Lease, Result<T, Failure>)
where
    Work: Future<Output = (Lease, Result<T, sqlx::Error>)>,
{
    if let Err(error) = lease.execute("BEGIN").await {
        return (lease, Err(Failure::passing(error)));
    }
    let (mut lease, answer) = work(lease).await;
    let answer = match answer {
        Ok(answer) => match lease.execute("COMMIT").await {
            Ok(_) => {
                lease.sound = true;
                Ok(answer)
            }
            // If the answer is lost, nobody knows whether the commit happened, so it is not retried.
            Err(error) => Err(Failure {
                again: is_contention(&error),
                error,
            }),
        },
        Err(error) => {
            lease.sound = !is_broken(&error) && lease.execute("ROLLBACK").await.is_ok();
            Err(Failure::passing(error))
        }
    };
    (lease, answer)
}

async fn is_alive(connection: &mut MySqlConnection) -> bool {
    matches!(timeout(SIGN_OF_LIFE, connection.ping()).await, Ok(Ok(())))
}

/// Returns a growing backoff, with jitter, so that calls that collided once do not collide again.
fn pause_after(tried: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << tried).min(LONGEST_PAUSE);
    let share = RandomState::new().hash_one(tried) % 1_024 + 1;
    longest * u32::try_from(share).unwrap_or(1_024) / 1_024
}

/// Why one try failed.
struct Failure {
    error: sqlx::Error,
    /// Whether the same call may be retried at once, since nothing of it happened.
    again: bool,
}

impl Failure {
    /// Of a call that left nothing behind, and is retried on contention or a dead connection.
    fn passing(error: sqlx::Error) -> Self {
        let again = is_contention(&error) || is_broken(&error);
        Self { error, again }
    }

    fn lasting(error: sqlx::Error) -> Self {
        let again = false;
        Self { error, again }
    }
}

/// A connection on loan.
///
/// One whose work was cut short is closed, since answers may still be in flight; the server then rolls
/// back what was not committed.
pub(crate) struct Lease {
    connection: Option<PoolConnection<MySql>>,
    sound: bool,
}

impl Deref for Lease {
    type Target = MySqlConnection;

    fn deref(&self) -> &MySqlConnection {
        self.connection
            .as_ref()
            .expect("the connection is there until the lease is dropped")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut MySqlConnection {
        self.connection
            .as_mut()
            .expect("the connection is there until the lease is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        match Handle::try_current() {
            Ok(runtime) if self.sound => {
                // Returning it pings the server, which may never answer.
                let give_back = connection.return_to_pool();
                runtime.spawn(timeout(SIGN_OF_LIFE, give_back));
            }
            _ => drop(connection.detach()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_bounded_and_differ() {
        for tried in 0..TRIES {
            assert!(pause_after(tried) <= LONGEST_PAUSE);
        }
        let pauses: std::collections::BTreeSet<_> = (0..16).map(|_| pause_after(6)).collect();
        assert!(pauses.len() > 8, "{pauses:?}");
    }
}
