//! Which technologies keep, number, carry and find.

use std::path::PathBuf;

use super::{Given, SettingsError};

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
}

/// One of the URLs.
enum Url {
    /// The embedded set, in a folder where one is named.
    Embedded(Option<PathBuf>),
    /// A server, by its scheme; the rest may hold a password and is left out.
    Live(&'static str),
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
const COUNTER: Kind = Kind {
    setting: "counter_url",
    embedded: "sqlite",
    live: &["redis", "rediss", "redis+cluster"],
};
const QUEUE: Kind = Kind {
    setting: "queue_url",
    embedded: "sqlite",
    live: &["redis", "rediss", "redis+cluster", "amqp"],
};
const SEARCH: Kind = Kind {
    setting: "search_url",
    embedded: "tantivy",
    live: &["http", "https"],
};

impl Backend {
    pub(super) fn try_from_given(given: &Given, data: PathBuf) -> Result<Self, SettingsError> {
        let mut folder: Option<PathBuf> = None;
        let mut live = Vec::new();
        for kind in [REPOSITORY, COUNTER, QUEUE] {
            match Url::read(given, kind)? {
                Url::Live(scheme) => live.push((kind, scheme)),
                Url::Embedded(named) => {
                    // What is not named lies where the repository does.
                    let named = named
                        .or_else(|| folder.clone())
                        .unwrap_or_else(|| data.clone());
                    let other = folder.replace(named.clone());
                    if other.is_some_and(|other| other != named) {
                        return Err(
                            given.refuse(kind.setting, "in the same folder as CHAT_REPOSITORY_URL")
                        );
                    }
                }
            }
        }
        let search = match Url::read(given, SEARCH)? {
            Url::Embedded(search) => search,
            Url::Live(scheme) => {
                live.push((SEARCH, scheme));
                None
            }
        };
        match (folder, live.first()) {
            (Some(folder), None) => Ok(Self::Embedded { folder, search }),
            (Some(_), Some(_)) => Err(SettingsError(
                "CHAT_REPOSITORY_URL, CHAT_COUNTER_URL, CHAT_QUEUE_URL and CHAT_SEARCH_URL must all be \
                 embedded or all be servers, because a mixture would number in two places"
                    .to_owned(),
            )),
            (None, Some((kind, scheme))) => {
                let embedded = kind.embedded;
                let wanted = format_args!(
                    "`{embedded}` or `{embedded}:FOLDER`: this build has no adapter for `{scheme}`"
                );
                Err(given.refuse(kind.setting, wanted))
            }
            (None, None) => Ok(Self::Embedded {
                folder: data,
                search,
            }),
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
        known.map(Self::Live).ok_or_else(|| {
            let schemes = live.join(", ");
            given.refuse(
                setting,
                format_args!("a URL of one of these schemes: {embedded}, {schemes}"),
            )
        })
    }
}
