//! Who answers and how much it holds, as known for a moment.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use chat_core::{PortError, PortErrorKind, ports::Overload};
use redis::Value;
use tokio::time::timeout;

use crate::{
    RedisLimits,
    error::{Failure, port_error},
    info::Info,
    keys::Keys,
    reply,
    scripts::Identity,
    server::Server,
};

/// How old what is known may be.
///
/// A server that was made a replica and a master again keeps its run and its scripts, but lost what the
/// other master did not have. No script can see that, so whoever numbers asks once in this while; a
/// server that changed roles twice within it could not have copied the other's data.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// What has to be asked for to know who answers.
const IDENTITY: [&str; 3] = ["server", "replication", "stats"];

/// For how many hours the count of an hour's idempotency keys stands: they live a day.
const HOURS: u64 = 25;

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vitals {
    /// Who answers.
    pub(crate) identity: Identity,
    /// Whether another server follows it.
    pub(crate) has_replicas: bool,
    /// Whether all shards together hold more waiting bytes than they may.
    ///
    /// A script sees its own shard alone. So the limits of the whole are exact for the system whose
    /// work lies in one shard, and else kept to within what is created in the time that this stands.
    is_full: bool,
    /// Whether they hold more idempotency keys than they may.
    has_all_keys: bool,
}

impl Vitals {
    /// Of what there is too much for another creation, with or without a key.
    pub(crate) fn overload(&self, keyed: bool) -> Option<Overload> {
        if self.is_full {
            return Some(Overload::Backlog);
        }
        (keyed && self.has_all_keys).then_some(Overload::Keys)
    }
}

/// Asks the server now and then, once for all callers.
pub(crate) struct Monitor {
    server: Arc<Server>,
    keys: Arc<Keys>,
    limits: RedisLimits,
    latest: Mutex<Option<(Instant, Arc<Vitals>)>>,
    asking: tokio::sync::Mutex<()>,
}

impl Monitor {
    pub(crate) fn new(server: &Arc<Server>, keys: &Arc<Keys>, limits: RedisLimits) -> Self {
        Self {
            server: Arc::clone(server),
            keys: Arc::clone(keys),
            limits,
            latest: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// What is known, asked for anew where it is too old.
    pub(crate) async fn vitals(&self) -> Result<Arc<Vitals>, PortError> {
        const ASKING: &str = "ask the server who it is";
        if let Some(vitals) = self.fresh() {
            return Ok(vitals);
        }
        let turn = timeout(self.server.answer_timeout, self.asking.lock()).await;
        let _turn = turn.map_err(|_| Failure::Late.of(ASKING))?;
        if let Some(vitals) = self.fresh() {
            return Ok(vitals);
        }
        let asked = Instant::now();
        let told = self.ask().await.map_err(|failure| failure.of(ASKING))?;
        let vitals =
            told.map_err(|reason| port_error(PortErrorKind::Unavailable, ASKING, reason))?;
        let vitals = Arc::new(vitals);
        *self.latest() = Some((asked, Arc::clone(&vitals)));
        Ok(vitals)
    }

    /// Forgets what is known, so that it is asked for anew.
    pub(crate) fn doubt(&self) {
        *self.latest() = None;
    }

    /// Asks; what makes the server useless for now is the inner error.
    async fn ask(&self) -> Result<Result<Vitals, &'static str>, Failure> {
        let mut asking = redis::pipe();
        asking.cmd("INFO").arg(&IDENTITY);
        asking.cmd("TIME");
        for shard in self.keys.shards() {
            asking.cmd("GET").arg(self.keys.of_shard(shard, 'b'));
            asking.cmd("HGETALL").arg(self.keys.of_shard(shard, 'n'));
        }
        let mut answers = self.server.ask_all(&asking).await?.into_iter();
        let info = Info::parse(&reply::text(answers.next().unwrap_or_default())?);
        if let Some(reason) = info.not_now() {
            return Ok(Err(reason));
        }
        let time = reply::list(answers.next().unwrap_or_default())?;
        let hour = reply::number(time.into_iter().next().unwrap_or_default())? / 3_600;
        let (mut bytes, mut keys) = (0, 0);
        while let (Some(waiting), Some(counts)) = (answers.next(), answers.next()) {
            bytes += waiting_bytes(waiting)?;
            keys += kept_keys(counts, hour)?;
        }
        let RedisLimits {
            high_bytes,
            low_bytes,
            keys: most_keys,
            ..
        } = self.limits;
        // Once there were too many, they have to fall first.
        let was_full = self.latest().as_ref().is_some_and(|(_, it)| it.is_full);
        Ok(Ok(Vitals {
            identity: info.identity(),
            has_replicas: info.has_replicas(),
            is_full: bytes > if was_full { low_bytes } else { high_bytes },
            has_all_keys: keys >= u64::from(most_keys),
        }))
    }

    fn fresh(&self) -> Option<Arc<Vitals>> {
        let latest = self.latest();
        let (asked, vitals) = latest.as_ref()?;
        (asked.elapsed() < KNOWN_FOR).then(|| Arc::clone(vitals))
    }

    fn latest(&self) -> MutexGuard<'_, Option<(Instant, Arc<Vitals>)>> {
        self.latest.lock().expect("no holder of the lock panics")
    }
}

/// The bytes that wait in a shard; behind them may stand that there were too many.
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
