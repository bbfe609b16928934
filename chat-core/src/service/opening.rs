//! Having a counter's server admitted, once for all who wait for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};

use crate::{
    Chain, PortError,
    model::Shard,
    ports::{Counter, Ports, Repository},
};

type Opening = BoxFuture<'static, Result<(), Arc<PortError>>>;

/// Opens shards for the runs of their servers.
///
/// Whoever finds a shard closed while somebody has it opened waits for the same outcome, so a server that
/// came back is looked at once, and a database that is away is asked once. Any of them carries it on where
/// the one who began it goes away.
pub(crate) struct Opener {
    counter: Arc<dyn Counter>,
    repository: Arc<dyn Repository>,
    under_way: Mutex<HashMap<Shard, WeakShared<Opening>>>,
}

impl Opener {
    pub(crate) fn new(ports: &Ports) -> Self {
        Self {
            counter: Arc::clone(&ports.counter),
            repository: Arc::clone(&ports.repository),
            under_way: Mutex::default(),
        }
    }

    /// Has the present run of a shard's server admitted, and opens the shard for it.
    ///
    /// # Errors
    ///
    /// Fails when a backend does.
    pub(crate) async fn open(&self, shard: Shard) -> Result<(), PortError> {
        self.begin_or_join(shard).await.map_err(|error| {
            let again = PortError::new(error.kind, error.adapter, error.operation);
            match &error.source {
                Some(source) => again.caused_by(Chain(&**source).to_string()),
                None => again,
            }
        })
    }

    fn begin_or_join(&self, shard: Shard) -> Shared<Opening> {
        let mut under_way = self.under_way.lock().expect("no holder of the lock panics");
        if let Some(opening) = under_way.get(&shard).and_then(WeakShared::upgrade) {
            return opening;
        }
        let opening = open(
            Arc::clone(&self.counter),
            Arc::clone(&self.repository),
            shard,
        );
        let opening = opening.map(|outcome| outcome.map_err(Arc::new));
        let opening = opening.boxed().shared();
        under_way.extend(opening.downgrade().map(|opening| (shard, opening)));
        opening
    }
}

/// The record is read first: who changes it later has overtaken this sighting, and the next try sights anew,
/// as it does where the server is another one when the shard is opened.
async fn open(
    counter: Arc<dyn Counter>,
    repository: Arc<dyn Repository>,
    shard: Shard,
) -> Result<(), PortError> {
    let read = repository.shard(shard).await?;
    let sighting = counter.sight(shard).await?;
    let Some(admission) = repository.admit(&sighting, read).await? else {
        return Ok(());
    };
    if counter.open(&admission).await? {
        tracing::warn!(
            shard = shard.get(),
            epoch = admission.epoch.get(),
            "a run of the counter was admitted"
        );
    }
    Ok(())
}
