//! Which shards are open: for which run of the server, in which epoch, by which scripts.

use std::sync::{Arc, Mutex, MutexGuard};

use chat_core::{
    PortError, PortErrorKind,
    model::{Admission, Epoch, EpochMark, Incarnation, Position, Shard, Sighting},
    ports::{Overload, Tokens},
};

use crate::{
    RedisLimits,
    connection::{Line, Syncing},
    error::{Failure, port_error},
    info::{COPIED, Identity, Info, TENURE},
    keys::{Keys, position},
    monitor::Monitor,
    nodes::Nodes,
    reply,
    scripts::{self, Call, JoiningScript, Scripts},
    server::Server,
};

/// The state of all shards as this process knows it.
pub(crate) struct Admissions {
    nodes: Arc<Nodes>,
    keys: Arc<Keys>,
    scripts: Arc<Scripts>,
    tokens: Arc<dyn Tokens>,
    limits: RedisLimits,
    shards: Vec<Mutex<Known>>,
    monitor: Monitor,
}

/// What is known of a shard.
#[derive(Default)]
struct Known {
    open: Option<Arc<Open>>,
    /// Whether it is noted in the shard that a replica has had its data.
    followed: bool,
    /// The epoch that it was opened for last.
    epoch: Option<Epoch>,
    /// The highest stream id that the server told this process of, in this epoch.
    furthest: Position,
}

/// A shard that numbers.
pub(crate) struct Open {
    /// Where it is.
    pub(crate) server: Arc<Server>,
    identity: Identity,
    /// The epoch that it was opened for.
    pub(crate) epoch: Epoch,
    /// The script that numbers.
    pub(crate) create: Arc<JoiningScript>,
    /// The hash of the script that seeds.
    pub(crate) seed: String,
}

impl Admissions {
    pub(crate) fn new(
        nodes: &Arc<Nodes>,
        keys: &Arc<Keys>,
        scripts: &Arc<Scripts>,
        tokens: Arc<dyn Tokens>,
        limits: RedisLimits,
    ) -> Self {
        Self {
            nodes: Arc::clone(nodes),
            keys: Arc::clone(keys),
            scripts: Arc::clone(scripts),
            tokens,
            limits,
            shards: keys.shards().map(|_| Mutex::default()).collect(),
            monitor: Monitor::new(nodes, keys, limits),
        }
    }

    /// The open shard, if it is open for the run of the server that answers now.
    pub(crate) async fn opened(&self, shard: Shard) -> Result<Option<Arc<Open>>, PortError> {
        let Some(open) = self.known(shard).open.clone() else {
            return Ok(None);
        };
        let is_there = self.nodes.of(shard);
        if !is_there.is_ok_and(|server| Arc::ptr_eq(&server, &open.server)) {
            self.shut(shard, &open);
            return Ok(None);
        }
        let vitals = self.monitor.vitals(&open.server).await?;
        if open.identity != vitals.identity {
            self.shut(shard, &open);
            return Ok(None);
        }
        if vitals.has_replicas && !self.known(shard).followed {
            self.note_replicas(&open.server).await?;
        }
        Ok(Some(open))
    }

    /// Which limit of all shards together forbids another creation, with or without a key.
    pub(crate) fn overload(&self, keyed: bool) -> Option<Overload> {
        self.monitor.overload(keyed)
    }

    /// Closes a shard that turned out not to be open, unless it was opened anew meanwhile.
    pub(crate) fn shut(&self, shard: Shard, found: &Arc<Open>) {
        let mut known = self.known(shard);
        if known
            .open
            .as_ref()
            .is_some_and(|open| Arc::ptr_eq(open, found))
        {
            known.open = None;
        }
    }

    /// Closes a shard that is open for an epoch.
    pub(crate) fn close(&self, shard: Shard, epoch: Epoch) {
        if self.keys.has(shard) {
            let mut known = self.known(shard);
            known.open.take_if(|open| open.epoch == epoch);
        }
    }

    /// Remembers how far a shard's stream has come.
    pub(crate) fn saw(&self, shard: Shard, position: Position) {
        let mut known = self.known(shard);
        known.furthest = known.furthest.max(position);
    }

