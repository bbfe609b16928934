//! What an operator may set about the connections to the server.

use std::{fmt, time::Duration};

/// Settings of the connections to MySQL or MariaDB.
#[derive(Clone, PartialEq, Eq)]
pub struct MySqlConfig {
    /// Server and database, `mysql://user:password@host:port/database`.
    ///
    /// `ssl-mode` (`DISABLED`, `PREFERRED`, `REQUIRED`, `VERIFY_CA`, `VERIFY_IDENTITY`), `ssl-ca`,
    /// `ssl-cert`, `ssl-key` and `socket` may follow as parameters.
    pub url: String,
    /// How many connections this process holds at most.
    pub connections: u32,
    /// How long a call waits for a connection.
    pub acquire_timeout: Duration,
    /// How long a call that only reads may take, with all retries and the wait for a connection.
    ///
    /// The server ends a statement that takes longer, unless it is upkeep.
    pub read_timeout: Duration,
    /// How long a call that writes may take, with all retries and the wait for a connection.
    pub timeout: Duration,
    /// How long one step of an audit, a purge or a rebuild, or the migration, may take.
    pub upkeep_timeout: Duration,
}

impl MySqlConfig {
    /// The usual settings for a database.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections: 10,
            acquire_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            upkeep_timeout: Duration::from_mins(2),
        }
    }
}

/// The address is left out: it has the password in it.
impl fmt::Debug for MySqlConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlConfig")
            .field("url", &"…")
            .field("connections", &self.connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("timeout", &self.timeout)
            .field("upkeep_timeout", &self.upkeep_timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::MySqlConfig;

    #[test]
    fn debug_hides_the_address() {
        let config = MySqlConfig::new("mysql://user:s3cret@host/chat");
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
