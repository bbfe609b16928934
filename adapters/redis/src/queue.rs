//! Durable work on streams, one for each shard.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chat_core::{
    Chain, PortError,
    model::{Creation, Draft, Position, Shard, Timestamp},
    ports::{Backlog, Clock, Consumer, Delivery, Queue, Receipt},
};
use futures_util::future::join_all;

use crate::{
    RedisConfig, entry,
    error::Failure,
    keys::{EntryPlace, GROUP, Keys, id, position},
    nodes::Nodes,
    reader::Reader,
    reply,
    scripts::{Call, Scripts, millis},
};

/// The consumer that stands for nobody, and holds what was given back.
pub(crate) const NOBODY: &str = "-";

/// The idle time set on what nobody holds, longer than any takeover time.
const LONG_IDLE: Duration = Duration::from_hours(24 * 365);

/// Carries work on one stream per shard, with one consumer group.
///
/// What a dead consumer holds is taken over by others after the configured takeover time.
pub struct RedisQueue {
    nodes: Arc<Nodes>,
    keys: Arc<Keys>,
    scripts: Arc<Scripts>,
    clock: Arc<dyn Clock>,
    config: RedisConfig,
    readers: Mutex<HashMap<Consumer, Arc<tokio::sync::Mutex<Reader>>>>,
    tidied: Mutex<Option<Instant>>,
}

impl RedisQueue {
    pub(crate) fn new(
        config: &RedisConfig,
        nodes: &Arc<Nodes>,
        keys: &Arc<Keys>,
        scripts: &Arc<Scripts>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            nodes: Arc::clone(nodes),
            keys: Arc::clone(keys),
            scripts: Arc::clone(scripts),
            clock,
            config: config.clone(),
            readers: Mutex::default(),
            tidied: Mutex::default(),
        }
    }

    /// The one reader of a consumer, with connections of its own.
    fn reader(&self, consumer: &Consumer) -> Arc<tokio::sync::Mutex<Reader>> {
        let mut readers = self.readers.lock().expect("no holder of the lock panics");
        if let Some(reader) = readers.get(consumer) {
            return Arc::clone(reader);
        }
        let reader = Reader::new(&self.nodes, &self.keys, &self.config, consumer);
        let reader = Arc::new(tokio::sync::Mutex::new(reader));
        readers.insert(consumer.clone(), Arc::clone(&reader));
        reader
    }

    /// Creates the consumer group in every stream, from the first entry that is there.
    async fn make_groups(&self) -> Result<(), Failure> {
        let making = self.keys.shards().map(async |shard| {
            let mut making = redis::cmd("XGROUP");
            making.arg("CREATE").arg(self.keys.of_shard(shard, 'q'));
            making.arg(GROUP).arg("0").arg("MKSTREAM");
            match self.nodes.ask(shard, &making).await {
                Err(failure) if !failure.is("BUSYGROUP") => Err(failure),
                _ => Ok(()),
            }
        });
        // If one server is away, the streams of the others still get their group.
        join_all(making).await.into_iter().collect()
    }

    async fn take(
        &self,
        consumer: &Consumer,
        most: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, Failure> {
        let reader = self.reader(consumer);
        let mut reader = reader.lock().await;
        let until = Instant::now() + wait;
        match reader.take(most, until).await {
            Err(failure) if failure.is("NOGROUP") => {
                if let Err(failure) = self.make_groups().await {
                    tracing::debug!(
                        %failure,
                        "the consumer group could not be created on all streams"
                    );
                }
                reader.take(most, until).await
            }
            Err(failure) if self.nodes.has_moved(&failure).await => reader.take(most, until).await,
            taken => taken,
        }
    }

    /// Removes consumers of processes that are gone, now and then.
    async fn tidy(&self) -> Result<(), Failure> {
        let silence = self.config.silence;
        {
            let mut tidied = self.tidied.lock().expect("no holder of the lock panics");
            if tidied.is_some_and(|at| at.elapsed() < silence / 4) {
                return Ok(());
            }
            *tidied = Some(Instant::now());
        }
        for shard in self.keys.shards() {
            let call = Call::on([self.keys.of_shard(shard, 'q')])
                .with(GROUP)
                .with(millis(silence));
            match self.nodes.run(shard, &self.scripts.tidy, &call).await {
                Err(failure) if !is_nothing_there(&failure) => return Err(failure),
                _ => {}
            }
        }
        Ok(())
    }

    /// Stream ids by shard; receipts that are not of this queue are left out.
    fn by_shard(&self, receipts: &[Receipt]) -> Vec<(Shard, Vec<String>)> {
        let mut ids: Vec<Vec<String>> = self.keys.shards().map(|_| Vec::new()).collect();
        for receipt in receipts {
            if let Some(place) = EntryPlace::parse(&receipt.0, &self.keys)
                && let Some(ids) = ids.get_mut(usize::from(place.shard.get()))
            {
                ids.push(id(place.position));
            }
        }
        let named = self.keys.shards().zip(ids);
        named.filter(|(_, ids)| !ids.is_empty()).collect()
    }

    async fn end(&self, receipts: &[Receipt]) -> Result<(), Failure> {
        for (shard, ids) in self.by_shard(receipts) {
            let kinds = ['b', 'q', 'k'];
            let mut call = Call::on(kinds.map(|kind| self.keys.of_shard(shard, kind)))
                .with(GROUP)
                .with(self.keys.base(shard));
            for id in ids {
                call.add(id);
            }
            self.nodes
                .run(shard, &self.scripts.acknowledge, &call)
                .await?;
        }
        Ok(())
    }

    async fn release(&self, receipts: &[Receipt]) -> Result<(), Failure> {
        for (shard, ids) in self.by_shard(receipts) {
            let mut releasing = redis::cmd("XCLAIM");
            releasing.arg(self.keys.of_shard(shard, 'q'));
            releasing.arg(GROUP).arg(NOBODY).arg(0).arg(&ids);
            releasing.arg("IDLE").arg(millis(LONG_IDLE)).arg("JUSTID");
            self.nodes.ask(shard, &releasing).await?;
        }
        Ok(())
    }

    async fn add(&self, creation: &Creation, forced: bool) -> Result<(), Failure> {
        let shard = self.keys.shard_of(&creation.sequence());
        let keys = ['b', 'q'].map(|kind| self.keys.of_shard(shard, kind));
        let mut call = Call::on(keys);
        for (name, value) in entry::written(creation, forced) {
            call.add(name);
            call.add(value);
        }
        self.nodes
            .run(shard, &self.scripts.publish, &call)
            .await
            .map(drop)
    }

    async fn give_all_back(&self, consumer: &Consumer) -> Result<(), Failure> {
        let giving = self.keys.shards().map(async |shard| {
            let call = Call::on([self.keys.of_shard(shard, 'q')])
                .with(GROUP)
                .with(&consumer.0)
                .with(NOBODY)
                .with(millis(LONG_IDLE));
            match self.nodes.run(shard, &self.scripts.leave, &call).await {
                Err(failure) if !is_nothing_there(&failure) => Err(failure),
                _ => Ok(()),
            }
        });
        // If one server is away, what is held on the others is given back all the same.
        join_all(giving).await.into_iter().collect()
    }

    async fn measure(&self) -> Result<Backlog, Failure> {
        let mut backlog = Backlog {
            entries: 0,
            bytes: 0,
            oldest: Some(Duration::ZERO),
        };
        let now = self.clock.now();
        for shard in self.keys.shards() {
            let kinds = ['b', 'q', 'k'];
            let call = Call::on(kinds.map(|kind| self.keys.of_shard(shard, kind))).with(GROUP);
            let answer = match self.nodes.read(shard, &self.scripts.backlog, &call).await {
                Err(failure) if is_nothing_there(&failure) => continue,
                answer => answer?,
            };
            let mut answer = reply::list(answer)?.into_iter();
            let mut next = || answer.next().unwrap_or_default();
            backlog.entries += reply::number(next())?;
            backlog.bytes += reply::number(next())?;
            let first = position(&reply::text(next())?);
            let payload = reply::bytes(next())?.unwrap_or_default();
            let since = first.map(|first| accepted_at(first, &payload));
            let age = since.map(|since| now.since(since));
            backlog.oldest = backlog.oldest.max(age);
        }
        Ok(backlog)
    }
}

