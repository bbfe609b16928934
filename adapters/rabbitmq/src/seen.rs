//! The mean size of the entries that this process has seen: the broker tells no sizes.

use std::sync::atomic::{AtomicU64, Ordering};

/// What this process has published and received.
#[derive(Default)]
pub(crate) struct Seen {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Seen {
    pub(crate) fn note(&self, bytes: usize) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Estimates the bytes of so many entries, from the mean size of those seen.
    pub(crate) fn bytes_of(&self, entries: u64) -> u64 {
        let seen = u128::from(self.entries.load(Ordering::Relaxed)).max(1);
        let bytes = u128::from(self.bytes.load(Ordering::Relaxed));
        u64::try_from(bytes * u128::from(entries) / seen).unwrap_or(u64::MAX)
    }
}
