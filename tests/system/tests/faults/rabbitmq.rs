//! A RabbitMQ whose confirms never come, or that has delivered an entry too often.

use std::time::Duration;

use anyhow::{Result, ensure};
use chat_system::{
    live::{LiveSet, Settings, UNDER_FIRE, address, through},
    loader::Numbering,
    proxy::{Proxy, Way},
    services::{SERVERS, Services},
};
use lapin::{Connection, ConnectionProperties, options::QueueDeclareOptions, types::FieldTable};
use sqlx::{Connection as _, Executor as _};
use tokio::time::sleep;

/// How long it is silent.
const SILENT: Duration = Duration::from_secs(15);

/// The delivery limit: how often it delivers an entry before it moves it to a second queue.
const LIMIT: usize = 3;

/// How long a worker has to take a batch that it cannot store.
const STUCK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn confirms_that_never_come_lose_nothing() -> Result<()> {
    let name = "confirms_that_never_come_lose_nothing";
    let Some(services) = Services::find(name)? else {
        return Ok(());
    };
    let servers = [&SERVERS[..], &["rabbitmq"]].concat();
    services.up(&servers).await?;
    let settings = services.settings_of(&servers).await?;
    let proxy = Proxy::to(address(&settings, "CHAT_QUEUE_URL")?).await?;
    let way = through(&settings, &[&proxy]);
    let mut live = LiveSet::begin(services, settings, [&way, &way]).await?;
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    for percent in [25, 50] {
        loading.until_answered(UNDER_FIRE * percent / 100).await?;
        proxy.set(Way::Silent);
        sleep(SILENT).await;
        proxy.set(Way::Reset);
        sleep(SILENT / 15).await;
        proxy.set(Way::Open);
    }
    let tally = live.expect_kept(loading).await?;
    tally.report("RabbitMQ: confirms that do not come for 15 s, twice")
}

/// Counts the entries of a queue.
async fn count(settings: &Settings, queue: &str) -> Result<u32> {
    let url = &settings["CHAT_QUEUE_URL"];
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let looking = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let queue = channel
        .queue_declare(queue.into(), looking, FieldTable::default())
        .await?;
    let count = queue.message_count();
    connection.close(200, "OK".into()).await?;
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_killed_more_often_than_the_limit_lose_nothing() -> Result<()> {
    let name = "workers_killed_more_often_than_the_limit_lose_nothing";
    let Some(services) = Services::find(name)? else {
        return Ok(());
    };
    let services = services.with("CHAT_RABBITMQ_DELIVERY_LIMIT", LIMIT.to_string());
    let servers = [&SERVERS[..], &["rabbitmq"]].concat();
    let mut live = LiveSet::on(services, &servers).await?;
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    loading.until_answered(UNDER_FIRE / 4).await?;
    let mut database = live.database().await?;
    let mut transaction = database.begin().await?;
    transaction
        .execute("SELECT number FROM chats FOR UPDATE")
        .await?;
    for _ in 0..LIMIT + 2 {
        sleep(STUCK).await;
        for worker in &mut live.programs.workers {
            worker.kill()?;
            worker.restart()?;
        }
    }
    let returned = count(&live.settings, "chat.creations.returned").await?;
    eprintln!("{returned} creations were handed out too often");
    ensure!(
        returned > 0,
        "nothing was handed out more than {LIMIT} times"
    );
    transaction.rollback().await?;
    let tally = live.expect_kept(loading).await?;
    tally.report(
        "RabbitMQ: `worker` killed with the same creations more often than the delivery limit",
    )
}
