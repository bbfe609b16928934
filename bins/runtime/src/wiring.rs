//! Which adapter fills which port: the only place that names adapters.

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use chat_adapter_embedded::{Embedded, EmbeddedConfig, OpenError};
use chat_adapter_mysql::{MySqlConfig, MySqlRepository};
use chat_adapter_redis::{Redis, RedisConfig, RedisLimits};
use chat_adapter_system::{SystemClock, SystemTokens};
use chat_core::{
    ports::{Clock, Counter, Ports, Queue, Repository, SearchIndex, Tokens},
    service::{Policy, Services},
};
use tokio::time::{Instant, sleep};

use crate::{
    no_search::NoSearch,
    settings::{Backend, Secret, Settings, SettingsError},
};

/// The pause between two attempts to reach a server at the start.
const PAUSE: Duration = Duration::from_millis(500);

/// The adapters of one process, in their ports.
pub struct Wiring {
    /// What the services stand on.
    pub ports: Ports,
    /// The services.
    pub services: Services,
    set: Set,
}

/// The opened adapters, to be closed at the end.
enum Set {
    Embedded(Embedded),
    Live {
        redis: Redis,
        repository: Arc<MySqlRepository>,
    },
}

impl Wiring {
    /// Opens the adapters that the settings name, waiting a while for servers that do not answer.
    ///
    /// # Errors
    ///
    /// Fails when one of them cannot be opened.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let tokens: Arc<dyn Tokens> = Arc::new(SystemTokens);
        let set = match &settings.backend {
            Backend::Embedded { folder, search } => {
                embedded(folder, search.as_deref(), &clock).await?
            }
            Backend::Live {
                repository,
                counter,
            } => live(settings, repository, counter, &clock, &tokens).await?,
        };
        let ports = Ports {
            counter: set.counter(),
            queue: set.queue(),
            repository: set.repository(),
            search: set.search(),
            clock,
            tokens,
        };
        let policy = Policy {
            retention: settings.retention,
            ..Policy::default()
        };
        let services = Services::new(&ports, &policy);
        Ok(Self {
            ports,
            services,
            set,
        })
    }

    /// Says whether `api` does the work of `worker` and `sync`, because the set belongs to one process.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self.set, Set::Embedded(_))
    }

    /// Says whether there is a search index to carry changes into.
    #[must_use]
    pub fn has_search(&self) -> bool {
        matches!(self.set, Set::Embedded(_))
    }

    /// Closes the adapters, so that what they hold is in good order.
    pub async fn close(self) {
        let Self {
            ports,
            services,
            set,
        } = self;
        drop((ports, services));
        match set {
            Set::Embedded(embedded) => embedded.close().await,
            Set::Live { repository, .. } => repository.close().await,
        }
    }
}

/// Says whether [`Wiring::open`] failed because another process has the data folder.
#[must_use]
pub fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::InUse { .. }))
}

async fn embedded(folder: &Path, search: Option<&Path>, clock: &Arc<dyn Clock>) -> Result<Set> {
    let mut config = EmbeddedConfig::new(folder);
    if let Some(search) = search {
        config.search_folder = search.to_owned();
    }
    let opened = Embedded::open(&config, Arc::clone(clock)).await;
    let described = || format!("opening the data folder `{}`", folder.display());
    Ok(Set::Embedded(opened.with_context(described)?))
}

async fn live(
    settings: &Settings,
    repository: &Secret,
    counter: &Secret,
    clock: &Arc<dyn Clock>,
    tokens: &Arc<dyn Tokens>,
) -> Result<Set> {
    let give_up = Instant::now() + settings.wait_for;
    let config = MySqlConfig {
        connections: settings.repository_connections,
        ..MySqlConfig::new(repository.reveal())
    };
    let open = async || MySqlRepository::open(&config).await;
    let is_absent = |error: &_| {
        use chat_adapter_mysql::OpenError::{Busy, Server};
        matches!(error, Server { .. } | Busy { .. })
    };
    let repository = until_there("the database", give_up, open, is_absent).await?;
    let repository = Arc::new(repository);
    let fixed = repository.fix_shards(settings.shards).await;
    let fixed = fixed.context("asking the database for the number of shards")?;
    if fixed != settings.shards {
        let sentence = format!("CHAT_SHARDS must be {fixed}, as at the first start of this system");
        return Err(SettingsError::new(sentence).into());
    }

    let high_bytes = settings.backlog_bytes;
    let config = RedisConfig {
        shards: settings.shards,
        limits: RedisLimits {
            high_bytes,
            low_bytes: high_bytes / 4 * 3,
            keys: settings.idempotency_keys,
            ..RedisLimits::default()
        },
        ..RedisConfig::new(counter.reveal())
    };
    let open = async || Redis::open(&config, Arc::clone(clock), Arc::clone(tokens)).await;
    let is_absent = |error: &_| {
        use chat_adapter_redis::OpenError::Unreachable;
        matches!(error, Unreachable { .. })
    };
    let redis = until_there("Redis", give_up, open, is_absent).await?;
    tracing::warn!("there is no search index: searching answers 503");
    Ok(Set::Live { redis, repository })
}

/// Tries to open something until its server is there, or the time is up.
async fn until_there<T, E: Error + Send + Sync + 'static>(
    what: &str,
    give_up: Instant,
    open: impl AsyncFn() -> Result<T, E>,
    is_absent: impl Fn(&E) -> bool,
) -> Result<T> {
    let mut attempts = 0_u64;
    loop {
        match open().await {
            Ok(opened) => {
                if attempts > 0 {
                    tracing::info!("{what} is there");
                }
                return Ok(opened);
            }
            Err(error) if is_absent(&error) && Instant::now() < give_up => {
                if attempts == 0 {
                    let left = give_up.duration_since(Instant::now()).as_secs();
                    let error = &error as &dyn Error;
                    tracing::warn!(error, "waiting up to {left} s for {what}");
                }
                attempts += 1;
                sleep(PAUSE).await;
            }
            Err(error) => return Err(anyhow::Error::new(error).context(format!("opening {what}"))),
        }
    }
}

impl Set {
    fn counter(&self) -> Arc<dyn Counter> {
        match self {
            Self::Embedded(embedded) => embedded.counter.clone(),
            Self::Live { redis, .. } => redis.counter.clone(),
        }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        match self {
            Self::Embedded(embedded) => embedded.queue.clone(),
            Self::Live { redis, .. } => redis.queue.clone(),
        }
    }

    fn repository(&self) -> Arc<dyn Repository> {
        match self {
            Self::Embedded(embedded) => embedded.repository.clone(),
            Self::Live { repository, .. } => repository.clone(),
        }
    }

    fn search(&self) -> Arc<dyn SearchIndex> {
        match self {
            Self::Embedded(embedded) => embedded.search.clone(),
            Self::Live { .. } => Arc::new(NoSearch),
        }
    }
}
