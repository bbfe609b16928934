//! Which technologies keep, number and carry.

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
    },
}

/// One of the URLs.
enum Url {
    /// The embedded set, in a folder where one is named.
    Sqlite(Option<PathBuf>),
    /// A server, by its scheme; the rest may hold a password and is left out.
    Live(&'static str),
}

const REPOSITORY: (&str, &[&str]) = ("repository_url", &["mysql"]);
const COUNTER: (&str, &[&str]) = ("counter_url", &["redis", "rediss", "redis+cluster"]);
const QUEUE: (&str, &[&str]) = ("queue_url", &["redis", "rediss", "redis+cluster", "amqp"]);

impl Backend {
    pub(super) fn try_from_given(given: &Given, data: PathBuf) -> Result<Self, SettingsError> {
        let mut folder: Option<PathBuf> = None;
        let mut live = Vec::new();
        for (name, schemes) in [REPOSITORY, COUNTER, QUEUE] {
            match Url::read(given, name, schemes)? {
                Url::Live(scheme) => live.push((name, scheme)),
                Url::Sqlite(named) => {
                    // What is not named lies where the repository does.
                    let named = named
                        .or_else(|| folder.clone())
                        .unwrap_or_else(|| data.clone());
                    let other = folder.replace(named.clone());
                    if other.is_some_and(|other| other != named) {
                        return Err(given.refuse(name, "in the same folder as CHAT_REPOSITORY_URL"));
                    }
                }
            }
        }
        match (folder, live.first()) {
            (Some(folder), None) => Ok(Self::Embedded { folder }),
            (Some(_), Some(_)) => Err(SettingsError(
                "CHAT_REPOSITORY_URL, CHAT_COUNTER_URL and CHAT_QUEUE_URL must all be `sqlite` or all \
                 be servers, because a mixture would number in two places"
                    .to_owned(),
            )),
            (None, Some((name, scheme))) => {
                let wanted = "`sqlite` or `sqlite:FOLDER`";
                let reason = format_args!("{wanted}: this build has no adapter for `{scheme}`");
                Err(given.refuse(name, reason))
            }
            (None, None) => Ok(Self::Embedded { folder: data }),
        }
    }
}

impl Url {
    fn read(
        given: &Given,
        name: &str,
        live: &'static [&'static str],
    ) -> Result<Self, SettingsError> {
        let text = given.text(name)?.unwrap_or_default();
        let (scheme, rest) = text.split_once(':').unwrap_or((&text, ""));
        if scheme == "sqlite" {
            let folder = rest.strip_prefix("//").unwrap_or(rest);
            return Ok(Self::Sqlite(
                (!folder.is_empty()).then(|| PathBuf::from(folder)),
            ));
        }
        let scheme = live.iter().copied().find(|known| *known == scheme);
        scheme.map(Self::Live).ok_or_else(|| {
            let schemes = live.join(", ");
            given.refuse(
                name,
                format_args!("a URL of one of these schemes: sqlite, {schemes}"),
            )
        })
    }
}
