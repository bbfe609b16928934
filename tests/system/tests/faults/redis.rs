//! A Redis that loses data, fails over to a stale replica, refuses writes, or has two primaries.

use std::{fs::OpenOptions, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    live::{LiveSet, SHARDS, Settings, UNDER_FIRE, address, ask, connect, stream, through},
    loader::{Loading, Numbering},
    proxy::Proxy,
    services::{SERVERS, Services},
    stage::within,
    tally::Tally,
};
use rand::seq::IndexedRandom as _;
use redis::cmd;
use tokio::time::sleep;

use crate::{dice, expect_told};

/// How long a Redis takes no writes.
const REFUSING: Duration = Duration::from_secs(4);

/// How far a replica is behind when it takes over.
const BEHIND: Duration = Duration::from_secs(1);

/// How long there are two primaries.
const TWO: Duration = Duration::from_secs(5);

/// How many counters are lost one by one.
const COUNTERS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_repeats_nothing_and_tells() -> Result<()> {
    let name = "a_flushed_redis_repeats_nothing_and_tells";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(UNDER_FIRE, Numbering::Leaping).await?;
    let mut redis = live.redis().await?;
    let mut waited = 0;
    for percent in [30, 60] {
        loading.until_answered(UNDER_FIRE * percent / 100).await?;
        for shard in 0..SHARDS {
            waited += live.waiting(shard).await?;
        }
        ask::<()>(&mut redis, "FLUSHALL").await?;
    }
    let tally = live.tally(loading).await?;
    eprintln!("{waited} creations waited to be stored");
    // What was answered between the count and the loss may be gone, too.
    let tally = tally.expect_lost_at_most(waited + UNDER_FIRE / 10)?;
    expect_told(&live)?;
    tally.report("Redis: `FLUSHALL`, twice")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_counter_goes_on_where_it_was() -> Result<()> {
    let name = "a_lost_counter_goes_on_where_it_was";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut dice = dice()?;
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    let mut redis = live.redis().await?;
    for round in 0..COUNTERS {
        loading
            .until_answered(UNDER_FIRE * (round + 1) / (COUNTERS + 2))
            .await?;
        let counters: Vec<String> = ask(&mut redis, "KEYS chat:{s??}:*c").await?;
        let counter = counters.choose(&mut dice).context("there are counters")?;
        let asked = match round % 2 {
            0 => format!("DEL {counter}"),
            _ => format!("PEXPIRE {counter} 1"),
        };
        let gone: usize = ask(&mut redis, &asked).await?;
        ensure!(gone == 1, "{counter} was not there");
    }
    let tally = live.expect_kept(loading).await?;
    tally.report("Redis: a counter's key deleted, or expired, 40 times")
}

/// Returns the append-only file that Redis writes to at present.
fn appended(live: &LiveSet) -> Result<PathBuf> {
    let folder = live.data_of("redis").join("appendonlydir");
    let files = std::fs::read_dir(&folder).context("the folder of the append-only file")?;
    let paths = files.filter_map(Result::ok).map(|file| file.path());
    let mut increments: Vec<PathBuf> = paths
        .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .collect();
    // By their numbers: the shorter name has the smaller one.
    increments.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    increments.pop().context("an append-only file")
}

/// Simulates a power cut that takes what was not synced yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_tail_of_the_append_only_file_repeats_nothing_and_is_told() -> Result<()> {
    let name = "a_cut_tail_of_the_append_only_file_repeats_nothing_and_is_told";
    let Some(services) = Services::find(name)? else {
        return Ok(());
    };
    let services = services.with("CHAT_REDIS_SYNC", "everysec");
    let mut live = LiveSet::on(services, &SERVERS).await?;
    let mut loading = live.load(usize::MAX, Numbering::Leaping).await?;
    let (total, mut at_risk) = (loading.total(), 0);
    for (percent, millis) in [(20, 300), (40, 1_000), (60, 5_000)] {
        loading.until_answered(total * percent / 100).await?;
        let (file, before) = (appended(&live)?, loading.answered());
        let length = file.metadata()?.len();
        sleep(Duration::from_millis(millis)).await;
        live.services.kill("redis").await?;
        at_risk += loading.answered() - before;
        let cut = OpenOptions::new().write(true).open(&file)?;
        cut.set_len(length).context("cutting the file")?;
        live.services.up(&["redis"]).await?;
    }
    let tally = live.tally(loading).await?;
    eprintln!("{at_risk} creations were answered in what was cut");
    // Leaves room for answers that were on their way while these were counted.
    let tally = tally.expect_lost_at_most(at_risk + 1_000)?;
    expect_told(&live)?;
    tally.report("Redis (AOF `everysec`): killed, and 0.3, 1 and 5 s of its file cut off")
}

/// Starts a replica of the Redis that `settings` lead to, in a folder of its own.
async fn replica(name: &str, settings: &Settings) -> Result<(Services, Settings)> {
    let services = Services::new(&format!("{name}-replica"))?;
    services.up(&["redis"]).await?;
    let of_replica = services.settings().await?;
    let mut redis = connect(&of_replica["CHAT_COUNTER_URL"]).await?;
    let primary = address(settings, "CHAT_COUNTER_URL")?;
    ask::<()>(
        &mut redis,
        &format!("REPLICAOF {} {}", primary.ip(), primary.port()),
    )
    .await?;
    within(Duration::from_secs(30), "the replica follows", || {
        let mut redis = redis.clone();
        async move {
            let told: String = ask(&mut redis, "INFO replication").await?;
            Ok(told.contains("master_link_status:up").then_some(()))
        }
    })
    .await?;
    Ok((services, of_replica))
}

