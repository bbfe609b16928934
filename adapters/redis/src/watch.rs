//! What one server said last of who it is, for a moment.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::info::Identity;

/// How old what is known may be.
///
/// A server that was made a replica and a master again keeps its run and its scripts, but lost what the
/// other master did not have. No script can see that, so whoever numbers asks once in this while; a
/// server that changed roles twice within it could not have copied the other's data.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vitals {
    /// Who answers.
    pub(crate) identity: Identity,
    /// Whether another server follows it.
    pub(crate) has_replicas: bool,
}

/// What one server said last.
#[derive(Default)]
pub(crate) struct Watch {
    latest: Mutex<Option<(Instant, Arc<Vitals>)>>,
    /// Held by whoever asks.
    pub(crate) asking: tokio::sync::Mutex<()>,
}

impl Watch {
    /// Forgets what is known, so that it is asked for anew.
    pub(crate) fn doubt(&self) {
        *self.latest() = None;
    }

    /// What is known, where it is not too old.
    pub(crate) fn fresh(&self) -> Option<Arc<Vitals>> {
        let latest = self.latest();
        let (asked, vitals) = latest.as_ref()?;
        (asked.elapsed() < KNOWN_FOR).then(|| Arc::clone(vitals))
    }

    /// Notes what was said to who asked at a moment.
    pub(crate) fn note(&self, asked: Instant, vitals: &Arc<Vitals>) {
        *self.latest() = Some((asked, Arc::clone(vitals)));
    }

    fn latest(&self) -> MutexGuard<'_, Option<(Instant, Arc<Vitals>)>> {
        self.latest.lock().expect("no holder of the lock panics")
    }
}
