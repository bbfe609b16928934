//! Work that is done once for all who ask for it at the same time (single flight).

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

/// The outcome, for each who waited.
type Outcome<T> = Result<T, Arc<PortError>>;

/// Work under way, which several may wait for.
pub(super) type Work<T> = Shared<BoxFuture<'static, Outcome<T>>>;

/// Work by key, held weakly: it ends when nobody waits for it any more.
type ByKey<K, T> = HashMap<K, WeakShared<BoxFuture<'static, Outcome<T>>>>;

/// Work under way, by key.
///
/// All who join a piece of work share its outcome, and any of them drives it on if whoever began it goes away.
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
    /// How many entries there must be before those of ended work are looked for and removed.
    const ENDED: usize = 64;

    /// Joins the work on `key`, if any is under way.
    pub(super) fn join(&self, key: &K) -> Option<Work<T>> {
        self.lock().get(key).and_then(WeakShared::upgrade)
    }

    /// Begins work on `key`, which others join from now on.
    pub(super) fn begin(
        &self,
        key: K,
        work: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Work<T> {
        Self::begin_in(&mut self.lock(), key, work)
    }

    /// Joins the work on `key`, or begins it if none is under way.
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

/// Copies the failure of shared work, for one of those who waited to return.
pub(super) fn told_again(error: &PortError) -> PortError {
    let again = PortError::new(error.kind, error.adapter, error.operation);
    match &error.source {
        Some(source) => again.caused_by(Chain(&**source).to_string()),
        None => again,
    }
}
