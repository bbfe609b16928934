//! Work that is done once for all who want it done at the same time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};

use crate::{Chain, PortError};

/// How it went, for each who waited.
type Outcome<T> = Result<T, Arc<PortError>>;

/// Work under way, which several may wait for.
pub(super) type Work<T> = Shared<BoxFuture<'static, Outcome<T>>>;

/// Work that somebody may still wait for.
type ByKey<K, T> = HashMap<K, WeakShared<BoxFuture<'static, Outcome<T>>>>;

/// What is under way, by what it is about.
///
/// Whoever joins it has the same outcome, and any of them carries it on where the one who began it goes away.
pub(super) struct UnderWay<K, T> {
    by_key: Mutex<ByKey<K, T>>,
}

impl<K, T> Default for UnderWay<K, T> {
    fn default() -> Self {
        Self {
            by_key: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash, T: Clone + Send + Sync + 'static> UnderWay<K, T> {
    /// How many that have ended are kept in mind at least, before they are looked for.
    const ENDED: usize = 64;

    /// The work about `key`, where somebody is at it.
    pub(super) fn join(&self, key: &K) -> Option<Work<T>> {
        self.lock().get(key).and_then(WeakShared::upgrade)
    }

    /// Begins work about `key`, which others join from now on.
    pub(super) fn begin(
        &self,
        key: K,
        work: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Work<T> {
        Self::begin_in(&mut self.lock(), key, work)
    }

    /// The work about `key`, which is begun where nobody is at it.
    pub(super) fn join_or_begin<W>(&self, key: K, work: impl FnOnce() -> W) -> Work<T>
    where
        W: Future<Output = Result<T, PortError>> + Send + 'static,
    {
        let mut by_key = self.lock();
        match by_key.get(&key).and_then(WeakShared::upgrade) {
            Some(work) => work,
            None => Self::begin_in(&mut by_key, key, work()),
        }
    }

    fn begin_in(
        by_key: &mut ByKey<K, T>,
        key: K,
        work: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Work<T> {
        let work = work.map(|outcome| outcome.map_err(Arc::new));
        let work = work.boxed().shared();
        if by_key.len() == by_key.capacity() && by_key.len() >= Self::ENDED {
            by_key.retain(|_, work| work.upgrade().is_some());
        }
        by_key.extend(work.downgrade().map(|work| (key, work)));
        work
    }

    fn lock(&self) -> MutexGuard<'_, ByKey<K, T>> {
        self.by_key.lock().expect("no holder of the lock panics")
    }
}

/// The failure of what was done for several, as one of them hands it on.
pub(super) fn told_again(error: &PortError) -> PortError {
    let again = PortError::new(error.kind, error.adapter, error.operation);
    match &error.source {
        Some(source) => again.caused_by(Chain(&**source).to_string()),
        None => again,
    }
}