    /// Observes a server that is not known to be admitted.
    pub(crate) async fn sight(&self, shard: Shard) -> Result<Sighting, PortError> {
        const SIGHTING: &str = "observe the server";
        let told = |failure: Failure| failure.of(SIGHTING);
        // What was known of the server and its place may be outdated, so both are asked for again.
        self.nodes.look().await;
        let server = self.nodes.of(shard).map_err(told)?;
        server.watch.doubt();
        // One connection for all, so that all answers are from one run.
        let mut line = server.line().await.map_err(told)?;
        let info = line.info(&[]).await.map_err(told)?;
        if let Some(reason) = info.unfit() {
            return Err(port_error(PortErrorKind::Misconfigured, SIGHTING, reason));
        }
        if let Some(reason) = info.not_now() {
            return Err(port_error(PortErrorKind::Unavailable, SIGHTING, reason));
        }
        let found = self.look(&server, &mut line, &info, shard).await;
        found.map_err(told)
    }

    async fn look(
        &self,
        server: &Server,
        line: &mut Line,
        info: &Info,
        shard: Shard,
    ) -> Result<Sighting, Failure> {
        let furthest = self.known(shard).furthest;
        let syncing = line.syncing(info).await?;
        let is_renewed = line.renew_log(info).await?;
        if !is_renewed {
            tracing::warn!(
                address = server.address,
                "Redis refuses `BGREWRITEAOF` to this user, so each start of Redis leaves a gap in \
                 the numbers"
            );
        }
        let mut asking = redis::cmd("HMGET");
        asking.arg(self.keys.of_shard(shard, 'm')).arg(&["f", "r"]);
        let mut found = reply::list(line.ask(&asking).await?)?.into_iter();
        let mut next = || reply::text(found.next().unwrap_or_default());
        let (synced, followed) = (next()?, next()?);
        let mark = self.mark(line, &self.keys.of_shard(shard, 'e')).await?;
        let position = last_position(line, &self.keys.of_shard(shard, 'q')).await?;
        // Once there were replicas, nobody can tell whether it is one of them that came back.
        let complete = is_renewed
            && syncing == Syncing::Always
            && synced == Syncing::Always.as_str()
            && followed.is_empty()
            && !info.has_replicas()
            && !info.was_promoted()
            && position >= furthest;
        let identity = info.identity();
        Ok(Sighting {
            shard,
            address: address_of(&server.address, &identity),
            incarnation: incarnation(&identity),
            mark,
            complete,
            position,
        })
    }

    /// Reads the epoch's mark, and leaves a nonce if there is none.
    async fn mark(&self, line: &mut Line, key: &str) -> Result<EpochMark, Failure> {
        let bytes = self.tokens.uid().to_bytes();
        let nonce = bytes
            .iter()
            .fold(0_u64, |nonce, byte| nonce.rotate_left(8) ^ u64::from(*byte));
        // With `NX`, so that the nonce of whoever came first stays.
        let mut leaving = redis::cmd("SET");
        leaving.arg(key).arg(format!("?{nonce}")).arg("NX");
        line.ask(&leaving).await?;
        parse_mark(&reply::text(line.ask(redis::cmd("GET").arg(key)).await?)?)
    }

    /// Installs an admitted epoch if the sighting still holds, and loads the scripts.
    pub(crate) async fn open(&self, admission: &Admission) -> Result<bool, Failure> {
        let Admission { sighting, epoch } = admission;
        let shard = sighting.shard;
        let Some(identity) = identity(&sighting.incarnation).filter(|_| self.keys.has(shard))
        else {
            return Ok(false);
        };
        let server = self.nodes.of(shard)?;
        let mut line = server.line().await?;
        let info = line.info(&["persistence"]).await?;
        let syncing = line.syncing(&info).await?;
        let tenure = match identity.tenure.as_str() {
            "" => String::new(),
            tenure => format!("{TENURE}:{tenure}"),
        };
        let call = Call::on(['e', 'm'].map(|kind| self.keys.of_shard(shard, kind)))
            .with(&identity.run)
            .with(format!("{COPIED}:{}", identity.copied))
            .with(mark_text(sighting.mark))
            .with(epoch.get())
            .with(syncing.as_str())
            .with(tenure);
        let installed = match line.ask(&self.scripts.open.command(&call)).await {
            Err(failure) if self.nodes.has_moved(&failure).await => return Ok(false),
            answer => reply::number(answer?)?,
        };
        if installed == 0 {
            return Ok(false);
        }
        // The same connection leads to the same run, so no other run gets to know these scripts.
        let create = load(&mut line, &scripts::create(&identity, *epoch, &self.limits)).await?;
        let common = ['e', 'b', 'q'].map(|kind| self.keys.of_shard(shard, kind));
        let seed = load(&mut line, &scripts::seed(&identity, *epoch, &self.limits)).await?;
        let mut known = self.known(shard);
        known.followed = false;
        // What was seen in an earlier epoch may be gone in a new one.
        known.furthest = match known.epoch.replace(*epoch) {
            Some(known_epoch) if known_epoch == *epoch => known.furthest.max(sighting.position),
            _ => sighting.position,
        };
        known.open = Some(Arc::new(Open {
            server,
            identity,
            epoch: *epoch,
            create: Arc::new(JoiningScript::new(create, common)),
            seed,
        }));
        Ok(true)
    }

