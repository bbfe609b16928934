//! A server that comes back is trusted with what it is known to have kept, and no further.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chat_adapter_redis::RedisConfig;
use chat_core::{
    contract::Scene,
    model::{ChatKey, Creation, Epoch, Number, NumberRange, Sequence},
    ports::Basis,
};
use tokio::task::JoinSet;

use crate::{
    private_server::PrivateServer,
    system::{System, bare, message, send, work},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_on_its_own_disk_leaves_no_gap() {
    let Some(mut server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    let kept = send(&scene, chat, 3).await;
    for expected in 4..6 {
        server.come_back().await;
        let pending = scene.eventually("reading again", async || {
            let sequence = kept.sequence();
            let pending = scene.counter().pending(&sequence, kept.number);
            pending.await.ok()
        });
        assert_eq!(pending.await.as_ref(), Some(&kept));
        let next = scene.create(message(chat, "after")).await;
        assert_eq!((next.number.get(), next.epoch), (expected, Epoch::FIRST));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_outlives_its_connection() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    let kept = send(&scene, chat, 1).await;
    for _ in 0..9 {
        server.ask("CLIENT KILL TYPE normal").await;
        let sequence = kept.sequence();
        let pending = scene.counter().pending(&sequence, kept.number).await;
        assert_eq!(pending.unwrap().as_ref(), Some(&kept));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_may_have_lost_the_last_second_leaps() {
    let Some(mut server) = PrivateServer::start(&["--appendfsync", "everysec"]).await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    send(&scene, chat, 3).await;
    work(&scene).await;
    server.come_back().await;
    let next = try_again(&scene, chat).await;
    assert_eq!(next.epoch, Epoch::FIRST.next());
    assert!(next.number.get() > 3 + Basis::LEAP, "{}", next.number);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_synced_each_write_only_since_its_start_leaps() {
    let Some(mut server) = PrivateServer::start(&["--appendfsync", "everysec"]).await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    send(&scene, chat, 3).await;
    server.set("--appendfsync", "always");
    server.come_back().await;
    let next = try_again(&scene, chat).await;
    assert_eq!(next.epoch, Epoch::FIRST.next());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_disk_is_noticed_by_the_process_that_numbered() {
    let Some(mut server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    send(&scene, chat, 3).await;
    let backup = server.back_up();
    let given = send(&scene, chat, 3).await;
    server.restore(&backup).await;
    let next = try_again(&scene, chat).await;
    assert!(next.number > given.number, "{} again", next.number);
    assert_eq!(next.epoch, Epoch::FIRST.next());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_disk_is_noticed_by_what_was_stored() {
    let Some(mut server) = PrivateServer::strict().await else {
        return;
    };
    let system = System::new();
    let scene = system.process(&server).await;
    let chat = scene.chat().await;
    send(&scene, chat, 3).await;
    let backup = server.back_up();
    let given = send(&scene, chat, 3).await;
    assert_eq!(work(&scene).await, 7);
    server.restore(&backup).await;
    let next = try_again(&system.process(&server).await, chat).await;
    assert!(next.number > given.number, "{} again", next.number);
    assert_eq!(next.epoch, Epoch::FIRST.next());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_leaps() {
    let (Some(first), Some(second)) = (PrivateServer::strict().await, replica().await) else {
        return;
    };
    let system = System::new();
    let scene = system.process(&first).await;
    let chat = scene.chat().await;
    send(&scene, chat, 3).await;
    second.copy_from(&first).await;
    second.ask("REPLICAOF NO ONE").await;
    let given = send(&scene, chat, 3).await;
    let next = try_again(&system.process(&second).await, chat).await;
    assert!(next.number > given.number, "{} again", next.number);
}

/// The run and its scripts stay the same then: only the data is another server's.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_a_replica_in_between_leaps() {
    let (Some(first), Some(second)) = (PrivateServer::strict().await, replica().await) else {
        return;
    };
    let scene = System::new().process(&first).await;
    let chat = scene.chat().await;
    send(&scene, chat, 3).await;
    second.copy_from(&first).await;
    second.ask("REPLICAOF NO ONE").await;
    let given = send(&scene, chat, 3).await;
    first.copy_from(&second).await;
    first.ask("REPLICAOF NO ONE").await;
    let next = try_again(&scene, chat).await;
    assert!(next.number > given.number, "{} again", next.number);
    assert_eq!(next.epoch, Epoch::FIRST.next());
}

/// At the same address, after a restart, a stale replica looks like the server that it followed.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_takes_the_place_of_its_master_leaps() {
    let (Some(mut first), Some(second)) = (PrivateServer::strict().await, replica().await) else {
        return;
    };
    let system = System::new();
    let scene = system.process(&first).await;
    let chat = scene.chat().await;
    send(&scene, chat, 1).await;
    second.copy_from(&first).await;
    see_the_replica(&scene, chat, &first).await;
    work(&scene).await;
    let stale = {
        second.ask("REPLICAOF NO ONE").await;
        second.back_up()
    };
    let given = send(&scene, chat, 3).await;
    first.restore(&stale).await;
    let next = try_again(&system.process(&first).await, chat).await;
    assert!(next.number > given.number, "{} again", next.number);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_replica_leaves_no_gap() {
    let (Some(first), Some(second)) = (PrivateServer::strict().await, replica().await) else {
        return;
    };
    let scene = System::new().process(&first).await;
    let chat = scene.chat().await;
    let before = send(&scene, chat, 1).await;
    second.copy_from(&first).await;
    let seen = see_the_replica(&scene, chat, &first).await;
    assert_eq!(seen.last().unwrap().epoch, before.epoch);
    let numbers: Vec<u64> = seen.iter().map(|creation| creation.number.get()).collect();
    let without_gaps: Vec<u64> = (2..2 + numbers.len() as u64).collect();
    assert_eq!(numbers, without_gaps);
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_scripts_leave_no_gap() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    send(&scene, chat, 3).await;
    server.ask("SCRIPT FLUSH").await;
    let next = scene.create(message(chat, "after")).await;
    assert_eq!((next.number.get(), next.epoch), (4, Epoch::FIRST));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_under_load_loses_and_repeats_nothing() {
    let Some(mut server) = PrivateServer::strict().await else {
        return;
    };
    let system = System::new();
    let scene = system.process(&server).await;
    let chat = scene.chat().await;
    let stop = Arc::new(AtomicBool::new(false));
    let given: Arc<Mutex<Vec<Creation>>> = Arc::default();
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let scene = system.process(&server).await;
        let (stop, given) = (Arc::clone(&stop), Arc::clone(&given));
        callers.spawn(async move {
            for attempt in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let key = format!("{caller}-{attempt}");
                // What fails may have been accepted or not; what is answered must be kept.
                match scene.create_with_key(message(chat, &key), &key).await {
                    Ok((creation, _)) => given.lock().unwrap().push(creation),
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
    }
    for round in 1..=4 {
        let enough = || given.lock().unwrap().len() >= round * 100;
        scene
            .eventually("creating under load", async || {
                tokio::time::sleep(Duration::from_millis(50)).await;
                enough().then_some(())
            })
            .await;
        if round < 4 {
            server.come_back().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    callers.join_all().await;

    let sequence = Sequence::Messages(chat);
    let page = system
        .process(&server)
        .await
        .counter()
        .pending_page(&sequence, &NumberRange::all(), 65_536)
        .await
        .unwrap();
    let kept: BTreeMap<Number, Creation> = page
        .creations
        .into_iter()
        .map(|creation| (creation.number, creation))
        .collect();
    for creation in &*given.lock().unwrap() {
        assert_eq!(kept.get(&creation.number), Some(creation));
    }
    let numbers: Vec<u64> = kept.keys().map(|number| number.get()).collect();
    let without_gaps: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, without_gaps);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_looked_at_once_for_all_who_wait() {
    let Some(mut server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    send(&scene, chat, 1).await;
    server.come_back().await;
    try_again(&scene, chat).await;
    server.ask("SCRIPT FLUSH").await;
    let connections = async || {
        let info = server.text("INFO stats").await;
        let mut lines = info.lines();
        let count = lines.find_map(|line| line.strip_prefix("total_connections_received:"));
        count.unwrap().trim().parse::<u64>().unwrap()
    };
    let before = connections().await;
    let mut callers = JoinSet::new();
    for _ in 0..200 {
        let scene = scene.clone();
        callers.spawn(async move { send(&scene, chat, 1).await.number.get() });
    }
    let mut numbers = callers.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (3..203).collect::<Vec<_>>());
    let made = connections().await - before;
    assert!(made < 10, "{made} connections were made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_holds_nobody_for_long() {
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let quick = |config: &mut RedisConfig| config.answer_timeout = Duration::from_millis(200);
    let scene = System::new().process_with(&server, quick).await;
    let chat = scene.chat().await;
    send(&scene, chat, 1).await;
    server.ask("CLIENT PAUSE 3000 ALL").await;
    let paused = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let scene = scene.clone();
        callers.spawn(async move {
            let mut longest = Duration::ZERO;
            while paused.elapsed() < Duration::from_secs(2) {
                let submission = bare(&scene, message(chat, "into the void"));
                let begun = Instant::now();
                let error = scene.counter().create(&submission).await.unwrap_err();
                assert!(error.is_retryable(), "{error:?}");
                longest = longest.max(begun.elapsed());
            }
            longest
        });
    }
    let longest = callers.join_all().await.into_iter().max().unwrap();
    // One timeout for the turn to ask for vitals, and one for the answer.
    assert!(longest < Duration::from_millis(700), "{longest:?}");
}

/// A strict server that waits two seconds before it gives its data to a replica.
async fn replica() -> Option<PrivateServer> {
    let arguments = ["--appendfsync", "always", "--repl-diskless-sync-delay", "2"];
    PrivateServer::start(&arguments).await
}

/// Creates until the process has seen and noted the replica, which takes up to a second.
async fn see_the_replica(scene: &Scene, chat: ChatKey, server: &PrivateServer) -> Vec<Creation> {
    let mut created = Vec::new();
    scene
        .eventually("seeing the replica", async || {
            created.push(send(scene, chat, 1).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
            (server.text("HEXISTS {s00}:m r").await == "1").then_some(())
        })
        .await;
    created
}

/// Creates a message once the restarted server can be reached.
async fn try_again(scene: &Scene, chat: ChatKey) -> Creation {
    let pending = scene.eventually("finding the server again", async || {
        let check = scene.counter().check();
        check.await.ok()
    });
    pending.await;
    scene.create(message(chat, "after")).await
}
