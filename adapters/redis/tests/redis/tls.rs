//! TLS, with certificates of an authority that is only trusted where a test says so.

use std::sync::Arc;

use chat_adapter_redis::{OpenError, Redis, RedisConfig};
use chat_core::{Chain, memory::Memory, model::Epoch};

use crate::{
    authority::Authority,
    cluster::{begin, bring, shard_of, try_again},
    private_cluster::PrivateCluster,
    private_server::PrivateServer,
    system::{System, send, work},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_numbers_and_carries_by_tls() {
    let Some(authority) = Authority::trusted("tls::a_server_numbers_and_carries_by_tls") else {
        return;
    };
    let Some(server) = PrivateServer::start_with(&[], Some(&authority)).await else {
        return;
    };
    let scene = System::new().process_at(url(&server), |_| {}).await;
    let chat = scene.chat().await;
    assert_eq!(send(&scene, chat, 5).await.number.get(), 5);
    let mut stored = 0;
    while let more @ 1.. = work(&scene).await {
        stored += more;
    }
    assert!(stored >= 5, "{stored}");
    assert!(has_client_by_tls(&server).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_numbers_and_carries_by_tls_also_what_moves() {
    let name = "tls::a_cluster_numbers_and_carries_by_tls_also_what_moves";
    let Some(authority) = Authority::trusted(name) else {
        return;
    };
    let Some(cluster) = PrivateCluster::start_with(Some(&authority)).await else {
        return;
    };
    let (scene, chats) = begin(&System::new(), &cluster).await;
    for chat in &chats {
        assert_eq!(send(&scene, *chat, 3).await.number.get(), 3);
    }
    for node in &cluster.nodes {
        assert!(has_client_by_tls(node).await, "a node is asked without");
    }
    let (slot, home) = cluster.home(shard_of(chats[0])).await;
    bring(&cluster, slot, home, (home + 1) % 3).await;
    let moved = try_again(&scene, chats[0]).await;
    assert_eq!(moved.epoch, Epoch::FIRST.next());
    while work(&scene).await > 0 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_trusts_is_not_waited_for() {
    // This process trusts another authority: trusting one must not mean trusting all.
    let name = "tls::a_certificate_that_nobody_trusts_is_not_waited_for";
    if Authority::trusted(name).is_none() {
        return;
    }
    let unknown = Authority::unknown().unwrap();
    let Some(server) = PrivateServer::start_with(&[], Some(&unknown)).await else {
        return;
    };
    expect_distrust(url(&server)).await;
    let cluster = PrivateCluster::start_with(Some(&unknown)).await.unwrap();
    expect_distrust(cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_host_is_not_waited_for() {
    let name = "tls::a_certificate_of_another_host_is_not_waited_for";
    let Some(authority) = Authority::trusted(name) else {
        return;
    };
    let Some(server) = PrivateServer::start_with(&[], Some(&authority)).await else {
        return;
    };
    expect_distrust(url(&server).replace("127.0.0.1", "localhost")).await;
}

fn url(server: &PrivateServer) -> String {
    format!("rediss://127.0.0.1:{}", server.tls_port.unwrap())
}

/// Says whether a client is connected to the server's TLS port.
async fn has_client_by_tls(server: &PrivateServer) -> bool {
    let at = format!(" laddr=127.0.0.1:{} ", server.tls_port.unwrap());
    server.text("CLIENT LIST").await.contains(&at)
}

/// Asserts that opening fails with a certificate error, which is not worth a retry.
async fn expect_distrust(url: String) {
    let ports = Memory::new().ports();
    let config = RedisConfig::new(url);
    let opened = Redis::open(&config, Arc::clone(&ports.clock), Arc::clone(&ports.tokens));
    let error = opened.await.err().expect("it was trusted");
    let told = Chain(&error).to_string();
    assert!(told.contains("invalid peer certificate"), "{told}");
    let OpenError::Unreachable { source, .. } = error else {
        panic!("{error:?}");
    };
    assert!(!source.is_retryable(), "{source:?}");
}