    /// Notes, in every shard that is open on a server, that a replica has had its data.
    async fn note_replicas(&self, server: &Arc<Server>) -> Result<(), PortError> {
        for shard in self.keys.shards() {
            let open = self.known(shard).open.clone();
            let is_there = open.is_some_and(|open| Arc::ptr_eq(&open.server, server));
            if is_there && !self.known(shard).followed {
                let mut noting = redis::cmd("HSET");
                noting.arg(self.keys.of_shard(shard, 'm')).arg("r").arg(1);
                match self.nodes.ask(shard, &noting).await {
                    Ok(_) => self.known(shard).followed = true,
                    // It is moving to another node, where it is admitted again.
                    Err(failure) if failure.is_of_place() => {}
                    Err(failure) => return Err(failure.of("record that there are replicas")),
                }
            }
        }
        Ok(())
    }

    fn known(&self, shard: Shard) -> MutexGuard<'_, Known> {
        self.shards
            .get(usize::from(shard.get()))
            .expect("the shard is one of this system")
            .lock()
            .expect("no holder of the lock panics")
    }
}

async fn load(line: &mut Line, text: &str) -> Result<String, Failure> {
    reply::text(line.ask(redis::cmd("SCRIPT").arg("LOAD").arg(text)).await?)
}

/// The last id that a stream gave, even if that entry is gone.
async fn last_position(line: &mut Line, stream: &str) -> Result<Position, Failure> {
    let mut asking = redis::cmd("XINFO");
    asking.arg("STREAM").arg(stream);
    let answer = match line.ask(&asking).await {
        Err(failure) if failure.is("ERR") => return Ok(Position::default()),
        answer => reply::pairs(answer?)?,
    };
    for (name, value) in answer {
        if name == "last-generated-id" {
            return position(&reply::text(value)?).ok_or(Failure::Strange("a stream's id"));
        }
    }
    Err(Failure::Strange("a stream's state"))
}

fn incarnation(identity: &Identity) -> Incarnation {
    let Identity {
        run,
        copied,
        tenure,
    } = identity;
    let behind = if tenure.is_empty() { "" } else { "/" };
    Incarnation(format!("{run}/{copied}{behind}{tenure}"))
}

fn identity(incarnation: &Incarnation) -> Option<Identity> {
    let (run, rest) = incarnation.0.split_once('/')?;
    let (copied, tenure) = rest.split_once('/').unwrap_or((rest, ""));
    Some(Identity {
        run: run.to_owned(),
        copied: copied.to_owned(),
        tenure: tenure.to_owned(),
    })
}

/// The address that a server is recognised by; taking slots or another's place changes it.
fn address_of(address: &str, identity: &Identity) -> String {
    match identity.tenure.as_str() {
        "" => address.to_owned(),
        tenure => format!("{address} since {tenure}"),
    }
}

fn parse_mark(text: &str) -> Result<EpochMark, Failure> {
    let wrong = |_| Failure::Strange("an epoch");
    match text.strip_prefix('?') {
        Some(nonce) => Ok(EpochMark::Missing {
            nonce: nonce.parse().map_err(wrong)?,
        }),
        None => Ok(EpochMark::Installed(Epoch::new(
            text.parse().map_err(wrong)?,
        ))),
    }
}

fn mark_text(mark: EpochMark) -> String {
    match mark {
        EpochMark::Installed(epoch) => epoch.to_string(),
        EpochMark::Missing { nonce } => format!("?{nonce}"),
    }
}
