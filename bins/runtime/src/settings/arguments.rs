//! The one list of all settings.

use std::ffi::OsString;

use clap::{CommandFactory as _, Parser};

/// What can be set, as it comes; [`Settings`](super::Settings) is what it means.
///
/// Each field is a flag, a variable of the environment and a key of the file: `listen` is `--listen`,
/// `CHAT_LISTEN` and `listen = "…"`.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Settings")]
#[group(id = "settings")]
pub struct Arguments {
    /// A TOML file with settings, overridden by flags and the environment.
    #[arg(long, env = "CHAT_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<OsString>,

    /// The address that `api` listens on.
    #[arg(long, env = "CHAT_LISTEN", value_name = "ADDRESS", global = true)]
    #[arg(default_value = "127.0.0.1:8080")]
    pub listen: OsString,

    /// The address that `worker` and `sync` serve `/metrics`, `/health/live` and `/health/ready` on, a
    /// different one for each process, such as `127.0.0.1:9101`; without it they serve nothing.
    #[arg(
        long,
        env = "CHAT_METRICS_LISTEN",
        value_name = "ADDRESS",
        global = true
    )]
    pub metrics_listen: Option<OsString>,

    /// The folder of the embedded set, created if it is missing.
    #[arg(
        long,
        env = "CHAT_DATA",
        value_name = "FOLDER",
        global = true,
        default_value = "./data"
    )]
    pub data: OsString,

    /// Where applications, chats and messages are stored: `sqlite` in the data folder, `sqlite:FOLDER`, or
    /// `mysql://USER:PASSWORD@HOST:PORT/DATABASE` for MySQL and MariaDB.
    #[arg(long, env = "CHAT_REPOSITORY_URL", value_name = "URL", global = true)]
    #[arg(default_value = "sqlite", hide_env_values = true)]
    pub repository_url: OsString,

    /// What numbers chats and messages: `redis://HOST:PORT`, or `rediss://…` with TLS, for Redis and
    /// Valkey, `redis+cluster://HOST:PORT` or `rediss+cluster://…` for a Redis Cluster, with further
    /// nodes as `?node=HOST:PORT&node=…`; on the embedded set the same as the repository.
    #[arg(long, env = "CHAT_COUNTER_URL", value_name = "URL", global = true)]
    #[arg(default_value = "sqlite", hide_env_values = true)]
    pub counter_url: OsString,

    /// What carries creations to where they are stored: the same as the counter, or
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST` or `amqps://…` for RabbitMQ, with `%2f` for the virtual
    /// host `/`.
    #[arg(long, env = "CHAT_QUEUE_URL", value_name = "URL", global = true)]
    #[arg(default_value = "sqlite", hide_env_values = true)]
    pub queue_url: OsString,

    /// The prefix of the names of all queues, so that systems can share a virtual host of RabbitMQ.
    #[arg(long, env = "CHAT_QUEUE_PREFIX", value_name = "PREFIX", global = true)]
    #[arg(default_value = "chat.")]
    pub queue_prefix: OsString,

    /// What finds messages: `tantivy` in the data folder, `tantivy:FOLDER`, or
    /// `https://USER:PASSWORD@HOST:PORT` or `http://…` for Elasticsearch 7.10 to 9 and OpenSearch.
    #[arg(long, env = "CHAT_SEARCH_URL", value_name = "URL", global = true)]
    #[arg(default_value = "tantivy", hide_env_values = true)]
    pub search_url: OsString,

    /// The API key for Elasticsearch, in the encoded form that it returned, instead of user and password.
    #[arg(
        long,
        env = "CHAT_SEARCH_API_KEY",
        value_name = "KEY",
        global = true,
        hide_env_values = true
    )]
    pub search_api_key: Option<OsString>,

    /// The prefix of the names of all search indices, so that systems can share an Elasticsearch.
    #[arg(long, env = "CHAT_SEARCH_PREFIX", value_name = "PREFIX", global = true)]
    #[arg(default_value = "chat-")]
    pub search_prefix: OsString,

    /// How many shards the search index has; a change takes effect with the next rebuild.
    #[arg(long, env = "CHAT_SEARCH_SHARDS", value_name = "COUNT", global = true)]
    #[arg(default_value = "1")]
    pub search_shards: OsString,

    /// How many shards the counter's data has; fixed at the first start of a system.
    #[arg(long, env = "CHAT_SHARDS", value_name = "COUNT", global = true)]
    #[arg(default_value = "16")]
    pub shards: OsString,

    /// How many megabytes of creations may wait in Redis to be stored; above that creates answer 503.
    #[arg(
        long,
        env = "CHAT_BACKLOG_MEGABYTES",
        value_name = "MEGABYTES",
        global = true
    )]
    #[arg(default_value = "512")]
    pub backlog_megabytes: OsString,

    /// How many idempotency keys of a day Redis may hold, at about 220 bytes each; above that creates
    /// with a key answer 503.
    #[arg(
        long,
        env = "CHAT_IDEMPOTENCY_KEYS",
        value_name = "COUNT",
        global = true
    )]
    #[arg(default_value = "4000000")]
    pub idempotency_keys: OsString,

    /// How many connections to the database a process has at most.
    #[arg(
        long,
        env = "CHAT_REPOSITORY_CONNECTIONS",
        value_name = "COUNT",
        global = true
    )]
    #[arg(default_value = "16")]
    pub repository_connections: OsString,

    /// How many seconds a start waits for servers that do not answer yet.
    #[arg(long, env = "CHAT_WAIT_FOR", value_name = "SECONDS", global = true)]
    #[arg(default_value = "60")]
    pub wait_for: OsString,

    /// The name of a `worker` or `sync`, unique among those that run; a process that restarts under its
    /// name resumes at once the work that it held; the default is made of the host, the process id and a
    /// random part, so that others take that work over within half a minute.
    #[arg(long, env = "CHAT_NAME", value_name = "NAME", global = true)]
    pub name: Option<OsString>,

    /// Who may use admin endpoints: `key` (the default if `CHAT_ADMIN_KEY` is set), `local` (the default
    /// without a key while listening on loopback: requests that name a `Host` such as `localhost` or
    /// `127.0.0.1` and came through no proxy), `open` (everybody) or `off` (nobody).
    #[arg(long, env = "CHAT_ADMIN", value_name = "RULE", global = true)]
    pub admin: Option<OsString>,

    /// The key that admin endpoints require as `Authorization: Bearer`, visible ASCII characters.
    #[arg(
        long,
        env = "CHAT_ADMIN_KEY",
        value_name = "KEY",
        global = true,
        hide_env_values = true
    )]
    pub admin_key: Option<OsString>,

    /// What is logged: a level, or a filter such as `info,sqlx=debug`.
    #[arg(
        long,
        env = "CHAT_LOG",
        value_name = "FILTER",
        global = true,
        default_value = "info"
    )]
    pub log: OsString,

    /// How the log is written: `text`, `json`, or `auto`, which is text on a terminal and JSON elsewhere.
    #[arg(
        long,
        env = "CHAT_LOG_FORM",
        value_name = "FORM",
        global = true,
        default_value = "auto"
    )]
    pub log_form: OsString,

    /// How many seconds work in progress may take once the program was asked to end.
    #[arg(
        long,
        env = "CHAT_SHUTDOWN_SECONDS",
        value_name = "SECONDS",
        global = true
    )]
    #[arg(default_value = "10")]
    pub shutdown_seconds: OsString,

    /// How many days tombstones of deleted messages are kept; a creation that waited half as long to be stored is set aside.
    #[arg(long, env = "CHAT_RETENTION_DAYS", value_name = "DAYS", global = true)]
    #[arg(default_value = "30")]
    pub retention_days: OsString,

    /// How many connections `api` has open at most; further ones wait.
    #[arg(
        long,
        env = "CHAT_MAX_CONNECTIONS",
        value_name = "COUNT",
        global = true
    )]
    #[arg(default_value = "10000")]
    pub max_connections: OsString,

    /// How many requests a second of each application an `api` serves, also in one burst; further ones are answered
    /// 429 with `Retry-After`; `0` means no limit.
    #[arg(long, env = "CHAT_RATE_LIMIT", value_name = "REQUESTS", global = true)]
    #[arg(default_value = "0")]
    pub rate_limit: OsString,

    /// How many seconds there are between two audits of counts and pending creations, at most 3600.
    #[arg(long, env = "CHAT_SYNC_SECONDS", value_name = "SECONDS", global = true)]
    #[arg(default_value = "600")]
    pub sync_seconds: OsString,
}

/// Holds the settings alone, to look at their descriptions.
#[derive(Parser)]
struct Listed {
    #[command(flatten)]
    arguments: Arguments,
}

/// The descriptions of all settings, in the order of their fields.
pub(super) fn listed() -> Vec<clap::Arg> {
    let command = Listed::command();
    let listed = command
        .get_arguments()
        .filter(|argument| argument.get_env().is_some());
    listed.cloned().collect()
}
