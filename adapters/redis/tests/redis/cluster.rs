//! On a cluster each node is trusted for its own shards, and for as long as it has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chat_adapter_redis::{OpenError, Redis, RedisConfig};
use chat_core::{
    contract::Scene,
    memory::Memory,
    model::{ChatKey, Content, Creation, Epoch, NumberRange, Shard},
    ports::Numbering,
};
use tokio::task::JoinSet;

use crate::{
    private_cluster::{PrivateCluster, until},
    private_server::PrivateServer,
    system::{System, message, send, work},
};

/// How many shards the systems here have.
const SHARDS: u16 = 16;

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_begins_an_epoch_for_its_shards_alone() {
    let Some(mut cluster) = PrivateCluster::start().await else {
        return;
    };
    let system = System::new();
    let (scene, chats) = begin(&system, &cluster).await;
    let (_, doomed) = cluster.home(shard_of(chats[0])).await;
    let replica = cluster.add_replica(doomed).await;
    let load = Load::begin(&system, &cluster, &chats).await;
    load.go_on(200).await;
    cluster.nodes[doomed].kill();
    until("the replica is promoted", async || {
        let info = cluster.nodes[replica].text("INFO replication").await;
        info.contains("role:master")
    })
    .await;
    let next = try_again(&scene, chats[0]).await;
    assert_eq!(next.epoch, Epoch::FIRST.next());
    load.go_on(200).await;
    load.end(&scene).await;
    for chat in &chats {
        let (_, home) = cluster.home(shard_of(*chat)).await;
        let epoch = try_again(&scene, *chat).await.epoch;
        assert_eq!(epoch != Epoch::FIRST, home == doomed, "{chat:?} {epoch}");
    }
    // The old master comes back as a replica of the new one, and is asked nothing.
    cluster.nodes[doomed].come_back().await;
    until("it follows", async || {
        let info = cluster.nodes[doomed].text("INFO replication").await;
        info.contains("role:slave")
    })
    .await;
    let next = try_again(&scene, chats[0]).await;
    assert_eq!(next.epoch, Epoch::FIRST.next());
    while work(&scene).await > 0 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_while_it_numbers_repeats_nothing() {
    let Some(cluster) = PrivateCluster::start().await else {
        return;
    };
    let system = System::new();
    let (scene, chats) = begin(&system, &cluster).await;
    let (slot, from) = cluster.home(shard_of(chats[0])).await;
    let (to, third) = ((from + 1) % 3, (from + 2) % 3);
    let load = Load::begin(&system, &cluster, &chats).await;
    load.go_on(200).await;
    cluster.begin_migration(slot, from, to).await;
    while cluster.migrate_keys(slot, from, to, 3).await > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Until the migration ends, the other shards of both nodes are numbered and read as ever.
    load.go_on(200).await;
    cluster.end_migration(slot, to).await;
    let next = try_again(&scene, chats[0]).await;
    assert_eq!(next.epoch, Epoch::FIRST.next());
    load.go_on(200).await;
    load.end(&scene).await;
    for chat in &chats {
        let (at, home) = cluster.home(shard_of(*chat)).await;
        let epoch = try_again(&scene, *chat).await.epoch;
        if at == slot {
            assert_eq!(epoch, Epoch::FIRST.next());
        } else if home == from || home == third {
            assert_eq!(epoch, Epoch::FIRST, "{chat:?}");
        }
    }
    while work(&scene).await > 0 {}
}

/// A new chat's keys depend on its number and are not declared, so a migrating slot may refuse them.
#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_created_while_its_slot_is_leaving() {
    let Some(cluster) = PrivateCluster::start().await else {
        return;
    };
    let system = System::new();
    let (scene, chats) = begin(&system, &cluster).await;
    let application = chats[0].application;
    let chat = || Content::Chat {
        application,
        title: None,
    };
    let before = scene.create(chat()).await;
    let (slot, home) = cluster.home(shard_of(chats[0])).await;
    let to = (home + 1) % 3;
    cluster.begin_migration(slot, home, to).await;
    let Numbering::Accepted { number, .. } = scene.submit(chat()).await else {
        panic!("it was not created");
    };
    assert_eq!(number.get(), before.number.get() + 1);
    for node in [home, to] {
        let stay = format!("CLUSTER SETSLOT {slot} STABLE");
        cluster.nodes[node].ask(&stay).await;
    }
    let within = ChatKey {
        application,
        chat: number.into(),
    };
    assert_eq!(try_again(&scene, within).await.number.get(), 1);
}

