//! Asks who a server is and how much it holds, and keeps the answer for a moment.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use chat_core::{PortError, PortErrorKind, model::Shard, ports::Overload};
use redis::Value;
use tokio::time::timeout;

use crate::{
    RedisLimits,
    error::{Failure, port_error},
    keys::Keys,
    nodes::Nodes,
    reply,
    server::Server,
    watch::Vitals,
};

/// The sections of `INFO` that tell who answers.
const IDENTITY: [&str; 3] = ["server", "replication", "stats"];

/// For how many hours the idempotency keys made in an hour are counted: each lives for a day.
const HOURS: u64 = 25;

/// How much the shards hold.
///
/// A script sees its own shard alone. So the limits of the whole system are exact if all work lies in
/// one shard, and else may be exceeded by what is created while vitals are fresh.
#[derive(Default)]
struct Totals {
    /// Waiting bytes and idempotency keys of each shard, as last heard.
    of_shard: Vec<(u64, u64)>,
    /// Whether all together hold more waiting bytes than they may.
    is_full: bool,
    /// Whether they hold more idempotency keys than they may.
    has_all_keys: bool,
}

/// Asks each server once its vitals are stale, once for all callers.
#[derive(Clone)]
pub(crate) struct Monitor {
    nodes: Arc<Nodes>,
    keys: Arc<Keys>,
    limits: RedisLimits,
    totals: Arc<Mutex<Totals>>,
}

impl Monitor {
    pub(crate) fn new(nodes: &Arc<Nodes>, keys: &Arc<Keys>, limits: RedisLimits) -> Self {
        let totals = Totals {
            of_shard: keys.shards().map(|_| (0, 0)).collect(),
            ..Totals::default()
        };
        Self {
            nodes: Arc::clone(nodes),
            keys: Arc::clone(keys),
            limits,
            totals: Arc::new(Mutex::new(totals)),
        }
    }

    /// The vitals of a server, asked for again if they are too old.
    pub(crate) async fn vitals(&self, server: &Arc<Server>) -> Result<Arc<Vitals>, PortError> {
        const ASKING: &str = "check the server's identity";
        let watch = &server.watch;
        if let Some(vitals) = watch.fresh() {
            return Ok(vitals);
        }
        let turn = timeout(server.shared.answer_timeout, watch.asking.lock()).await;
        let _turn = turn.map_err(|_| Failure::Late.of(ASKING))?;
        if let Some(vitals) = watch.fresh() {
            return Ok(vitals);
        }
        self.ask_others(server);
        match self.ask(server).await {
            Ok(Ok(vitals)) => Ok(vitals),
            Ok(Err(reason)) => {
                // A server that is a replica now was a master when the topology was looked up.
                self.nodes.has_moved(&Failure::Nowhere).await;
                Err(port_error(PortErrorKind::Unavailable, ASKING, reason))
            }
            Err(failure) => {
                self.nodes.has_moved(&failure).await;
                Err(failure.of(ASKING))
            }
        }
    }

    /// Which limit of the whole system forbids another creation, with or without a key.
    pub(crate) fn overload(&self, keyed: bool) -> Option<Overload> {
        let totals = self.totals();
        if totals.is_full {
            return Some(Overload::Backlog);
        }
        (keyed && totals.has_all_keys).then_some(Overload::Keys)
    }

    /// Asks the other servers how much they hold, in the background.
    fn ask_others(&self, server: &Arc<Server>) {
        if !self.nodes.is_cluster() {
            return;
        }
        for (other, _) in self.nodes.map().servers() {
            if Arc::ptr_eq(&other, server) || other.watch.fresh().is_some() {
                continue;
            }
            let monitor = self.clone();
            tokio::spawn(async move {
                if let Ok(_turn) = other.watch.asking.try_lock() {
                    // A failure is reported to the callers that need that server.
                    let _ = monitor.ask(&other).await;
                }
            });
        }
    }

