//! RabbitMQ carries the work: while it is down, storing is delayed, but nothing is lost or refused.

use std::time::Duration;

use anyhow::Result;
use chat_system::{
    live::{LiveSet, UNDER_FIRE},
    loader::Numbering,
    stage::within,
};
use serde_json::json;

/// How soon readiness must report that RabbitMQ is away.
const TOLD: Duration = Duration::from_secs(10);

/// How long an answer may take at most while RabbitMQ is away.
const PROMPT: Duration = Duration::from_secs(4);

/// How soon a creation that RabbitMQ never had must be stored: `sync` looks every ten seconds for those
/// that are at least ten seconds old.
const RESCUED: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn no_killed_broker_loses_or_repeats_a_message() -> Result<()> {
    let name = "no_killed_broker_loses_or_repeats_a_message";
    let Some(mut live) = LiveSet::find_with_rabbitmq(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    for percent in [20, 60] {
        loading.until_answered(UNDER_FIRE * percent / 100).await?;
        live.services.kill("rabbitmq").await?;
        // Without it, creating goes on.
        loading
            .until_answered(UNDER_FIRE * (percent + 10) / 100)
            .await?;
        live.programs.workers[0].kill()?;
        live.services.up(&["rabbitmq"]).await?;
        live.programs.workers[0].restart()?;
    }
    loading.until_answered(UNDER_FIRE).await?;
    within(RESCUED, "what RabbitMQ never had is stored", || async {
        let stored = live.versions().await?.len();
        Ok((stored == UNDER_FIRE).then_some(()))
    })
    .await?;
    let tally = live.expect_kept(loading).await?;
    tally.report("RabbitMQ killed twice, and a `worker` while it was away")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_without_the_broker_is_read_at_once() -> Result<()> {
    let name = "what_is_created_without_the_broker_is_read_at_once";
    let Some(live) = LiveSet::find_with_rabbitmq(name).await? else {
        return Ok(());
    };
    live.services.kill("rabbitmq").await?;
    let mut client = live.programs.apis[0].client();
    let mut create = async |path: &str, body: serde_json::Value| -> Result<serde_json::Value> {
        let created = tokio::time::timeout(PROMPT, client.post(path, &body)).await?;
        created?.expect(201)
    };
    let application = create("/api/v1/applications", json!({"name": "test"})).await?;
    let token = application["token"].as_str().unwrap_or_default();
    let chats = format!("/api/v1/applications/{token}/chats");
    create(&chats, json!({})).await?;
    let messages = format!("{chats}/1/messages");
    for number in 1..=3 {
        let created = create(&messages, json!({"body": format!("message {number}")})).await?;
        assert_eq!(created["number"], number);
    }
    // The other api sees them, and both stay in the load balancer.
    let mut other = live.programs.apis[1].client();
    let page = other.get(&messages).await?.expect(200)?;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(3), "{page}");
    within(TOLD, "the loss is told", || async {
        let ready = live.programs.apis[1].client();
        let ready = { ready }.get("/health/ready").await?.expect(200)?;
        let is_told = ready["dependencies"]["queue"]["status"] == "down";
        Ok((is_told && ready["status"] == "degraded").then_some(()))
    })
    .await?;
    // RabbitMQ is still away.
    within(RESCUED, "what it never had is stored", || async {
        Ok((live.versions().await?.len() == 3).then_some(()))
    })
    .await
}
