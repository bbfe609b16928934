//! What a start waits for, what stops it, and what the programs report about themselves then.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::{Call, Client},
    exposition::Exposition,
    invocation::{Ended, Invocation},
    live::connect,
    program::{free_port, scratch},
    services::{SERVERS, Services, URLS, ask_mariadb},
    stage::{eventually, numbers},
};
use serde_json::{Value, json};

use crate::start;

/// The five seconds that a health check has for all it asks, and some time to start the program.
const HEALTHCHECK: Duration = Duration::from_secs(7);

/// Less than a start waits for servers that are not there.
const AT_ONCE: Duration = Duration::from_secs(20);

/// The servers that a start needs.
const NEEDED: [&str; 2] = ["mariadb", "redis"];

/// Returns settings with a search server that is never there, which no start needs.
async fn without_search(services: &Services) -> Result<BTreeMap<String, String>> {
    let mut settings = services.settings().await?;
    let nobody = format!("http://127.0.0.1:{}", free_port()?);
    settings.insert(URLS[3].to_owned(), nobody);
    Ok(settings)
}

/// Returns how many changes Redis counts since its last save.
async fn changes_in_redis(settings: &BTreeMap<String, String>) -> Result<String> {
    let mut redis = connect(&settings[URLS[1]]).await?;
    let asking = redis::cmd("INFO").arg("persistence").to_owned();
    let told: String = asking.query_async(&mut redis).await?;
    let mut lines = told.lines();
    let counted = lines.find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
    counted.map(str::to_owned).context(told)
}

/// Prepares a run of a program on the servers of these settings.
pub(crate) fn on(settings: &BTreeMap<String, String>, name: &str) -> Result<Invocation> {
    let invocation = Invocation::of(name)?;
    Ok(URLS.iter().fold(invocation, |invocation, name| {
        invocation.with(name, &settings[*name])
    }))
}