    /// Asks a server; the inner error is why it cannot be used for now.
    async fn ask(
        &self,
        server: &Arc<Server>,
    ) -> Result<Result<Arc<Vitals>, &'static str>, Failure> {
        let asked = Instant::now();
        let map = self.nodes.map();
        let mut servers = map.servers().into_iter();
        let shards = servers.find(|(it, _)| Arc::ptr_eq(it, server));
        let shards = shards.map_or_else(Vec::new, |(_, shards)| shards);
        let mut asking = redis::pipe();
        server.asking_info(&mut asking, &IDENTITY);
        asking.cmd("TIME");
        for shard in &shards {
            asking.cmd("GET").arg(self.keys.of_shard(*shard, 'b'));
            asking.cmd("HGETALL").arg(self.keys.of_shard(*shard, 'n'));
        }
        let answers = server.shared.ask_each(asking.ignore_errors()).await?;
        let mut answers = answers.into_iter();
        let info = server.read_info(&mut answers)?;
        if let Some(reason) = info.not_now() {
            return Ok(Err(reason));
        }
        let time = reply::list(answers.next().unwrap_or(Ok(Value::Nil))?)?;
        let hour = reply::number(time.into_iter().next().unwrap_or_default())? / 3_600;
        let mut held = Vec::with_capacity(shards.len());
        for shard in shards {
            match (answers.next(), answers.next()) {
                (Some(Ok(waiting)), Some(Ok(counts))) => {
                    held.push((shard, (waiting_bytes(waiting)?, kept_keys(counts, hour)?)));
                }
                // A shard that is migrating keeps its last totals, and does not fail the others.
                (Some(Err(failure)), _) | (_, Some(Err(failure))) if !failure.is_of_place() => {
                    return Err(failure);
                }
                _ => {}
            }
        }
        self.count(held);
        let vitals = Arc::new(Vitals {
            identity: info.identity(),
            has_replicas: info.has_replicas(),
        });
        server.watch.note(asked, &vitals);
        Ok(Ok(vitals))
    }

    fn count(&self, held: Vec<(Shard, (u64, u64))>) {
        let RedisLimits {
            high_bytes,
            low_bytes,
            keys: most_keys,
            ..
        } = self.limits;
        let mut totals = self.totals();
        for (shard, held) in held {
            if let Some(of_shard) = totals.of_shard.get_mut(usize::from(shard.get())) {
                *of_shard = held;
            }
        }
        let (bytes, keys) = totals
            .of_shard
            .iter()
            .fold((0, 0), |(bytes, keys), of| (bytes + of.0, keys + of.1));
        // Once there were too many bytes, they must fall to the low limit first.
        totals.is_full = bytes
            > if totals.is_full {
                low_bytes
            } else {
                high_bytes
            };
        totals.has_all_keys = keys >= u64::from(most_keys);
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().expect("no holder of the lock panics")
    }
}

/// The waiting bytes of a shard; a `+` behind them marks that there were too many.
fn waiting_bytes(value: Value) -> Result<u64, Failure> {
    let text = reply::text(value)?;
    let digits = text.strip_suffix('+').unwrap_or(&text);
    if digits.is_empty() {
        return Ok(0);
    }
    digits
        .parse()
        .map_err(|_| Failure::Strange("a number of bytes"))
}

/// How many idempotency keys of the last hours a shard has.
fn kept_keys(value: Value, now: u64) -> Result<u64, Failure> {
    let counts: HashMap<String, Value> = reply::pairs(value)?.into_iter().collect();
    let mut kept = 0;
    for (name, count) in counts {
        if let Ok(made) = name.parse::<u64>()
            && made + HOURS > now
        {
            kept += reply::number(count)?;
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_and_without_the_mark() {
        for (text, bytes) in [("", 0), ("0", 0), ("17", 17), ("17+", 17)] {
            let value = Value::BulkString(text.as_bytes().to_vec());
            assert_eq!(waiting_bytes(value).unwrap(), bytes, "{text:?}");
        }
        assert_eq!(waiting_bytes(Value::Nil).unwrap(), 0);
        assert!(waiting_bytes(Value::BulkString(b"many".to_vec())).is_err());
    }

    #[test]
    fn keys_of_the_last_day_are_counted() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let counts = [
            "total", "9", "hour", "500", "500", "3", "476", "2", "475", "4",
        ];
        let value = Value::Array(counts.map(text).to_vec());
        assert_eq!(kept_keys(value, 500).unwrap(), 5);
    }
}
