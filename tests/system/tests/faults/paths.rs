//! Network paths between programs and servers that are late, slow, silent, or cut: deadlines hold.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::{Call, Client},
    live::{LiveSet, Settings, UNDER_FIRE, address, through},
    loader::{Numbering, create_application},
    proxy::{Proxy, Way},
    servers::Servers,
    services::{SERVERS, Services},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

/// The faults of a path, each with its name.
const WAYS: [(&str, Way); 4] = [
    ("500 ms late", Way::Late(Duration::from_millis(500))),
    ("one byte a second", Way::Dripping(Duration::from_secs(1))),
    ("reset", Way::Reset),
    ("silent", Way::Silent),
];

/// How long each lasts.
const LONG: Duration = Duration::from_secs(12);

/// A client that measures how long requests take while a path is bad.
struct Probe {
    client: Client,
    messages: String,
}

impl Probe {
    async fn new(servers: Servers) -> Result<Self> {
        let application = create_application(&servers, "probe").await?;
        let mut client = Client::new(servers);
        let chats = format!("/api/v1/applications/{application}/chats");
        client.post(&chats, &json!({})).await?.expect(201)?;
        let mut probe = Self {
            client,
            messages: format!("{chats}/1/messages"),
        };
        probe.slowest(Duration::ZERO).await?;
        Ok(probe)
    }

    /// Creates, reads and searches for that long, and returns how long each took at most.
    ///
    /// Fails on every 5xx but a 503 with `Retry-After`.
    async fn slowest(&mut self, long: Duration) -> Result<[Duration; 3]> {
        let calls = [
            Call::post(&self.messages, &json!({"body": "probe"}))?,
            Call::get(&self.messages)?,
            Call::get(&format!("{}/search?query=probe", self.messages))?,
        ];
        let (end, mut slowest) = (Instant::now() + long, [Duration::ZERO; 3]);
        loop {
            for (call, slowest) in calls.iter().zip(&mut slowest) {
                let began = Instant::now();
                let answer = self.client.send(call).await?;
                *slowest = began.elapsed().max(*slowest);
                ensure!(
                    answer.status < 500 || answer.status == 503,
                    "{call}: {answer}"
                );
                let retry_after = answer.header("retry-after");
                ensure!(
                    answer.status != 503 || retry_after.is_some(),
                    "{call}: {answer}"
                );
            }
            if Instant::now() >= end {
                return Ok(slowest);
            }
        }
    }
}

/// Loads a system while the path to one server goes bad in each of `WAYS`, and recovers after each.
///
/// Creates, reads and searches may take as long as `most` says.
async fn try_way(name: &str, server: &str, setting: &str, most: [Duration; 3]) -> Result<()> {
    let Some(services) = Services::find(name)? else {
        return Ok(());
    };
    services.up(&SERVERS).await?;
    let settings: Settings = services.settings().await?;
    let proxy = Proxy::to(address(&settings, setting)?).await?;
    let way = through(&settings, &[&proxy]);
    let mut live = LiveSet::begin(services, settings, [&way, &way]).await?;
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    let mut probe = Probe::new(live.programs.servers()).await?;
    let part = UNDER_FIRE / (WAYS.len() + 1);
    for (at, (called, way)) in (1..).zip(WAYS) {
        loading.until_answered(part * at).await?;
        proxy.set(way);
        let slowest = probe
            .slowest(LONG)
            .await
            .with_context(|| called.to_owned())?;
        proxy.set(Way::Open);
        eprintln!("{server} {called}: creates, reads, searches take {slowest:.1?} at most");
        for (took, most) in slowest.into_iter().zip(most) {
            ensure!(took <= most + most / 10, "{server} {called}: {slowest:.1?}");
        }
        sleep(Duration::from_secs(1)).await;
    }
    let tally = live.tally(loading).await?;
    // The probe's own messages are in another application, and so not in the tally.
    tally.expect_all()?.report(&format!(
        "the way to {server} 500 ms late, one byte a second, reset, silent, for 12 s each"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_way_to_redis_keeps_nobody_waiting() -> Result<()> {
    let name = "a_bad_way_to_redis_keeps_nobody_waiting";
    // A create whose connection was cut waits for a connection a second time.
    let most = [5, 3, 1].map(Duration::from_secs);
    try_way(name, "Redis", "CHAT_COUNTER_URL", most).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_way_to_mariadb_keeps_nobody_waiting() -> Result<()> {
    let name = "a_bad_way_to_mariadb_keeps_nobody_waiting";
    // Creating needs no database; a read takes several statements, each of which may be late.
    let most = [1, 6, 6].map(Duration::from_secs);
    try_way(name, "MariaDB", "CHAT_REPOSITORY_URL", most).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_way_to_elasticsearch_keeps_nobody_waiting() -> Result<()> {
    let name = "a_bad_way_to_elasticsearch_keeps_nobody_waiting";
    let most = [1, 1, 3].map(Duration::from_secs);
    try_way(name, "Elasticsearch", "CHAT_SEARCH_URL", most).await
}