/// Checks that a program has failed, and that its last line holds all of `named`.
pub(crate) fn expect_failure(ended: &Ended, named: &[&str]) -> Result<()> {
    ensure!(ended.code == Some(1), "{ended:?}");
    let line = ended.stderr.lines().last().context("nothing was said")?;
    for name in named {
        ensure!(line.contains(name), "no `{name}` in: {line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_health_check_asks_and_changes_nothing_and_waits_for_nobody() -> Result<()> {
    let Some(services) = Services::find("a_health_check")? else {
        return Ok(());
    };
    services.up(&NEEDED).await?;
    let settings = without_search(&services).await?;
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'chat'";
    let changed = changes_in_redis(&settings).await?;
    for name in ["worker", "sync"] {
        let asking = on(&settings, name)?.argument("healthcheck");
        let ended = asking.within(HEALTHCHECK).run().await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.output().lines().count(), 1, "{ended:?}");
        assert_eq!(ask_mariadb(&settings, tables).await?, "0");
        assert_eq!(changes_in_redis(&settings).await?, changed);
    }
    // A real start makes the tables, and tries out what Redis lets it do.
    let ended = on(&settings, "sync")?.argument("--once").run().await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_ne!(ask_mariadb(&settings, tables).await?, "0");
    assert_ne!(changes_in_redis(&settings).await?, changed);
    for (server, named) in [
        ("redis", "CHAT_COUNTER_URL"),
        ("mariadb", "CHAT_REPOSITORY_URL"),
    ] {
        services.kill(server).await?;
        for name in ["worker", "sync"] {
            let asking = on(&settings, name)?.argument("healthcheck");
            let ended = asking.within(HEALTHCHECK).run().await?;
            expect_failure(&ended, &[named])?;
            assert_eq!(ended.output().lines().count(), 1, "{ended:?}");
        }
        services.up(&[server]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_waiting_cannot_mend_stops_the_start_at_once() -> Result<()> {
    let Some(services) = Services::find("what_waiting_cannot_mend")? else {
        return Ok(());
    };
    services.up(&NEEDED).await?;
    let settings = without_search(&services).await?;
    let database = &settings[URLS[0]];
    let (_, place) = database.rsplit_once('@').context("a user")?;
    let redis = &settings[URLS[1]];
    for (setting, wrong) in [
        (URLS[0], format!("mysql://chat:guess@{place}")),
        (URLS[0], format!("{database}?ssl-mode=VERIFY_IDENTITY")),
        (URLS[1], redis.replace("redis://", "redis://:guess@")),
    ] {
        let mut settings = settings.clone();
        settings.insert(setting.to_owned(), wrong.clone());
        settings.insert(URLS[2].to_owned(), settings[URLS[1]].clone());
        let ended = on(&settings, "worker")?.within(AT_ONCE).run().await?;
        expect_failure(&ended, &[setting])?;
        assert!(!ended.output().contains("guess"), "{ended:?}");
    }
    // A server that is down is waited for, and named in the end.
    services.run("down", &["--keep"]).await?;
    let waiting = on(&settings, "worker")?.with("CHAT_WAIT_FOR", "1");
    let ended = waiting.within(AT_ONCE).run().await?;
    expect_failure(&ended, &["CHAT_"])?;
    assert!(ended.stderr.contains("waiting up to"), "{ended:?}");
    Ok(())
}

/// Returns a program's metrics by name.
async fn counts(client: &mut Client) -> Result<BTreeMap<String, f64>> {
    let exposition = Exposition::read(&client.get("/metrics").await?)?;
    let samples = exposition.samples.into_iter();
    Ok(samples.map(|sample| (sample.name, sample.value)).collect())
}

#[tokio::test]
async fn each_program_tells_what_it_does_itself_and_nothing_else() -> Result<()> {
    let Some(services) = Services::find("each_program_tells_what_it_does")? else {
        return Ok(());
    };
    services.up(&SERVERS).await?;
    let settings = services.settings().await?;
    let folder = scratch()?;
    let mut programs = BTreeMap::new();
    for name in ["api", "worker", "sync"] {
        programs.insert(name, start(folder.path(), name, &settings).await?);
    }
    let mut client = programs["api"].client();
    let application = client
        .post("/api/v1/applications", &json!({"name": "counted"}))
        .await?
        .expect(201)?;
    let token = application["token"].as_str().context("a token")?;
    let chats = format!("/api/v1/applications/{token}/chats");
    client.post(&chats, &json!({})).await?.expect(201)?;
    let worker = &programs["worker"];
    eventually("the worker counts what it stored", || async {
        let counts = counts(&mut worker.client()).await?;
        Ok((counts.get("chat_stored_total") == Some(&1.0)).then_some(()))
    })
    .await?;

    for (name, told) in [
        ("api", "chat_http_requests_total"),
        ("worker", "chat_stored_total"),
        ("sync", "chat_counts_repaired_total"),
    ] {
        let counts = counts(&mut programs[name].client()).await?;
        for of in [
            "chat_http_requests_total",
            "chat_stored_total",
            "chat_counts_repaired_total",
        ] {
            assert_eq!(counts.contains_key(of), of == told, "{of} of {name}");
        }
        assert!(counts.contains_key("chat_dependency_up"), "{name}");
        let mut client = programs[name].client();
        let ready = client.get("/health/ready").await?.expect(200)?;
        assert_eq!(ready["dependencies"]["counter"]["status"], "up", "{name}");
        assert_eq!(ready["dependencies"]["queue"]["detail"], Value::Null);
    }

    // A rebuild by hand, while all of them run.
    let created = Call::post(&format!("{chats}/1/messages"), &json!({"body": "found"}))?;
    client.send(&created).await?.expect(201)?;
    eventually("the worker stores and indexes it", || async {
        let search = format!("{chats}/1/messages/search?query=found");
        let page = programs["api"].client().get(&search).await?;
        Ok((page.status == 200 && numbers(&page.expect(200)?) == [1]).then_some(()))
    })
    .await?;
    let rebuilding = on(&settings, "sync")?.argument("rebuild-search");
    let ended = rebuilding.run().await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ensure!(ended.stdout.contains("messages indexed: 1,"), "{ended:?}");

    for (name, program) in &mut programs {
        let status = program.stop(Duration::from_secs(10)).await?;
        assert_eq!(status.code(), Some(0), "{name}");
        let after = program.client().get("/metrics").await;
        assert!(after.is_err(), "{name} still listens");
    }
    Ok(())
}
