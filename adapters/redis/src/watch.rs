//! A cache of who a server last said it is, fresh for a moment.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::info::Identity;

/// How long a server's vitals stay fresh.
///
/// A server that was made a replica and then a master again keeps its run id and its scripts, but lost
/// what the other master did not have. No script can see that, so whoever numbers asks again after this
/// time; a server that changed roles twice within it could not have copied the other's data.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vitals {
    /// Who answers.
    pub(crate) identity: Identity,
    /// Whether replicas are connected to it.
    pub(crate) has_replicas: bool,
}

/// The latest vitals of one server.
#[derive(Default)]
pub(crate) struct Watch {
    latest: Mutex<Option<(Instant, Arc<Vitals>)>>,
    /// Held by the caller who asks, while the others wait for that answer.
    pub(crate) asking: tokio::sync::Mutex<()>,
}

impl Watch {
    /// Forgets the vitals, so that they are asked for again.
    pub(crate) fn doubt(&self) {
        *self.latest() = None;
    }

    /// The vitals, unless they are too old.
    pub(crate) fn fresh(&self) -> Option<Arc<Vitals>> {
        let latest = self.latest();
        let (asked, vitals) = latest.as_ref()?;
        (asked.elapsed() < KNOWN_FOR).then(|| Arc::clone(vitals))
    }

    /// Stores the answer to a question that was asked at that moment.
    pub(crate) fn note(&self, asked: Instant, vitals: &Arc<Vitals>) {
        *self.latest() = Some((asked, Arc::clone(vitals)));
    }

    fn latest(&self) -> MutexGuard<'_, Option<(Instant, Arc<Vitals>)>> {
        self.latest.lock().expect("no holder of the lock panics")
    }
}
