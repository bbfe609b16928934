//! The data folder: one `api` at a time, no schema of a later release, and an orderly shutdown.

use std::time::Duration;

use anyhow::Result;
use chat_system::{
    invocation::Invocation,
    program::free_port,
    stage::{Embedded, numbers},
};
use serde_json::json;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

/// How long `api` may take to end.
const STOP: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_second_api_on_the_folder_ends_with_a_sentence_that_names_it() -> Result<()> {
    let mut stage = Embedded::open().await?;
    let data = stage.data();
    let second = Invocation::of("api")?
        .with("CHAT_LISTEN", format!("127.0.0.1:{}", free_port()?))
        .with("CHAT_DATA", &data)
        .run()
        .await?;
    assert_ne!(second.code, Some(0));
    assert!(
        second.stderr.contains(&data.display().to_string()),
        "{second:?}"
    );
    assert!(!second.stderr.contains("panicked"), "{second:?}");
    stage.application().await?;
    Ok(())
}

#[tokio::test]
async fn while_an_api_runs_sync_names_the_endpoint_that_rebuilds() -> Result<()> {
    let stage = Embedded::open().await?;
    let refused = sync(&stage)?.argument("rebuild-search").run().await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let named = "POST /api/v1/admin/search/rebuild";
    assert!(refused.stderr.contains(named), "{refused:?}");
    let left = sync(&stage)?.argument("--once").run().await?;
    assert_eq!(left.code, Some(0), "{left:?}");
    assert!(left.stdout.contains("`api`"), "{left:?}");
    Ok(())
}

#[tokio::test]
async fn sync_rebuilds_the_index_of_an_api_that_has_ended() -> Result<()> {
    let mut stage = Embedded::open().await?;
    let application = stage.application().await?;
    let messages = stage.messages(&application).await?;
    for body in ["one parcel", "two parcels"] {
        stage.create(&messages, &json!({"body": body})).await?;
    }
    assert_eq!(stage.api().stop(STOP).await?.code(), Some(0));
    std::fs::remove_dir_all(stage.data().join("search"))?;
    let rebuilt = sync(&stage)?.argument("rebuild-search").run().await?;
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    assert!(
        rebuilt.stdout.starts_with("messages indexed: 2, "),
        "{rebuilt:?}"
    );
    stage.api().restart().await?;
    // Searched at once, so that what is found was indexed by `sync`, and not by `api` since its start.
    let page = stage
        .read(&format!("{messages}/search?query=parcle"))
        .await?;
    assert_eq!(numbers(&page), [2, 1], "the newest first");
    Ok(())
}

#[tokio::test]
async fn sync_audits_the_folder_of_an_api_that_has_ended() -> Result<()> {
    let mut stage = Embedded::open().await?;
    let application = stage.application().await?;
    let messages = stage.messages(&application).await?;
    stage.create(&messages, &json!({"body": "counted"})).await?;
    assert_eq!(stage.api().stop(STOP).await?.code(), Some(0));
    let options = SqliteConnectOptions::new().filename(stage.data().join("chat.db"));
    let mut database = SqliteConnection::connect_with(&options).await?;
    sqlx::query("UPDATE chats SET messages_count = 7")
        .execute(&mut database)
        .await?;
    database.close().await?;
    for repaired in [1, 0] {
        let audited = sync(&stage)?.argument("--once").run().await?;
        assert_eq!(audited.code, Some(0), "{audited:?}");
        let told = format!("counts compared: 2, repaired: {repaired};");
        assert!(audited.stdout.starts_with(&told), "{audited:?}");
    }
    Ok(())
}

fn sync(stage: &Embedded) -> Result<Invocation> {
    Ok(Invocation::of("sync")?.with("CHAT_DATA", stage.data()))
}

#[tokio::test]
async fn the_folder_of_a_killed_api_is_taken_over() -> Result<()> {
    let mut stage = Embedded::open().await?;
    let application = stage.application().await?;
    stage.api().kill()?;
    stage.api().restart().await?;
    stage.read(&application.path).await?;
    Ok(())
}

#[tokio::test]
async fn a_newer_schema_is_refused() -> Result<()> {
    let mut stage = Embedded::open().await?;
    assert_eq!(stage.api().stop(STOP).await?.code(), Some(0));
    let options = SqliteConnectOptions::new().filename(stage.data().join("chat.db"));
    let mut database = SqliteConnection::connect_with(&options).await?;
    sqlx::query(
        "INSERT INTO _sqlx_migrations \
         (version, description, success, checksum, execution_time) \
         VALUES (99991231235959, 'of a later release', TRUE, x'00', 0)",
    )
    .execute(&mut database)
    .await?;
    database.close().await?;

    let refused = Invocation::of("api")?
        .with("CHAT_LISTEN", format!("127.0.0.1:{}", free_port()?))
        .with("CHAT_DATA", stage.data())
        .run()
        .await?;
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("newer"), "{refused:?}");
    assert!(!refused.stderr.contains("panicked"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn sigterm_ends_it_with_code_0_and_keeps_what_was_answered() -> Result<()> {
    let mut stage = Embedded::open().await?;
    let application = stage.application().await?;
    let chat = stage.chat(&application).await?;
    let messages = format!("{chat}/messages");
    let message = stage.create(&messages, &json!({"body": "kept"})).await?;
    assert_eq!(stage.api().stop(STOP).await?.code(), Some(0));
    stage.api().restart().await?;
    assert_eq!(stage.read(&format!("{messages}/1")).await?, message);
    Ok(())
}

#[tokio::test]
async fn idle_and_half_sent_requests_do_not_hold_the_end_up() -> Result<()> {
    let mut stage = Embedded::open().await?;
    // The stage's own client keeps an idle connection, too.
    stage.application().await?;
    let mut half_sent = Vec::new();
    for part in [
        "",
        "POST /api/v1/applications HTT",
        "POST /api/v1/applications HTTP/1.1\r\nhost: test\r\n",
        "POST /api/v1/applications HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
         content-length: 20\r\n\r\n{\"name\":",
    ] {
        let mut stream = TcpStream::connect(stage.one_api().as_str()).await?;
        stream.write_all(part.as_bytes()).await?;
        half_sent.push(stream);
    }
    // This is answered after those connections were made, so they have been accepted by now.
    stage.application().await?;
    assert_eq!(stage.api().stop(STOP).await?.code(), Some(0));
    drop(half_sent);
    Ok(())
}
