//! Which technologies keep, number, carry and find.

use std::path::PathBuf;

use super::{Given, Secret, SettingsError};

/// The technologies behind the ports.
///
/// They are all embedded or all live: a mixture would number in two places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// Everything in one folder, and `api` does the work of `worker` and `sync`.
    Embedded {
        /// The folder.
        folder: PathBuf,
        /// Another folder for the search index, where one is named.
        search: Option<PathBuf>,
    },
    /// Servers, for any number of processes of each kind.
    Live(Servers),
}

/// Where the servers of the live set are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// MySQL or MariaDB.
    pub repository: Secret,
    /// The Redis that counts.
    pub counter: Secret,
    /// RabbitMQ, if it carries the work and not the Redis that counts.
    pub queue: Option<Secret>,
    /// Elasticsearch.
    pub search: Secret,
}

/// One of the URLs.
enum Url {
    /// The embedded set, in a folder where one is named.
    Embedded(Option<PathBuf>),
    /// A server, by its scheme and its whole URL, which may hold a password.
    Live(&'static str, Secret),
}

/// What a URL may be.
#[derive(Clone, Copy)]
struct Kind {
    setting: &'static str,
    /// The scheme of the embedded set.
    embedded: &'static str,
    /// The schemes of servers.
    live: &'static [&'static str],
}

const REPOSITORY: Kind = Kind {
    setting: "repository_url",
    embedded: "sqlite",
    live: &["mysql"],
};
/// One server or a cluster, each without and with TLS.
const REDIS: [&str; 4] = ["redis", "rediss", "redis+cluster", "rediss+cluster"];
const COUNTER: Kind = Kind {
    setting: "counter_url",
    embedded: "sqlite",
    live: &REDIS,
};
const QUEUE: Kind = Kind {
    setting: "queue_url",
    embedded: "sqlite",
    live: &[
        "redis",
        "rediss",
        "redis+cluster",
        "rediss+cluster",
        "amqp",
        "amqps",
    ],
};
const SEARCH: Kind = Kind {
    setting: "search_url",
    embedded: "tantivy",
    live: &["http", "https"],
};

impl Backend {
    pub(super) fn try_from_given(given: &Given, data: PathBuf) -> Result<Self, SettingsError> {
        let urls = [
            Url::read(given, REPOSITORY)?,
            Url::read(given, COUNTER)?,
            Url::read(given, QUEUE)?,
            Url::read(given, SEARCH)?,
        ];
        match urls {
            [
                Url::Embedded(repository),
                Url::Embedded(counter),
                Url::Embedded(queue),
                Url::Embedded(search),
            ] => {
                let folder = repository.unwrap_or(data);
                // What is not named lies where the repository does.
                for (kind, named) in [(COUNTER, counter), (QUEUE, queue)] {
                    if named.is_some_and(|named| named != folder) {
                        return Err(
                            given.refuse(kind.setting, "in the same folder as CHAT_REPOSITORY_URL")
                        );
                    }
                }
                Ok(Self::Embedded { folder, search })
            }
            [
                Url::Live(_, repository),
                Url::Live(_, counter),
                Url::Live(carries, queue),
                Url::Live(_, search),
            ] => {
                let is_apart = !REDIS.contains(&carries);
                if !is_apart && queue != counter {
                    let wanted = "the same as CHAT_COUNTER_URL, or an `amqp` or `amqps` URL";
                    return Err(given.refuse(QUEUE.setting, wanted));
                }
                Ok(Self::Live(Servers {
                    repository,
                    counter,
                    queue: is_apart.then_some(queue),
                    search,
                }))
            }
            _ => Err(SettingsError::new(
                "CHAT_REPOSITORY_URL, CHAT_COUNTER_URL, CHAT_QUEUE_URL and CHAT_SEARCH_URL must \
                 all be embedded or all be servers, because a mixture would give out numbers in \
                 two places",
            )),
        }
    }
}

impl Url {
    fn read(given: &Given, kind: Kind) -> Result<Self, SettingsError> {
        let Kind {
            setting,
            embedded,
            live,
        } = kind;
        let text = given.text(setting)?.unwrap_or_default();
        let (scheme, rest) = text.split_once(':').unwrap_or((&text, ""));
        if scheme == embedded {
            let folder = rest.strip_prefix("//").unwrap_or(rest);
            return Ok(Self::Embedded(
                (!folder.is_empty()).then(|| PathBuf::from(folder)),
            ));
        }
        let known = live.iter().copied().find(|known| *known == scheme);
        let known = known.ok_or_else(|| {
            let schemes = kind.live.join(", ");
            given.refuse(
                setting,
                format_args!("a URL of one of these schemes: {embedded}, {schemes}"),
            )
        })?;
        // The value may hold a password, so it is not repeated.
        let has_host = |url: &url::Url| url.host_str().is_some_and(|host| !host.is_empty());
        let url = url::Url::parse(&text).ok().filter(has_host);
        let url = url.ok_or_else(|| {
            let wanted = format_args!(
                "`{known}://` with a host, in which `@`, `:`, `/`, `?`, `#` and `%` of a user or \
                 password are written as %40, %3A, %2F, %3F, %23 and %25"
            );
            given.refuse(setting, wanted)
        })?;
        if known == "mysql" && url.path().trim_start_matches('/').is_empty() {
            return Err(given.refuse(setting, "a URL that ends with `/` and a database's name"));
        }
        Ok(Self::Live(known, Secret::new(&text)))
    }
}
