//! The search index is built automatically, and rebuilt when an operator asks for that.

use anyhow::Result;
use chat_system::{
    client::Call,
    stage::{Stage, eventually, fields},
};
use hyper::Method;
use serde_json::{Value, json};

const REBUILD: &str = "/api/v1/admin/search/rebuild";

/// Waits until no rebuild runs, and returns how the last one ended.
async fn rebuilt(stage: &Stage) -> Result<Value> {
    eventually("the rebuild has ended", || async {
        let progress = stage.another_client().get(REBUILD).await?.expect(200)?;
        let wanted = [
            "detail",
            "done",
            "finished_at",
            "started_at",
            "state",
            "total",
        ];
        assert_eq!(fields(&progress), wanted);
        Ok((progress["state"] != "running").then_some(progress))
    })
    .await
}

#[tokio::test]
async fn a_new_system_has_built_its_index_by_itself() -> Result<()> {
    let stage = Stage::open().await?;
    let progress = rebuilt(&stage).await?;
    assert_eq!(
        (&progress["state"], &progress["total"]),
        (&json!("done"), &json!(0))
    );
    Ok(())
}

#[tokio::test]
async fn a_rebuild_is_accepted_and_tells_its_progress() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    for number in 0..20 {
        let message = json!({"body": format!("needle {number}")});
        stage.create(&messages, &message).await?;
    }
    rebuilt(&stage).await?;
    let call = Call::try_new(Method::POST, REBUILD)?;
    for _ in 0..3 {
        // While one runs, asking again answers the progress of that one.
        let progress = stage.client.send(&call).await?.expect(202)?;
        assert_eq!(progress["state"], "running");
        assert!(progress["started_at"].is_string(), "{progress}");
        // Search goes on meanwhile.
        let search = format!("{messages}/search?query=needle");
        stage.read(&search).await?;
    }
    let progress = rebuilt(&stage).await?;
    assert_eq!(progress["state"], "done");
    assert_eq!(
        (&progress["done"], &progress["total"]),
        (&json!(20), &json!(20))
    );
    assert!(progress["finished_at"].is_string(), "{progress}");
    Ok(())
}
