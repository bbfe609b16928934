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

/// How long to wait before the topology is looked up again, unless a node answers `MOVED`.
const LOOKED_FOR: Duration = Duration::from_millis(100);

/// Knows which server has which shard.
///
/// Every command goes to the server of one shard, so the driver's own cluster connection is not used:
/// it would retry by itself a command whose outcome a lost connection left in doubt, and a whole
/// pipeline where one command of it had moved, and it does not tell which node answered.
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

/// Which server has which shard, as last looked up.
#[derive(Default)]
pub(crate) struct Map {
    of_shard: Vec<Option<Arc<Server>>>,
    /// All nodes that may be asked for the topology, replicas too, by their address.
    known: BTreeMap<String, Arc<Server>>,
}

impl Map {
    /// The servers that have shards, each with its shards.
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
    /// Connects, and makes sure that every server may be used and allows all that is needed.
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
        // A program that embeds this may have installed another provider already, which then stays.
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
                    reason: "it is not a node of a cluster: use a URL with `redis://`".to_owned(),
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

    /// Tries all that the scripts do, so that no missing permission stops one of them half-way.
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
                reason: format!("this user lacks a permission that is needed: {failure}"),
            }),
            // Any other failure may be temporary, and shows again when something is created.
            _ => Ok(()),
        }
    }

    /// The topology, as last looked up.
    pub(crate) fn map(&self) -> Arc<Map> {
        let map = self.map.read().expect("no holder of the lock panics");
        Arc::clone(&map)
    }

    /// Whether it is a cluster, where each node has only some of the shards.
    pub(crate) fn is_cluster(&self) -> bool {
        self.clustered
    }

    /// The server that has a shard.
    pub(crate) fn of(&self, shard: Shard) -> Result<Arc<Server>, Failure> {
        let map = self.map.read().expect("no holder of the lock panics");
        let server = map.of_shard.get(usize::from(shard.get()));
        server.cloned().flatten().ok_or(Failure::Nowhere)
    }

    /// Sends one command to the server of a shard; once more if the shard has moved.
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

    /// Runs a script on the server of a shard, and sends its text if that server does not know it.
    pub(crate) async fn run(
        &self,
        shard: Shard,
        script: &Script,
        call: &Call,
    ) -> Result<Value, Failure> {
        match self.ask(shard, &script.by_hash(call)).await {
            // The server has restarted, or never ran this script.
            Err(failure) if failure.is("NOSCRIPT") => {
                self.renew_log(shard).await?;
                self.ask(shard, &script.command(call)).await
            }
            answer => answer,
        }
    }

    /// Runs a script that only reads, and once more if its connection was lost.
    ///
    /// After a restart or a failover each process finds its connection dead, which its users need not see.
    pub(crate) async fn read(
        &self,
        shard: Shard,
        script: &Script,
        call: &Call,
    ) -> Result<Value, Failure> {
        let reading = async {
            match self.run(shard, script, call).await {
                Err(failure) if failure.is_of_connection() => self.run(shard, script, call).await,
                answer => answer,
            }
        };
        let answer = timeout(self.config.answer_timeout, reading).await;
        answer.map_err(|_| Failure::Late)?
    }

    /// Makes sure that nothing is appended to a log that may end in half a transaction; see
    /// [`Line::renew_log`](crate::connection::Line::renew_log).
    async fn renew_log(&self, shard: Shard) -> Result<(), Failure> {
        let server = self.of(shard)?;
        let info = server.info(&["persistence"]).await?;
        if info.has_renewed_log() {
            return Ok(());
        }
        server.line().await?.renew_log(&info).await.map(drop)
    }

    /// Looks up the topology again after a failure that a moved shard may have caused.
    ///
    /// Returns `true` if the shard is elsewhere and nothing was done, so that a retry is safe.
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

    /// Looks up the topology, once for all concurrent callers.
    pub(crate) async fn look(&self) {
        if !self.clustered {
            return;
        }
        let wanted = Instant::now();
        let _turn = self.looking.lock().await;
        {
            let mut looked = self.looked.lock().expect("no holder of the lock panics");
            // Another caller has looked since this one asked.
            if looked.is_some_and(|at| at >= wanted) {
                return;
            }
            *looked = Some(Instant::now());
        }
        let told = self.ask_anyone(false).await;
        let learnt = told.and_then(|(_, topology)| self.learn_map(&topology));
        if let Err(failure) = learnt {
            // The callers will fail with their next command.
            tracing::debug!(%failure, "the topology of the cluster could not be looked up");
        }
    }

    /// Asks all nodes for the topology; the first to see a working cluster wins, else any answer does.
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

    /// Asks a node for the topology, and whether it sees a working cluster.
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

    /// Adopts a topology; a server that is known already keeps its connections.
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
                tracing::info!(
                    shard,
                    address,
                    "a shard has moved to another node of the cluster"
                );
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
            return Err(Failure::Nowhere.of("find a node for every shard"));
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
