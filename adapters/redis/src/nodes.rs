//! Where the shards are: on one server, or on the nodes of a cluster.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, RwLock},
    time::{Duration, Instant},
};

use chat_core::{PortError, model::Shard};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{Cmd, ConnectionInfo, Value};
use tokio::time::timeout;

use crate::{
    RedisConfig,
    connection::tcp_settings,
    error::{Failure, OpenError},
    info::Info,
    keys::Keys,
    reply,
    scripts::{Call, Script, Scripts},
    server::Server,
    topology::Topology,
    url::{RedisUrl, address, beside, host},
};

/// How long it is left at that where things are was looked up, unless a node says that it is not so.
const LOOKED_FOR: Duration = Duration::from_millis(100);

/// Knows which server has which shard.
///
/// Everything is asked of the server of one shard, so the driver's own connection to a cluster has
/// nothing to do: it would send again by itself what a lost connection left in doubt, and a whole
/// pipeline where one command of it had moved, and does not tell who answered.
pub(crate) struct Nodes {
    keys: Arc<Keys>,
    config: RedisConfig,
    clustered: bool,
    /// The nodes that the operator named.
    seeds: Vec<ConnectionInfo>,
    /// The slot of each shard; none outside of a cluster.
    slots: Vec<u64>,
    map: RwLock<Arc<Map>>,
    looking: tokio::sync::Mutex<()>,
    looked: Mutex<Option<Instant>>,
}

/// Who has what, as last looked up.
#[derive(Default)]
pub(crate) struct Map {
    of_shard: Vec<Option<Arc<Server>>>,
    /// All that may be asked where things are, by their address; replicas too.
    known: BTreeMap<String, Arc<Server>>,
}

impl Map {
    /// The servers that have shards, and which.
    pub(crate) fn servers(&self) -> Vec<(Arc<Server>, Vec<Shard>)> {
        let mut servers: Vec<(Arc<Server>, Vec<Shard>)> = Vec::new();
        for (shard, server) in (0..).map(Shard::new).zip(&self.of_shard) {
            let Some(server) = server else { continue };
            match servers.iter_mut().find(|(it, _)| Arc::ptr_eq(it, server)) {
                Some((_, shards)) => shards.push(shard),
                None => servers.push((Arc::clone(server), vec![shard])),
            }
        }
        servers
    }
}

impl Nodes {
    /// Connects, and makes sure that every server does all that is needed, by having it done once.
    pub(crate) async fn connect(
        config: &RedisConfig,
        keys: &Arc<Keys>,
        scripts: &Scripts,
    ) -> Result<Self, OpenError> {
        let nodes = Self::reach(config, keys).await?;
        for (server, shards) in nodes.map().servers() {
            nodes
                .probe(&server, shards.first().copied(), scripts)
                .await?;
        }
        Ok(nodes)
    }

    /// Connects, and makes sure that every server is one that may be used, without changing anything.
    pub(crate) async fn reach(config: &RedisConfig, keys: &Arc<Keys>) -> Result<Self, OpenError> {
        // Whoever embeds this may have chosen another provider before, which then stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let RedisUrl { clustered, seeds } = RedisUrl::parse(&config.url, &tcp_settings())?;
        let mut nodes = Self {
            keys: Arc::clone(keys),
            config: config.clone(),
            clustered,
            slots: Vec::new(),
            map: RwLock::default(),
            looking: tokio::sync::Mutex::default(),
            looked: Mutex::default(),
            seeds,
        };
        nodes.begin().await?;
        for (server, _) in nodes.map().servers() {
            server.examine().await?;
        }
        Ok(nodes)
    }

    /// Finds out where the shards are for the first time.
    async fn begin(&mut self) -> Result<(), OpenError> {
        let addresses: Vec<String> = self.seeds.iter().map(|seed| address(seed.addr())).collect();
        let unreachable = |failure: Failure| OpenError::Unreachable {
            address: addresses.join(", "),
            source: failure.of("connect"),
        };
        let mut known = BTreeMap::new();
        for seed in &self.seeds {
            let server =
                Server::try_new(seed, self.clustered, &self.config).map_err(unreachable)?;
            known.insert(server.address.clone(), Arc::new(server));
        }
        let of_shard = match known.values().next() {
            Some(only) if !self.clustered => {
                self.keys.shards().map(|_| Some(Arc::clone(only))).collect()
            }
            _ => Vec::new(),
        };
        *self.map.write().expect("no holder of the lock panics") =
            Arc::new(Map { of_shard, known });
        if !self.clustered {
            return Ok(());
        }
        let (slots, topology) = match self.ask_anyone(true).await {
            Err(failure) if failure.to_string().contains("cluster support disabled") => {
                return Err(OpenError::Unusable {
                    address: addresses.join(", "),
                    reason: "it is no node of a cluster: name it by `redis://`".to_owned(),
                });
            }
            told => told.map_err(unreachable)?,
        };
        self.slots = slots;
        self.learn_map(&topology).map_err(unreachable)?;
        let is_whole = self.map().of_shard.iter().all(Option::is_some);
        if is_whole {
            Ok(())
        } else {
            Err(unreachable(Failure::Nowhere))
        }
    }

