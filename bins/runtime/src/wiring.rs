//! Which adapter fills which port: the only place that names adapters.

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use chat_adapter_elasticsearch::{ElasticsearchConfig, ElasticsearchSearchIndex};
use chat_adapter_embedded::{Embedded, EmbeddedConfig, OpenError};
use chat_adapter_mysql::{MySqlConfig, MySqlRepository, OpenError as MySqlError};
use chat_adapter_rabbitmq::{OpenError as RabbitMqError, RabbitMqConfig, RabbitMqQueue};
use chat_adapter_redis::{OpenError as RedisError, Redis, RedisConfig, RedisLimits};
use chat_adapter_system::{SystemClock, SystemTokens};
use chat_core::{
    Chain, PortError,
    ports::{Clock, Counter, Ports, Queue, Repository, SearchIndex, Tokens},
    service::{Policy, Services},
};
use tokio::time::{Instant, sleep};

use crate::settings::{Backend, Secret, Servers, Settings, SettingsError};

/// The pause between two attempts to reach a server at the start.
const PAUSE: Duration = Duration::from_millis(500);

/// The adapters of one process, in their ports.
pub struct Wiring {
    /// The ports under the services.
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
        /// The queue, unless Redis carries the work itself.
        rabbitmq: Option<Arc<RabbitMqQueue>>,
        repository: Arc<MySqlRepository>,
        search: Arc<ElasticsearchSearchIndex>,
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
            Backend::Live(servers) => live(settings, servers, &clock, &tokens).await?,
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
            Set::Live {
                repository,
                rabbitmq,
                ..
            } => {
                if let Some(rabbitmq) = rabbitmq {
                    rabbitmq.close().await;
                }
                repository.close().await;
            }
        }
    }
}

/// Says whether [`Wiring::open`] failed because another process has the data folder.
#[must_use]
pub fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::InUse { .. }))
}

/// Asks the servers that a program cannot do without for a sign of life.
///
/// It does not wait for one that is away, and creates and changes nothing. Search is not among them, and the
/// embedded set has no servers.
///
/// # Errors
///
/// Fails with the first that cannot be used.
pub async fn check(settings: &Settings) -> Result<()> {
    let Backend::Live(servers) = &settings.backend else {
        return Ok(());
    };
    let asking_database = async {
        let database = MySqlRepository::connect(&mysql(settings, servers)).await?;
        database.check().await?;
        database.close().await;
        Ok::<_, anyhow::Error>(())
    };
    let asking_redis = async {
        let asked = Redis::reach(&redis(settings, servers)).await;
        asked.with_context(|| asking(REDIS))
    };
    let asking_database = async { asking_database.await.context(asking(DATABASE)) };
    let asking_rabbitmq = async {
        let Some(queue) = &servers.queue else {
            return Ok(());
        };
        let asked = RabbitMqQueue::reach(&rabbitmq(settings, queue)).await;
        asked.with_context(|| asking(RABBITMQ))
    };
    tokio::try_join!(
        Box::pin(asking_database),
        Box::pin(asking_redis),
        Box::pin(asking_rabbitmq),
    )?;
    Ok(())
}

fn asking((what, setting): Place) -> String {
    format!("checking {what} (see {setting})")
}

/// How the database is opened.
fn mysql(settings: &Settings, servers: &Servers) -> MySqlConfig {
    MySqlConfig {
        connections: settings.repository_connections,
        ..MySqlConfig::new(servers.repository.reveal())
    }
}

/// How Redis is opened.
fn redis(settings: &Settings, servers: &Servers) -> RedisConfig {
    let high_bytes = settings.backlog_bytes;
    RedisConfig {
        shards: settings.shards,
        enqueues: servers.queue.is_none(),
        limits: RedisLimits {
            high_bytes,
            low_bytes: high_bytes / 4 * 3,
            keys: settings.idempotency_keys,
            ..RedisLimits::default()
        },
        ..RedisConfig::new(servers.counter.reveal())
    }
}

