//! Where every `api` of one system is.

use std::vec;

use hyper::http::uri::Authority;

/// The addresses of servers that are interchangeable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers(Vec<Authority>);

impl From<Authority> for Servers {
    fn from(only: Authority) -> Self {
        Self(vec![only])
    }
}

impl From<&Authority> for Servers {
    fn from(only: &Authority) -> Self {
        only.clone().into()
    }
}

impl From<&Self> for Servers {
    fn from(servers: &Self) -> Self {
        servers.clone()
    }
}

impl FromIterator<Authority> for Servers {
    fn from_iter<I: IntoIterator<Item = Authority>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl IntoIterator for Servers {
    type Item = Authority;
    type IntoIter = vec::IntoIter<Authority>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Servers {
    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Picks one of them by a running number, round-robin.
    ///
    /// # Panics
    ///
    /// Panics where there is none.
    #[must_use]
    pub fn one(&self, number: usize) -> &Authority {
        &self.0[number % self.count()]
    }

    /// Rotates their order: the first `by` of them come last.
    #[must_use]
    pub fn turned(mut self, by: usize) -> Self {
        let count = self.count().max(1);
        self.0.rotate_left(by % count);
        self
    }
}
