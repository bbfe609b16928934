//! The connections to the server, and how a call gets one, bounded in time and tried again.

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

/// How often a call is tried while others are in its way, or its connection turns out to be dead.
const TRIES: u32 = 8;

/// How long the first pause between tries lasts at most; each later one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(4);

/// The longest pause between tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A connection that nobody used for longer than this is asked for a sign of life before it is used.
const TRUSTED: Duration = Duration::from_secs(1);

/// How long a connection stays open without use; the server closes it after [`server::IDLE`].
const IDLE: Duration = Duration::from_secs(30);

/// How long a connection is used: after a failover or a rebalancing, all move on within this.
const LIFETIME: Duration = Duration::from_mins(30);

/// How many statements a connection keeps prepared: all that there are, with the sizes of inserts.
const STATEMENTS: usize = 256;

/// How long a sign of life may take.
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

    /// Asks for a sign of life; a server that can only be read is not well.
    pub(crate) async fn check(&self) -> Result<(), PortError> {
        const OPERATION: &str = "answer a check";
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

    /// Runs statements that only read, each for itself, on one connection.
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

    /// Runs a transaction that may take as long as `limit`, from its start again where others were in
    /// its way.
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

    /// Tries until it is done, others are in the way too often, or the time is up; all tries but the
    /// first are wary of their connection.
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
                    tracing::debug!(operation, tried, %reason, "a call is tried again");
                    sleep(pause_after(tried)).await;
                }
                Ok(Err(failure)) => return Err(port_error(operation, &failure.error)),
                Err(_) => break,
            }
        }
        Err(error::timeout(operation))
    }

    /// Takes a connection; a wary one is asked for a sign of life, since after a restart of the server
    /// all of them are dead.
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

    /// Runs one try of a transaction to its commit, or undoes all of it; where `limit` is longer than usual, each
    /// statement may take as long.
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

/// Begins a transaction, and ends it by what came of the work.
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
            // Where the answer is lost, nobody knows whether it happened, so it is not tried again.
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

/// Pauses grow, and differ, so that those who met once do not meet again.
fn pause_after(tried: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << tried).min(LONGEST_PAUSE);
    let share = RandomState::new().hash_one(tried) % 1_024 + 1;
    longest * u32::try_from(share).unwrap_or(1_024) / 1_024
}

/// Why one try failed.
struct Failure {
    error: sqlx::Error,
    /// Whether the same call may be tried again at once: nothing of it happened.
    again: bool,
}

impl Failure {
    /// Of a call that left nothing behind.
    fn passing(error: sqlx::Error) -> Self {
        let again = is_contention(&error) || is_broken(&error);
        Self { error, again }
    }

    fn lasting(error: sqlx::Error) -> Self {
        let again = false;
        Self { error, again }
    }
}

/// A connection on loan; one whose work was cut short is closed, since answers may still be under way,
/// and the server then undoes what was not committed.
pub(crate) struct Lease {
    connection: Option<PoolConnection<MySql>>,
    sound: bool,
}

impl Deref for Lease {
    type Target = MySqlConnection;

    fn deref(&self) -> &MySqlConnection {
        self.connection.as_ref().expect("it is there until the end")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut MySqlConnection {
        self.connection.as_mut().expect("it is there until the end")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        match Handle::try_current() {
            Ok(runtime) if self.sound => {
                // It is asked for a sign of life on its way, which may never come.
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
