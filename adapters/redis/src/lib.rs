//! Counter and queue on Redis 7, a Redis Cluster, or Valkey: numbers by one script, work on streams.
//!
//! Everything of an application lies in one of a fixed number of shards, and all keys of a shard in one
//! hash slot, so that one script sees them all: it checks a creation's idempotency key, numbers it,
//! remembers it as pending and puts it into the shard's stream, in one step and one round trip. Creations
//! of a shard that come together share one run of it.
//!
//! A server that came back may have lost data. So the script that numbers has the server's run id and the
//! shard's epoch in its text, and is only called by its hash: a new run does not know it, and has to be
//! admitted by the repository first.
//!
//! In a cluster each node is such a server for the shards whose slots it has. A shard is admitted on its
//! node alone, and again when its slot moves to another node, as when a replica is promoted. A node that
//! took over slots, or another node's place, counts as a new server from then on: its configuration epoch
//! in the cluster is part of its identity.
//!
//! A message passes through these files, in order: [`counter`](RedisCounter) takes it, `admission` knows
//! the script of its shard, `batching` joins it with others, `scripts/create.lua` numbers it, `reader` hands
//! it to a worker, and `settling` forgets it once it is stored. `keys` documents every key, and `nodes`
//! knows the server of each shard.

mod admission;
mod batching;
mod config;
mod connection;
mod counter;
mod entry;
mod error;
mod info;
mod keys;
mod monitor;
mod nodes;
mod pending;
mod queue;
mod reader;
mod reply;
mod scripts;
mod server;
mod settling;
mod topology;
mod url;
mod watch;

use std::sync::Arc;

use chat_core::ports::{Clock, Tokens};
pub use config::{RedisConfig, RedisLimits};
pub use counter::RedisCounter;
pub use error::OpenError;
use keys::Keys;
use nodes::Nodes;
pub use queue::RedisQueue;
use scripts::Scripts;

/// Counter and queue over one server or cluster.
pub struct Redis {
    /// Numbers creations, and enqueues them if the configuration says so.
    pub counter: Arc<RedisCounter>,
    /// Carries numbered creations to the workers that store them.
    pub queue: Arc<RedisQueue>,
}

impl Redis {
    /// Connects, and makes sure that the server may be used.
    ///
    /// # Errors
    ///
    /// Fails when the settings make no sense, the server does not answer, or it is one that this program
    /// must not run on: too old, a node of a cluster where a single server is named or the reverse, set up
    /// to drop keys that are still needed, or one that denies this user a permission that is needed.
    pub async fn open(
        config: &RedisConfig,
        clock: Arc<dyn Clock>,
        tokens: Arc<dyn Tokens>,
    ) -> Result<Self, OpenError> {
        config.limits.check()?;
        let keys = Arc::new(Keys::try_new(config)?);
        let scripts = Arc::new(Scripts::new());
        let nodes = Arc::new(Nodes::connect(config, &keys, &scripts).await?);
        Ok(Self {
            counter: Arc::new(RedisCounter::new(config, &nodes, &keys, &scripts, tokens)),
            queue: Arc::new(RedisQueue::new(config, &nodes, &keys, &scripts, clock)),
        })
    }

    /// Makes sure that every server is there and may be used, without changing anything.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open), which also checks that the user has all permissions that are needed.
    pub async fn reach(config: &RedisConfig) -> Result<(), OpenError> {
        config.limits.check()?;
        let keys = Arc::new(Keys::try_new(config)?);
        Nodes::reach(config, &keys).await.map(drop)
    }
}