    /// Does once what the scripts do, so that none of them is stopped half-way for want of a permission.
    async fn probe(
        &self,
        server: &Server,
        shard: Option<Shard>,
        scripts: &Scripts,
    ) -> Result<(), OpenError> {
        let Some(shard) = shard else { return Ok(()) };
        let probes = ["x", "y", "z", "w", "v"].map(|kind| self.keys.probe(shard, kind));
        match self.run(shard, &scripts.probe, &Call::on(probes)).await {
            Err(failure) if failure.is("ERR") || failure.is("NOPERM") => Err(OpenError::Unusable {
                address: server.address.clone(),
                reason: format!("it does not let this user do all that is needed: {failure}"),
            }),
            // What else is wrong may pass, and is found again when something is created.
            _ => Ok(()),
        }
    }

    /// Where things are, as last looked up.
    pub(crate) fn map(&self) -> Arc<Map> {
        let map = self.map.read().expect("no holder of the lock panics");
        Arc::clone(&map)
    }

    /// Whether it is a cluster, where one server has no more than some of the shards.
    pub(crate) fn is_cluster(&self) -> bool {
        self.clustered
    }

    /// The server that has a shard.
    pub(crate) fn of(&self, shard: Shard) -> Result<Arc<Server>, Failure> {
        let map = self.map.read().expect("no holder of the lock panics");
        let server = map.of_shard.get(usize::from(shard.get()));
        server.cloned().flatten().ok_or(Failure::Nowhere)
    }

    /// Sends one command about a shard, to where it is.
    pub(crate) async fn ask(&self, shard: Shard, command: &Cmd) -> Result<Value, Failure> {
        let asked = match self.of(shard) {
            Ok(server) => server.shared.ask(command).await,
            Err(failure) => Err(failure),
        };
        match asked {
            Err(failure) if self.has_moved(&failure).await => {
                self.of(shard)?.shared.ask(command).await
            }
            answer => answer,
        }
    }

    /// Runs a script where a shard is, and sends its text where it is not known yet.
    pub(crate) async fn run(
        &self,
        shard: Shard,
        script: &Script,
        call: &Call,
    ) -> Result<Value, Failure> {
        match self.ask(shard, &script.by_hash(call)).await {
            // The server has started since.
            Err(failure) if failure.is("NOSCRIPT") => {
                self.renew_log(shard).await?;
                self.ask(shard, &script.command(call)).await
            }
            answer => answer,
        }
    }

    /// Makes sure that nothing is written behind what a server found at the end of its log; see
    /// [`Line::renew_log`](crate::connection::Line::renew_log).
    async fn renew_log(&self, shard: Shard) -> Result<(), Failure> {
        let server = self.of(shard)?;
        let info = server.info(&["persistence"]).await?;
        if info.has_renewed_log() {
            return Ok(());
        }
        server.line().await?.renew_log(&info).await.map(drop)
    }

    /// Looks anew where things are after a failure that may come of it.
    ///
    /// Answers `true` where nothing was done, because what was asked for is elsewhere.
    pub(crate) async fn has_moved(&self, failure: &Failure) -> bool {
        if !self.clustered {
            return false;
        }
        if failure.is("MOVED") {
            self.look().await;
            return true;
        }
        if failure.may_be_of_place() && self.is_due() {
            self.look().await;
        }
        false
    }

    fn is_due(&self) -> bool {
        let looked = self.looked.lock().expect("no holder of the lock panics");
        looked.is_none_or(|at| at.elapsed() >= LOOKED_FOR)
    }

