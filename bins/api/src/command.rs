//! What `api` can be asked to do.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use chat_runtime::{
    duties::Duties,
    program::{CommandLine, block_on, print},
    running::Running,
    server::{self, Room},
    settings::{Settings, reference},
    telemetry,
};
use tokio::net::TcpListener;

use crate::{Dependencies, build, document, healthcheck, metrics::Metrics};

/// The arguments of `api` alone.
#[derive(clap::Args)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Serve the API (the default)
    Run,
    /// End with code 0 if the `api` that listens on the set address is ready
    Healthcheck,
    /// Print the OpenAPI document
    PrintOpenapi,
    /// Print the settings as the README's table and as a commented file
    PrintSettings {
        /// Print the commented file
        #[arg(long)]
        toml: bool,
    },
}

/// Does what the command line asks for.
///
/// # Errors
///
/// Fails when a setting is wrong, or the system cannot be opened or served.
pub fn run() -> Result<()> {
    let command = clap::Command::new("api")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves the HTTP API of the chat backend");
    let line = CommandLine::<Arguments>::read(command)?;
    match line.own.command {
        None | Some(Command::Run) => {
            let settings = line.settings()?;
            telemetry::start(&settings)?;
            block_on(serve(settings))
        }
        Some(Command::Healthcheck) => block_on(healthcheck::run(line.settings()?.listen)),
        Some(Command::PrintOpenapi) => print(&document::json()),
        Some(Command::PrintSettings { toml: false }) => print(&reference::markdown_table()),
        Some(Command::PrintSettings { toml: true }) => print(&reference::toml_sample()),
    }
}

async fn serve(settings: Settings) -> Result<()> {
    let Some(running) = Running::open("api", &settings).await? else {
        return Ok(());
    };
    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener
        .with_context(|| format!("listening on {}, which CHAT_LISTEN sets", settings.listen))?;
    let wiring = &running.wiring;
    let mut registry = chat_runtime::metrics::registry();
    if wiring.is_embedded() {
        let mut duties = Duties::new(&running, &mut registry);
        duties.persist();
        duties.index();
        duties.audit(settings.audit_interval);
    }
    let metrics = Arc::new(Metrics::new(registry));
    let dependencies = Dependencies {
        services: wiring.services.clone(),
        ports: wiring.ports.clone(),
        admin: settings.admin,
        rate_limit: settings.rate_limit,
        metrics: Arc::clone(&metrics),
    };
    let address = listener
        .local_addr()
        .context("reading the listener's address")?;
    tracing::info!("the Swagger UI is at http://{address}/docs");
    let endpoint = Arc::new(build(dependencies));
    server::allow_files(settings.max_connections);
    let room = Room::new(settings.max_connections, metrics.connections());
    server::serve(listener, endpoint, room, &running.shutdown).await;
    running.close().await;
    Ok(())
}