/// Fails over to a replica under load: once it is promoted, `lead` redirects the programs to it.
///
/// What was answered in between may be lost, but no number may be given twice, and the loss must be logged.
async fn take_over(
    live: &mut LiveSet,
    mut loading: Loading,
    name: &str,
    lead: impl AsyncFnOnce(SocketAddr),
) -> Result<Tally> {
    loading.until_answered(UNDER_FIRE / 5).await?;
    let (_replica, of_replica) = replica(name, &live.settings).await?;
    loading.until_answered(UNDER_FIRE / 2).await?;
    let mut promoted = connect(&of_replica["CHAT_COUNTER_URL"]).await?;
    ask::<()>(&mut promoted, "REPLICAOF NO ONE").await?;
    let before = loading.answered();
    lead(address(&of_replica, "CHAT_COUNTER_URL")?).await;
    let at_risk = loading.answered() - before;
    live.settings.insert(
        "CHAT_COUNTER_URL".to_owned(),
        of_replica["CHAT_COUNTER_URL"].clone(),
    );
    let tally = live.tally(loading).await?;
    let tally = tally.expect_lost_at_most(at_risk + 1_000)?;
    expect_told(live)?;
    Ok(tally)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_behind_repeats_nothing_and_tells() -> Result<()> {
    let name = "a_replica_that_was_behind_repeats_nothing_and_tells";
    let Some(services) = Services::find(name)? else {
        return Ok(());
    };
    services.up(&SERVERS).await?;
    let settings = services.settings().await?;
    let proxy = Proxy::to(address(&settings, "CHAT_COUNTER_URL")?).await?;
    let way = through(&settings, &[&proxy]);
    let mut live = LiveSet::begin(services, settings, [&way, &way]).await?;
    // It lasts longer than the takeover.
    let loading = live.load(usize::MAX, Numbering::Leaping).await?;
    let tally = take_over(&mut live, loading, name, async |replica| {
        sleep(BEHIND).await;
        proxy.lead_to(replica);
    })
    .await?;
    tally.report("Redis: failover to a replica that is 1 s behind")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_primaries_repeat_nothing() -> Result<()> {
    let name = "two_primaries_repeat_nothing";
    let Some(services) = Services::find(name)? else {
        return Ok(());
    };
    services.up(&SERVERS).await?;
    let settings = services.settings().await?;
    let primary = address(&settings, "CHAT_COUNTER_URL")?;
    let (first, second) = (Proxy::to(primary).await?, Proxy::to(primary).await?);
    let ways = [
        through(&settings, &[&first]),
        through(&settings, &[&second]),
    ];
    let mut live = LiveSet::begin(services, settings, [&ways[0], &ways[1]]).await?;
    let loading = live.load(usize::MAX, Numbering::Leaping).await?;
    let tally = take_over(&mut live, loading, name, async |replica| {
        second.lead_to(replica);
        sleep(TWO).await;
        first.lead_to(replica);
    })
    .await?;
    tally.report("Redis: two primaries for 5 s, each with an `api` and a `worker`")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_no_writes_loses_nothing() -> Result<()> {
    let name = "a_redis_that_takes_no_writes_loses_nothing";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    let mut redis = live.redis().await?;
    for (percent, refuse, allow) in [
        (25, "CONFIG SET maxmemory 1mb", "CONFIG SET maxmemory 0"),
        (
            50,
            "CONFIG SET min-replicas-to-write 1",
            "CONFIG SET min-replicas-to-write 0",
        ),
    ] {
        loading.until_answered(UNDER_FIRE * percent / 100).await?;
        ask::<()>(&mut redis, refuse).await?;
        // What was under way may still be answered.
        sleep(REFUSING / 4).await;
        let before = loading.answered();
        sleep(REFUSING).await;
        ensure!(loading.answered() == before, "{refuse}: writes went on");
        ask::<()>(&mut redis, allow).await?;
    }
    let tally = live.expect_kept(loading).await?;
    tally.report("Redis: out of memory, and read-only, for 5 s each")
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_stream_and_newer_entries_hold_nobody_up() -> Result<()> {
    let name = "garbage_in_the_stream_and_newer_entries_hold_nobody_up";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    let mut redis = live.redis().await?;
    for round in 0..SHARDS {
        loading
            .until_answered(UNDER_FIRE * (round + 1) / (SHARDS + 2))
            .await?;
        // Entries that are the same are one letter.
        for payload in [
            format!("garbage {round}"),
            format!(r#"{{"version":99,"round":{round}}}"#),
        ] {
            let mut adding = cmd("XADD");
            adding
                .arg(stream(round))
                .arg("*")
                .arg(&[("d", payload.as_str()), ("n", "1")]);
            adding.query_async::<()>(&mut redis).await?;
        }
    }
    let tally = live.expect_kept(loading).await?;
    let mut client = live.programs.apis[0].client();
    let letters = client
        .get("/api/v1/admin/dead-letters?limit=100")
        .await?
        .expect(200)?;
    let count = letters["items"].as_array().map_or(0, Vec::len);
    ensure!(count == 2 * SHARDS, "{count} dead letters: {letters}");
    tally.report("garbage and entries of a newer version in every stream")
}
