//! The Swagger UI: it works in a browser that reaches nothing but `api`.

use std::time::Duration;

use anyhow::{Result, ensure};
use chat_system::{program::scratch, stage::Embedded, tools::Tools};

const ADMIN_KEY: &str = "open-sesame";

#[tokio::test]
async fn an_application_a_chat_and_a_message_are_created_by_try_it_out() -> Result<()> {
    let Some(tools) = Tools::find("the browser of the Swagger UI") else {
        return Ok(());
    };
    let mut stage = Embedded::open_with(&[("CHAT_ADMIN_KEY", ADMIN_KEY)]).await?;
    let home = scratch()?;
    let screenshot = tools.artefact("swagger-ui.png")?;
    let token = home.path().join("token");
    tools
        .node("swagger_ui.mjs", home.path())?
        .argument(stage.one_api().as_str())
        .argument(ADMIN_KEY)
        .argument(&screenshot)
        .argument(&token)
        .succeed(&tools.artefact("swagger-ui.log")?, Duration::from_mins(2))
        .await?;
    ensure!(
        screenshot.metadata()?.len() > 10_000,
        "there is nothing on `{}`",
        screenshot.display()
    );

    // What the page showed is there for everybody else, too.
    let token = std::fs::read_to_string(token)?;
    let chat = format!("/api/v1/applications/{token}/chats/1");
    assert_eq!(stage.read(&chat).await?["title"], "a chat 🦀");
    let message = stage.read(&format!("{chat}/messages/1")).await?;
    assert_eq!(message["sender"], "ann");
    assert_eq!(message["body"], "hello <b>&amp;");
    Ok(())
}