    /// Looks where things are, once for all who want to know at the same time.
    pub(crate) async fn look(&self) {
        if !self.clustered {
            return;
        }
        let wanted = Instant::now();
        let _turn = self.looking.lock().await;
        {
            let mut looked = self.looked.lock().expect("no holder of the lock panics");
            // Somebody began to look after this was wanted.
            if looked.is_some_and(|at| at >= wanted) {
                return;
            }
            *looked = Some(Instant::now());
        }
        let told = self.ask_anyone(false).await;
        let learnt = told.and_then(|(_, topology)| self.learn_map(&topology));
        if let Err(failure) = learnt {
            // Whoever wanted to know fails by what it asks next.
            tracing::debug!(%failure, "no node of the cluster tells where the shards are");
        }
    }

    /// Asks all nodes where things are, and takes the first answer, of a node that works where there is one.
    async fn ask_anyone(&self, with_slots: bool) -> Result<(Vec<u64>, Topology), Failure> {
        let map = self.map();
        let mut asking: FuturesUnordered<_> = map
            .known
            .values()
            .map(|server| self.ask_one(server, with_slots))
            .collect();
        let mut second_best = Err(Failure::Nowhere);
        while let Some(told) = asking.next().await {
            match told {
                Ok((true, slots, topology)) => return Ok((slots, topology)),
                Ok((false, slots, topology)) => second_best = Ok((slots, topology)),
                Err(failure) if second_best.is_err() => second_best = Err(failure),
                Err(_) => {}
            }
        }
        second_best
    }

    /// Asks a node where things are, and whether the cluster works as it sees it.
    async fn ask_one(
        &self,
        server: &Server,
        with_slots: bool,
    ) -> Result<(bool, Vec<u64>, Topology), Failure> {
        let mut asking = redis::pipe();
        asking.cmd("CLUSTER").arg("INFO");
        asking.cmd("CLUSTER").arg("SLOTS");
        for shard in self.keys.shards().filter(|_| with_slots) {
            asking
                .cmd("CLUSTER")
                .arg("KEYSLOT")
                .arg(self.keys.base(shard));
        }
        let answers = timeout(self.config.connect_timeout, server.shared.ask_all(&asking));
        let mut answers = answers.await.map_err(|_| Failure::Late)??.into_iter();
        let info = Info::parse(&reply::text(answers.next().unwrap_or_default())?);
        let ranges = answers.next().unwrap_or_default();
        let topology = Topology::parse(ranges, host(server.place().addr()))?;
        let slots = answers.map(reply::number).collect::<Result<_, Failure>>()?;
        Ok((info.is_cluster_well(), slots, topology))
    }

    /// Takes over what was told; a server that is known already keeps its connections.
    fn learn_map(&self, topology: &Topology) -> Result<(), Failure> {
        let before = self.map();
        let seed = self.seeds.first().ok_or(Failure::Nowhere)?;
        let mut known = BTreeMap::new();
        let named = topology
            .all()
            .into_iter()
            .map(|endpoint| beside(seed, endpoint));
        for place in named.chain(self.seeds.iter().cloned()) {
            let address = address(place.addr());
            let server = match before.known.get(&address) {
                Some(server) => Arc::clone(server),
                None => Arc::new(Server::try_new(&place, true, &self.config)?),
            };
            known.insert(address, server);
        }
        let of_slot = |slot: &u64| {
            let place = beside(seed, topology.master(*slot)?);
            known.get(&address(place.addr())).cloned()
        };
        let of_shard: Vec<Option<Arc<Server>>> = self.slots.iter().map(of_slot).collect();
        let is_same = |one: &Option<Arc<Server>>, other: &Option<Arc<Server>>| {
            one.as_ref().map(Arc::as_ptr) == other.as_ref().map(Arc::as_ptr)
        };
        for (shard, server) in (0_u16..).zip(&of_shard) {
            let old = before.of_shard.get(usize::from(shard)).unwrap_or(&None);
            if !before.of_shard.is_empty() && !is_same(old, server) {
                let address = server.as_ref().map_or("nowhere", |it| it.address.as_str());
                tracing::info!(shard, address, "a shard is elsewhere in the cluster now");
            }
        }
        *self.map.write().expect("no holder of the lock panics") =
            Arc::new(Map { of_shard, known });
        Ok(())
    }

    /// Makes sure that every server answers and may be used.
    pub(crate) async fn check(&self) -> Result<(), PortError> {
        let map = self.map();
        if map.of_shard.iter().any(Option::is_none) {
            self.has_moved(&Failure::Nowhere).await;
            return Err(Failure::Nowhere.of("find every shard"));
        }
        for (server, _) in map.servers() {
            let checked = server.check().await;
            if checked.is_err() && self.is_due() {
                self.look().await;
            }
            checked?;
        }
        Ok(())
    }
}