/// When an entry was accepted: by its draft if that is readable, else by the server's clock.
fn accepted_at(position: Position, payload: &[u8]) -> Timestamp {
    let server_time = i64::try_from(position.major.saturating_mul(1_000)).unwrap_or(i64::MAX);
    Draft::decode(payload).map_or(Timestamp::from_micros(server_time), |draft| {
        draft.created_at
    })
}

/// Says whether a stream or its group is not there yet, so that nothing can be in it.
fn is_nothing_there(failure: &Failure) -> bool {
    failure.is("NOGROUP") || failure.is("ERR") && failure.to_string().contains("no such key")
}

#[async_trait]
impl Queue for RedisQueue {
    async fn publish(&self, creation: &Creation, forced: bool) -> Result<(), PortError> {
        let added = self.add(creation, forced).await;
        added.map_err(|failure| failure.of("publish work"))
    }

    async fn leave(&self, consumer: &Consumer) -> Result<(), PortError> {
        let reader = {
            let mut readers = self.readers.lock().expect("no holder of the lock panics");
            readers.remove(consumer)
        };
        // A read that is under way may still take something, so it must end first.
        if let Some(reader) = reader {
            drop(reader.lock().await);
        }
        let left = self.give_all_back(consumer).await;
        left.map_err(|failure| failure.of("release what a consumer holds"))
    }

    async fn receive(
        &self,
        consumer: &Consumer,
        most: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, PortError> {
        if let Err(failure) = self.tidy().await {
            let error = failure.of("remove stale consumers");
            tracing::warn!(
                error = %Chain(&error),
                "consumers of ended processes could not be removed; this is tried again later"
            );
        }
        let taken = self.take(consumer, most, wait).await;
        taken.map_err(|failure| failure.of("receive work"))
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), PortError> {
        let ended = self.end(receipts).await;
        ended.map_err(|failure| failure.of("acknowledge work"))
    }

    async fn give_back(&self, receipts: &[Receipt]) -> Result<(), PortError> {
        let released = self.release(receipts).await;
        released.map_err(|failure| failure.of("give work back"))
    }

    async fn backlog(&self) -> Result<Backlog, PortError> {
        let measured = self.measure().await;
        measured.map_err(|failure| failure.of("measure the backlog"))
    }

    async fn check(&self) -> Result<(), PortError> {
        self.nodes.check().await
    }
}
