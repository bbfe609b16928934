//! A server that comes back is trusted with what it is known to have kept, and no further.

use chat_core::{model::Epoch, ports::Basis};

use crate::{
    private_server::PrivateServer,
    system::{System, message, send, work},
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

/// The run stays the same then, and its scripts too: only the data is another server's.
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
    // Whoever numbers sees the replica, and leaves word of it, within a second.
    scene
        .eventually("seeing the replica", async || {
            send(&scene, chat, 1).await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            (first.text("HEXISTS {s00}:m r").await == "1").then_some(())
        })
        .await;
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

/// A server that copies at once when it is asked to, and takes a second over giving its own data away.
async fn replica() -> Option<PrivateServer> {
    let arguments = ["--appendfsync", "always", "--repl-diskless-sync-delay", "2"];
    PrivateServer::start(&arguments).await
}

/// Creates once the server that came back is found again.
async fn try_again(
    scene: &chat_core::contract::Scene,
    chat: chat_core::model::ChatKey,
) -> chat_core::model::Creation {
    let pending = scene.eventually("finding the server again", async || {
        let check = scene.counter().check();
        check.await.ok()
    });
    pending.await;
    scene.create(message(chat, "after")).await
}
