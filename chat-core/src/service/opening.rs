//! Getting a counter's server admitted, once for all who wait for it.

use std::sync::Arc;

use super::once::{UnderWay, told_again};
use crate::{
    PortError,
    model::Shard,
    ports::{Counter, Ports, Repository},
};

/// Opens shards for the runs of their servers.
///
/// All who find a shard closed share one attempt to open it, so a server that came back is sighted once,
/// and a database that is down is asked once.
pub(crate) struct Opener {
    counter: Arc<dyn Counter>,
    repository: Arc<dyn Repository>,
    under_way: UnderWay<Shard, ()>,
}

impl Opener {
    pub(crate) fn new(ports: &Ports) -> Self {
        Self {
            counter: Arc::clone(&ports.counter),
            repository: Arc::clone(&ports.repository),
            under_way: UnderWay::default(),
        }
    }

    /// Gets the present run of a shard's server admitted, and opens the shard for it.
    ///
    /// # Errors
    ///
    /// Fails when a backend does.
    pub(crate) async fn open(&self, shard: Shard) -> Result<(), PortError> {
        let opening = self.under_way.join_or_begin(shard, || {
            let (counter, repository) = (Arc::clone(&self.counter), Arc::clone(&self.repository));
            open(counter, repository, shard)
        });
        opening.await.map_err(|error| told_again(&error))
    }
}

/// Opens a shard for the run that answers now, unless this attempt is overtaken.
///
/// The record is read first: whoever changes it later has overtaken this sighting, and the next try sights
/// anew. The same holds if another run answers by the time that the shard is opened.
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
