//! The sets of adapters that the same tests run on.

use std::{env, fmt, str::FromStr};

use anyhow::{Context as _, Result, bail};
use hyper::http::uri::Authority;

/// The variable that names the set.
const VARIABLE: &str = "CHAT_E2E";

/// The variable with the address of a system that already runs.
const ENTRY: &str = "CHAT_TEST_ENTRY";

/// What a system runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// SQLite and Tantivy in one folder, and one `api` that does everything.
    Embedded,
    /// Redis, MariaDB and Elasticsearch under two `api`, two `worker` and one `sync`.
    Redis,
    /// The same, with RabbitMQ to carry the work.
    RabbitMq,
    /// The same as on Redis, on three nodes of a Redis Cluster.
    Cluster,
    /// Whatever answers where `CHAT_TEST_ENTRY` says: a system that somebody else started, and that all
    /// tests share. It has its own settings, holds what others created in it, and is not killed.
    Entry,
}

impl Set {
    /// Returns the set that `CHAT_E2E` names, by default the embedded one.
    ///
    /// # Errors
    ///
    /// Fails when it names none of them.
    pub fn chosen() -> Result<Self> {
        match env::var_os(VARIABLE) {
            None => Ok(Self::Embedded),
            Some(name) => name.to_string_lossy().parse().context(VARIABLE),
        }
    }

    /// Returns the address of the system that already runs, for [`Entry`](Self::Entry).
    ///
    /// # Errors
    ///
    /// Fails when `CHAT_TEST_ENTRY` does not hold one, such as `127.0.0.1:8080`.
    pub fn entry() -> Result<Authority> {
        let address =
            env::var(ENTRY).with_context(|| format!("the set `{}` needs {ENTRY}", Self::Entry))?;
        address
            .parse()
            .with_context(|| format!("{ENTRY}=`{address}` is no address"))
    }
}

impl FromStr for Set {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "embedded" => Ok(Self::Embedded),
            "redis" => Ok(Self::Redis),
            "rabbitmq" => Ok(Self::RabbitMq),
            "cluster" => Ok(Self::Cluster),
            "entry" => Ok(Self::Entry),
            _ => bail!(
                "there is no set `{name}`, but `embedded`, `redis`, `rabbitmq`, `cluster` and `entry`"
            ),
        }
    }
}

/// Shows the name that chooses it.
impl fmt::Display for Set {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Embedded => "embedded",
            Self::Redis => "redis",
            Self::RabbitMq => "rabbitmq",
            Self::Cluster => "cluster",
            Self::Entry => "entry",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_chosen_by_the_name_that_it_shows() {
        for set in [
            Set::Embedded,
            Set::Redis,
            Set::RabbitMq,
            Set::Cluster,
            Set::Entry,
        ] {
            assert_eq!(set.to_string().parse::<Set>().unwrap(), set);
        }
        let message = "Redis".parse::<Set>().unwrap_err().to_string();
        assert!(message.contains("`redis`"), "{message}");
    }
}
