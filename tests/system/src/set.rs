//! The sets of adapters that the same tests run on.

use std::{env, fmt, str::FromStr};

use anyhow::{Context as _, Result, bail};

/// What names the set in the environment.
const VARIABLE: &str = "CHAT_E2E";

/// What a system stands on.
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
}

impl Set {
    /// Answers the set that `CHAT_E2E` names, by default the embedded one.
    ///
    /// # Errors
    ///
    /// Fails where it names none.
    pub fn chosen() -> Result<Self> {
        match env::var_os(VARIABLE) {
            None => Ok(Self::Embedded),
            Some(name) => name.to_string_lossy().parse().context(VARIABLE),
        }
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
            _ => {
                bail!("there is no set `{name}`, but `embedded`, `redis`, `rabbitmq` and `cluster`")
            }
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_chosen_by_the_name_that_it_shows() {
        for set in [Set::Embedded, Set::Redis, Set::RabbitMq, Set::Cluster] {
            assert_eq!(set.to_string().parse::<Set>().unwrap(), set);
        }
        let message = "Redis".parse::<Set>().unwrap_err().to_string();
        assert!(message.contains("`redis`"), "{message}");
    }
}
