//! A Redis Cluster that loses a node.

use std::{fs::read_to_string, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    invocation::Invocation,
    live::{LiveSet, UNDER_FIRE, address, ask, connect},
    loader::Numbering,
    services::Services,
    stage::within,
};

use crate::expect_told;

/// The servers of a live set on a cluster.
const SERVERS: [&str; 3] = ["mariadb", "rediscluster", "elasticsearch"];

/// How many of its nodes are masters at first; each has one replica.
const MASTERS: u16 = 3;

/// How soon a replica must be promoted; its master has to be unreachable for two seconds first.
const PROMOTED: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_lost_is_replaced_and_repeats_nothing() -> Result<()> {
    let name = "a_node_that_is_lost_is_replaced_and_repeats_nothing";
    let Some(services) = Services::find(name)? else {
        return Ok(());
    };
    let services = services.with("CHAT_CLUSTER_REPLICAS", "1");
    services.up(&SERVERS).await?;
    let mut settings = services.settings().await?;
    let first = address(&settings, "CHAT_COUNTER_URL")?.port();
    let node = |at: u16| format!("127.0.0.1:{}", first + at);
    for setting in ["CHAT_COUNTER_URL", "CHAT_QUEUE_URL"] {
        // All masters are named, since any of them may be the one that is down.
        let url = format!(
            "redis+cluster://{}?node={}&node={}",
            node(0),
            node(1),
            node(2)
        );
        settings.insert(setting.to_owned(), url);
    }
    let mut live = LiveSet::begin(services, settings.clone(), [&settings, &settings]).await?;
    let mut loading = live.load(UNDER_FIRE, Numbering::Leaping).await?;
    loading.until_answered(UNDER_FIRE / 3).await?;

    // All messages belong to one application, so the node with the most keys has them.
    let mut sizes = Vec::new();
    for at in 0..MASTERS {
        let mut redis = connect(&format!("redis://{}", node(at))).await?;
        sizes.push((ask::<usize>(&mut redis, "DBSIZE").await?, at));
    }
    let (_, doomed) = sizes.into_iter().max().context("there are masters")?;
    let mut replica = connect(&format!("redis://{}", node(doomed + MASTERS))).await?;
    let told: String = ask(&mut replica, "INFO replication").await?;
    ensure!(
        told.contains("master_link_status:up"),
        "it does not follow: {told}"
    );
    let folder = live.data_of("rediscluster").join(doomed.to_string());
    let id = read_to_string(folder.join("pid")).context("the node's process")?;
    let killing = Invocation::of_file("sh")?.argument("-c");
    let killed = killing.argument(format!("kill -KILL {id}")).run().await?;
    ensure!(killed.code == Some(0), "{}", killed.output());
    let before = loading.answered();
    within(PROMOTED, "the replica is promoted", || {
        let mut replica = replica.clone();
        async move {
            let told: String = ask(&mut replica, "INFO replication").await?;
            Ok(told.contains("role:master").then_some(()))
        }
    })
    .await?;
    loading.until_answered(UNDER_FIRE).await?;
    ensure!(before < UNDER_FIRE, "all was sent before the node was lost");

    let survivor = node((doomed + 1) % MASTERS);
    live.settings.insert(
        "CHAT_COUNTER_URL".to_owned(),
        format!("redis+cluster://{survivor}"),
    );
    let tally = live.tally(loading).await?;
    // What the replica, on the same machine, had not received yet.
    let tally = tally.expect_lost_at_most(1_000)?;
    expect_told(&live)?;
    tally.report("Redis Cluster: a node killed, and its replica promoted")
}
