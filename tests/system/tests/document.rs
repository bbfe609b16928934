//! The OpenAPI document: a linter accepts it, and a fuzzer sees `api` answer as it says.

use std::time::Duration;

use anyhow::Result;
use chat_system::{
    program::{scratch, workspace},
    stage::Embedded,
    tools::{Tools, source},
};

const ADMIN_KEY: &str = "open-sesame";

#[tokio::test]
async fn the_document_keeps_the_rules_of_its_kind() -> Result<()> {
    let Some(tools) = Tools::find("the linter of the document") else {
        return Ok(());
    };
    let home = scratch()?;
    tools
        .node("@redocly/cli/bin/cli.js", home.path())?
        .argument("lint")
        .argument("--config")
        .argument(source("redocly.yaml"))
        .argument("--max-problems=1000")
        .argument(workspace().join("bins/api/openapi.json"))
        .with("REDOCLY_TELEMETRY", "off")
        .with("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")
        .succeed(&tools.artefact("redocly.log")?, Duration::from_mins(1))
        .await?;
    Ok(())
}

/// Fuzzes every operation with valid and invalid requests, alone and in sequences.
#[tokio::test]
async fn whatever_is_asked_the_answer_is_one_that_the_document_tells() -> Result<()> {
    let Some(tools) = Tools::find("the fuzzer of the document") else {
        return Ok(());
    };
    let stage = Embedded::open_with(&[("CHAT_ADMIN_KEY", ADMIN_KEY)]).await?;
    let api = format!("http://{}", stage.one_api());
    let home = scratch()?;
    let said = tools
        .python("schemathesis", home.path())?
        .argument("--no-color")
        .argument("--config-file")
        .argument(source("schemathesis.toml"))
        .argument("run")
        .argument(format!("{api}/openapi.json"))
        .argument("--url")
        .argument(&api)
        .argument("--report=junit")
        .argument("--report-junit-path")
        .argument(tools.artefact("schemathesis.xml")?)
        .with("CHAT_TEST_HOOKS", source("schemathesis_hooks.py"))
        .with("CHAT_TEST_ADMIN_KEY", ADMIN_KEY)
        .succeed(&tools.artefact("schemathesis.log")?, Duration::from_mins(5))
        .await?;
    println!("{said}");
    Ok(())
}
