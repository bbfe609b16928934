//! A client that a common generator makes from the OpenAPI document does all that a device needs.

use std::time::Duration;

use anyhow::{Result, ensure};
use chat_system::{
    program::{scratch, workspace},
    stage::Embedded,
    tools::{Tools, source},
};

const ADMIN_KEY: &str = "open-sesame";
const DEADLINE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_generated_client_does_all_that_a_device_needs() -> Result<()> {
    let Some(tools) = Tools::find("the generator of clients") else {
        return Ok(());
    };
    let home = scratch()?;
    let document = workspace().join("bins/api/openapi.json");
    let client = home.path().join("client");
    let said = tools
        .python("openapi-python-client", home.path())?
        .argument("generate")
        .argument("--config")
        .argument(source("openapi-python-client.yaml"))
        .argument("--path")
        .argument(&document)
        .argument("--output-path")
        .argument(&client)
        .argument("--fail-on-warning")
        .succeed(&tools.artefact("client-generator.log")?, DEADLINE)
        .await?;
    let said = said.to_lowercase();
    for complaint in ["warning", "unable", "unsupported", "skip", "omitted"] {
        ensure!(!said.contains(complaint), "the generator said: {said}");
    }

    let stage = Embedded::open_with(&[("CHAT_ADMIN_KEY", ADMIN_KEY)]).await?;
    tools
        .python("python", home.path())?
        .argument(source("generated_client.py"))
        .argument(format!("http://{}", stage.one_api()))
        .argument(&document)
        .with("PYTHONPATH", &client)
        .with("CHAT_TEST_ADMIN_KEY", ADMIN_KEY)
        .succeed(&tools.artefact("generated-client.log")?, DEADLINE)
        .await?;
    Ok(())
}