/// The run, the scripts and the epoch are the same then: only the data has been elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_elsewhere_and_lost_something_there_repeats_nothing() {
    let Some(cluster) = PrivateCluster::start().await else {
        return;
    };
    let (scene, chats) = begin(&System::new(), &cluster).await;
    let chat = chats[0];
    send(&scene, chat, 3).await;
    while work(&scene).await > 0 {}
    let given = send(&scene, chat, 3).await;
    let shard = shard_of(chat);
    let (slot, home) = cluster.home(shard).await;
    let away = (home + 1) % 3;
    bring(&cluster, slot, home, away).await;
    let name = format!("{{s{shard:02}}}:{}:{}", chat.application, chat.chat);
    let lost = format!("DEL {name}c {name}p {{s{shard:02}}}:q");
    assert_eq!(cluster.nodes[away].number(&lost).await, 3);
    bring(&cluster, slot, away, home).await;
    // Wait until the cached vitals are stale.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let next = try_again(&scene, chat).await;
    assert!(next.number > given.number, "{} again", next.number);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_on_its_own_disk_leaves_no_gap() {
    let Some(mut cluster) = PrivateCluster::start().await else {
        return;
    };
    let (scene, chats) = begin(&System::new(), &cluster).await;
    let (_, home) = cluster.home(shard_of(chats[0])).await;
    for chat in &chats {
        send(&scene, *chat, 3).await;
    }
    cluster.nodes[home].come_back().await;
    cluster.agree().await;
    for chat in &chats {
        let next = try_again(&scene, *chat).await;
        assert_eq!((next.number.get(), next.epoch), (4, Epoch::FIRST));
    }
    // Everything that was accepted before and after the restart gets stored.
    let mut done = 0;
    until("all is stored", async || work(&scene).await == 0).await;
    for chat in &chats {
        let all = NumberRange::all();
        let slice = scene.repository().messages(*chat, &all, 100, &[]).await;
        done += slice.unwrap().rows.len();
    }
    assert_eq!(done, chats.len() * 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_and_a_server_are_not_taken_for_each_other() {
    let (Some(cluster), Some(server)) =
        (PrivateCluster::start().await, PrivateServer::strict().await)
    else {
        return;
    };
    let open = async |url: String| {
        let ports = Memory::new().ports();
        Redis::open(&RedisConfig::new(url), ports.clock, ports.tokens).await
    };
    let node = cluster.nodes[0].url();
    let single = server.url().replace("redis:", "redis+cluster:");
    for (url, wanted) in [(node, "redis+cluster://"), (single, "`redis://`")] {
        let refused = open(url).await.err().unwrap();
        assert!(matches!(refused, OpenError::Unusable { .. }), "{refused:?}");
        assert!(refused.to_string().contains(wanted), "{refused}");
    }
    // A named node that is away does no harm.
    let url = format!(
        "redis+cluster://127.0.0.1:1?node=127.0.0.1:{}",
        cluster.nodes[2].port
    );
    assert!(open(url).await.is_ok());
}

/// A process on the cluster, with a chat in some shards of every node.
pub(crate) async fn begin(system: &System, cluster: &PrivateCluster) -> (Scene, Vec<ChatKey>) {
    let scene = process(system, cluster).await;
    let mut chats = Vec::new();
    for _ in 0..12 {
        chats.push(scene.chat().await);
    }
    let mut homes = BTreeSet::new();
    for chat in &chats {
        homes.insert(cluster.home(shard_of(*chat)).await.1);
    }
    assert_eq!(homes.len(), 3, "some node has no chat");
    (scene, chats)
}

pub(crate) async fn process(system: &System, cluster: &PrivateCluster) -> Scene {
    let change = |config: &mut RedisConfig| config.shards = SHARDS;
    system.process_at(cluster.url(), change).await
}

pub(crate) fn shard_of(chat: ChatKey) -> u16 {
    Shard::of(chat.application, SHARDS).get()
}

pub(crate) async fn bring(cluster: &PrivateCluster, slot: u32, from: usize, to: usize) {
    cluster.begin_migration(slot, from, to).await;
    while cluster.migrate_keys(slot, from, to, 100).await > 0 {}
    cluster.end_migration(slot, to).await;
}

/// Creates a message once the shard numbers again.
pub(crate) async fn try_again(scene: &Scene, chat: ChatKey) -> Creation {
    static COUNT: Mutex<u64> = Mutex::new(0);
    let key = {
        let mut count = COUNT.lock().unwrap();
        *count += 1;
        format!("again-{count}")
    };
    let created: Mutex<Option<Creation>> = Mutex::default();
    until("it numbers again", async || {
        let answer = scene.create_with_key(message(chat, "after"), &key).await;
        *created.lock().unwrap() = answer.ok().map(|(creation, _)| creation);
        created.lock().unwrap().is_some()
    })
    .await;
    created.into_inner().unwrap().unwrap()
}

/// Callers of several processes that create without end.
struct Load {
    callers: JoinSet<()>,
    stop: Arc<AtomicBool>,
    given: Arc<Mutex<Vec<Creation>>>,
}

impl Load {
    async fn begin(system: &System, cluster: &PrivateCluster, chats: &[ChatKey]) -> Self {
        let mut load = Self {
            callers: JoinSet::new(),
            stop: Arc::default(),
            given: Arc::default(),
        };
        let mut processes = Vec::new();
        for _ in 0..2 {
            processes.push(process(system, cluster).await);
        }
        for (caller, chat) in chats
            .iter()
            .copied()
            .cycle()
            .take(2 * chats.len())
            .enumerate()
        {
            let scene = processes[caller / chats.len()].clone();
            let (stop, given) = (Arc::clone(&load.stop), Arc::clone(&load.given));
            load.callers.spawn(async move {
                for attempt in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = format!("{caller}-{attempt}");
                    // What fails may have been accepted or not; what is answered must be kept.
                    match scene.create_with_key(message(chat, &key), &key).await {
                        Ok((creation, _)) => given.lock().unwrap().push(creation),
                        Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                    }
                }
            });
        }
        load
    }

    /// Waits until so many more were created.
    async fn go_on(&self, more: usize) {
        let count = || self.given.lock().unwrap().len();
        let wanted = count() + more;
        until("more are created", async || count() >= wanted).await;
    }

    /// Ends it, and makes sure that no number of a chat was given twice.
    async fn end(mut self, scene: &Scene) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
        let given = std::mem::take(&mut *self.given.lock().unwrap());
        let mut owners = BTreeMap::new();
        for creation in &given {
            let place = (creation.sequence(), creation.number);
            let owner = owners.insert(place, creation.draft.uid);
            assert_eq!(owner, None, "{place:?} was given twice");
        }
        // What was answered is still pending, but for the little that a failover may lose.
        let mut kept = 0;
        for creation in &given {
            let sequence = creation.sequence();
            let pending = scene.counter().pending(&sequence, creation.number).await;
            kept += usize::from(pending.unwrap().as_ref() == Some(creation));
        }
        let given = given.len();
        assert!(kept * 10 >= given * 9, "{kept} of {given} are kept");
    }
}
