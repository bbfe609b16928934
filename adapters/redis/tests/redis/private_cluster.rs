//! A Redis Cluster that one test has to itself, to break and to rearrange.

use std::time::{Duration, Instant};

use redis::Value;

use crate::{
    authority::Authority,
    private_server::{PrivateServer, free_port},
};

/// How long the nodes may take to agree, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many slots there are.
const SLOTS: u32 = 16_384;

/// How many nodes have slots at first.
const MASTERS: u32 = 3;

/// Three masters with a third of the slots each.
pub(crate) struct PrivateCluster {
    pub(crate) nodes: Vec<PrivateServer>,
}

impl PrivateCluster {
    /// Starts one; `None` if no server is installed and `CHAT_TEST_REQUIRE` does not name it.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(None).await
    }

    /// The same; with an authority, its nodes speak TLS, to each other too.
    pub(crate) async fn start_with(authority: Option<&Authority>) -> Option<Self> {
        let mut cluster = Self { nodes: Vec::new() };
        for at in 0..MASTERS {
            let node = node(authority).await?;
            node.ask(&format!("CLUSTER SET-CONFIG-EPOCH {}", at + 1))
                .await;
            let (first, last) = (SLOTS * at / MASTERS, SLOTS * (at + 1) / MASTERS - 1);
            node.ask(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"))
                .await;
            cluster.join(node).await;
        }
        cluster.agree().await;
        Some(cluster)
    }

    /// Adds a node that follows another.
    pub(crate) async fn add_replica(&mut self, of: usize) -> usize {
        let master = self.nodes[of].text("CLUSTER MYID").await;
        let replica = node(None).await.unwrap();
        self.join(replica).await;
        self.agree().await;
        let replica = self.nodes.last().unwrap();
        replica.ask(&format!("CLUSTER REPLICATE {master}")).await;
        until("the replica has its copy", async || {
            let info = replica.text("INFO replication").await;
            info.contains("master_link_status:up")
        })
        .await;
        for node in &self.nodes {
            until("all know of the replica", async || {
                let nodes = node.text("CLUSTER NODES").await;
                nodes
                    .lines()
                    .any(|line| line.contains("slave") && line.contains(&master))
            })
            .await;
        }
        self.nodes.len() - 1
    }

    async fn join(&mut self, node: PrivateServer) {
        if let Some(first) = self.nodes.first() {
            let bus = bus(first).await;
            node.ask(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", first.port))
                .await;
        }
        self.nodes.push(node);
    }

    /// Waits until all nodes know each other, and that the cluster works.
    pub(crate) async fn agree(&self) {
        let (count, slots) = (
            format!("cluster_known_nodes:{}\r", self.nodes.len()),
            format!("cluster_slots_assigned:{SLOTS}\r"),
        );
        for node in &self.nodes {
            until("the nodes agree", async || {
                let info = node.text("CLUSTER INFO").await;
                // A node may be known before its slots are.
                ["cluster_state:ok", &count, &slots]
                    .iter()
                    .all(|part| info.contains(part))
            })
            .await;
        }
    }

    /// Names two of the nodes, so that one of them may be away.
    pub(crate) fn url(&self) -> String {
        let [first, second, ..] = self.nodes.as_slice() else {
            panic!("a cluster has several nodes");
        };
        let (scheme, first, second) = match (first.tls_port, second.tls_port) {
            (Some(first), Some(second)) => ("rediss", first, second),
            _ => ("redis", first.port, second.port),
        };
        format!("{scheme}+cluster://127.0.0.1:{first}?node=127.0.0.1:{second}")
    }

    /// The slot of a shard, and which of the nodes had it at first.
    pub(crate) async fn home(&self, shard: u16) -> (u32, usize) {
        let asking = format!("CLUSTER KEYSLOT {{s{shard:02}}}");
        let slot = u32::try_from(self.nodes[0].number(&asking).await).unwrap();
        let at = (0..MASTERS).find(|at| slot < SLOTS * (at + 1) / MASTERS);
        (slot, at.unwrap() as usize)
    }

    /// Begins to bring a slot from one node to another.
    pub(crate) async fn begin_migration(&self, slot: u32, from: usize, to: usize) {
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let (source_id, target_id) = (
            source.text("CLUSTER MYID").await,
            target.text("CLUSTER MYID").await,
        );
        target
            .ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}"))
            .await;
        source
            .ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}"))
            .await;
    }

    /// Moves up to `most` keys of a slot to the other node; returns how many it moved.
    pub(crate) async fn migrate_keys(&self, slot: u32, from: usize, to: usize, most: u32) -> usize {
        let source = &self.nodes[from];
        let keys = source
            .ask(&format!("CLUSTER GETKEYSINSLOT {slot} {most}"))
            .await;
        let keys: Vec<String> = redis::from_redis_value(keys).unwrap();
        if keys.is_empty() {
            return 0;
        }
        let mut migrating = redis::cmd("MIGRATE");
        let target = &self.nodes[to];
        migrating
            .arg("127.0.0.1")
            .arg(target.tls_port.unwrap_or(target.port));
        migrating.arg("").arg(0).arg(10_000).arg("KEYS").arg(&keys);
        source.run(&migrating).await;
        keys.len()
    }

    /// Ends the migration of a slot, once all its keys are moved.
    pub(crate) async fn end_migration(&self, slot: u32, to: usize) {
        let target_id = self.nodes[to].text("CLUSTER MYID").await;
        let others = (0..self.nodes.len()).filter(|at| *at != to);
        for at in [to].into_iter().chain(others) {
            self.nodes[at]
                .ask(&format!("CLUSTER SETSLOT {slot} NODE {target_id}"))
                .await;
        }
    }
}

async fn node(authority: Option<&Authority>) -> Option<PrivateServer> {
    let bus = free_port().to_string();
    let arguments = [
        "--appendfsync",
        "always",
        "--cluster-enabled",
        "yes",
        "--cluster-require-full-coverage",
        "no",
        "--cluster-node-timeout",
        "1000",
        "--repl-diskless-sync-delay",
        "0",
        "--cluster-port",
        &bus,
    ];
    PrivateServer::start_with(&arguments, authority).await
}

async fn bus(node: &PrivateServer) -> String {
    let answer = node.ask("CONFIG GET cluster-port").await;
    let Value::Array(mut pair) = answer else {
        panic!("{answer:?}");
    };
    redis::from_redis_value(pair.pop().unwrap()).unwrap()
}

/// Polls until it is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