/// How RabbitMQ is opened.
fn rabbitmq(settings: &Settings, url: &Secret) -> RabbitMqConfig {
    RabbitMqConfig {
        prefix: settings.queue_prefix.clone(),
        ..RabbitMqConfig::new(url.reveal())
    }
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
    servers: &Servers,
    clock: &Arc<dyn Clock>,
    tokens: &Arc<dyn Tokens>,
) -> Result<Set> {
    let give_up = Instant::now() + settings.wait_for;
    let opening_database = async {
        let config = mysql(settings, servers);
        let open = async || MySqlRepository::open(&config).await;
        let repository = until_there(DATABASE, give_up, open, MySqlError::is_retryable).await?;
        // Retry this as well: the database may be away again.
        let ask = async || repository.fix_shards(settings.shards).await;
        let fixed = until_there(DATABASE, give_up, ask, PortError::is_retryable).await?;
        if fixed != settings.shards {
            let sentence =
                format!("CHAT_SHARDS must be {fixed}, as at the first start of this system");
            return Err(SettingsError::new(sentence).into());
        }
        Ok(repository)
    };
    let opening_redis = async {
        let config = redis(settings, servers);
        let open = async || Redis::open(&config, Arc::clone(clock), Arc::clone(tokens)).await;
        let may_pass = |error: &_| match error {
            RedisError::Unreachable { source, .. } => source.is_retryable(),
            RedisError::Setting { .. } | RedisError::Unusable { .. } => false,
        };
        until_there(REDIS, give_up, open, may_pass).await
    };
    let opening_rabbitmq = async {
        let Some(queue) = &servers.queue else {
            return Ok(None);
        };
        let config = rabbitmq(settings, queue);
        let open = async || RabbitMqQueue::open(&config).await;
        let opened = until_there(RABBITMQ, give_up, open, RabbitMqError::is_retryable).await?;
        Ok(Some(Arc::new(opened)))
    };
    // Open all concurrently, so that a wrong setting of one is reported without waiting for another.
    let (repository, redis, rabbitmq, search) = tokio::try_join!(
        Box::pin(opening_database),
        Box::pin(opening_redis),
        Box::pin(opening_rabbitmq),
        Box::pin(search_index(settings, &servers.search)),
    )?;
    Ok(Set::Live {
        redis,
        rabbitmq,
        repository: Arc::new(repository),
        search,
    })
}

/// Prepares the client of the search server; one that is away does not keep the program from starting.
async fn search_index(settings: &Settings, url: &Secret) -> Result<Arc<ElasticsearchSearchIndex>> {
    let api_key = settings.search_api_key.as_ref();
    let config = ElasticsearchConfig {
        api_key: api_key.map(|key| key.reveal().to_owned()),
        prefix: settings.search_prefix.clone(),
        shards: settings.search_shards,
        ..ElasticsearchConfig::new(url.reveal())
    };
    let (what, setting) = SEARCH;
    let index = ElasticsearchSearchIndex::try_new(&config)
        .context("checking CHAT_SEARCH_URL, CHAT_SEARCH_API_KEY and CHAT_SEARCH_PREFIX")?;
    match index.examine().await {
        Ok(()) => {}
        Err(error) if error.is_retryable() => {
            tracing::warn!(
                error = %Chain(&error),
                "starting without {what}; searches fail until it answers"
            );
        }
        Err(error) => {
            let with = match api_key {
                Some(_) => " and CHAT_SEARCH_API_KEY",
                None => "",
            };
            let opening = format!("opening {what} (see {setting}{with})");
            return Err(anyhow::Error::new(error).context(opening));
        }
    }
    Ok(Arc::new(index))
}

/// What a server is called, and the setting that says where it is.
type Place = (&'static str, &'static str);

const DATABASE: Place = ("the database", "CHAT_REPOSITORY_URL");
const REDIS: Place = ("Redis", "CHAT_COUNTER_URL");
const RABBITMQ: Place = ("RabbitMQ", "CHAT_QUEUE_URL");
const SEARCH: Place = ("Elasticsearch", "CHAT_SEARCH_URL");

/// Retries opening something until it succeeds, fails for good, or the time is up.
async fn until_there<T, E: Error + Send + Sync + 'static>(
    (what, setting): Place,
    give_up: Instant,
    open: impl AsyncFn() -> Result<T, E>,
    may_pass: impl Fn(&E) -> bool,
) -> Result<T> {
    let mut attempts = 0_u64;
    loop {
        match open().await {
            Ok(opened) => {
                if attempts > 0 {
                    tracing::info!("{what} answers now");
                }
                return Ok(opened);
            }
            Err(error) if may_pass(&error) && Instant::now() < give_up => {
                if attempts == 0 {
                    let left = give_up.duration_since(Instant::now()).as_secs();
                    tracing::warn!(error = %Chain(&error), "waiting up to {left} s for {what}");
                }
                attempts += 1;
                sleep(PAUSE).await;
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                return Err(error.context(format!("opening {what} (see {setting})")));
            }
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
            Self::Live {
                rabbitmq: Some(rabbitmq),
                ..
            } => rabbitmq.clone(),
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
            Self::Live { search, .. } => search.clone(),
        }
    }
}
