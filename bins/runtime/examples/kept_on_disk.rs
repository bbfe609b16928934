//! A chat system within your own program, kept on disk and searched.
//!
//! ```sh
//! cargo run -p chat-runtime --example kept_on_disk -- FOLDER
//! ```
//!
//! It uses the adapters and `chat-core` alone, which would be your program's dependencies, and nothing of the
//! crate that it lies in. Each run adds to what the folder has; without a folder it leaves nothing behind.

use std::{env, error::Error, io::Write as _, sync::Arc, time::Duration};

use chat_adapter_embedded::{Embedded, EmbeddedConfig};
use chat_adapter_system::{SystemClock, SystemTokens};
use chat_core::{
    Chain,
    model::{ApplicationName, Limit, MessageBody, SearchText, Sender},
    ports::Ports,
    service::{Policy, Services},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The name under which this program claims jobs; a process that is alone needs only one.
const HOLDER: &str = "my program";

/// How often changes are carried into the search index.
const INDEXING: Duration = Duration::from_millis(200);

/// How often deleted messages are purged, and counts audited.
const AUDITING: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let folder = env::args_os().nth(1).unwrap_or(scratch.path().into());

    let clock = Arc::new(SystemClock::new());
    let embedded = Embedded::open(&EmbeddedConfig::new(folder), clock.clone()).await?;
    let ports = Ports {
        counter: embedded.counter.clone(),
        queue: embedded.queue.clone(),
        repository: embedded.repository.clone(),
        search: embedded.search.clone(),
        clock,
        tokens: Arc::new(SystemTokens),
    };
    let services = Services::new(&ports, &Policy::default());
    // Makes the search index where there is none, before anybody searches.
    services.rebuilder.run_once(HOLDER).await?;
    let end = CancellationToken::new();
    let duties = [
        begin_to_index(services.clone(), end.clone()),
        begin_to_audit(services.clone(), end.clone()),
    ];

    timeout(Duration::from_secs(30), write_and_find(&services)).await??;

    end.cancel();
    for duty in duties {
        duty.await?;
    }
    // Any part that is still in use would keep the set open.
    drop((services, ports));
    embedded.close().await;
    Ok(())
}

/// Writes a message, which can be read at once, and waits until it is found.
async fn write_and_find(services: &Services) -> Result<(), Box<dyn Error>> {
    let name = ApplicationName::parse("my program")?;
    let token = services.applications.create(name).await?.token;
    let chat = services.chats.create(&token, None, None).await?;
    let chat = chat.item.key.chat;
    let sender = Some(Sender::parse("ann")?);
    let body = MessageBody::parse("The quick brown fox jumps over the lazy dog")?;
    services
        .messages
        .create(&token, chat, sender, body, None)
        .await?;

    let asked = SearchText::parse("quik fox")?;
    loop {
        let found = services
            .search
            .in_chat(&token, chat, &asked, None, Limit::default())
            .await?;
        if let Some(hit) = found.items.first() {
            let shown = hit.highlight.as_deref().unwrap_or_default();
            writeln!(std::io::stdout(), "{}: {shown}", hit.message.key.message)?;
            return Ok(());
        }
        sleep(INDEXING).await;
    }
}

/// Carries changes into the search index, and rebuilds it where it was lost.
fn begin_to_index(services: Services, end: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        while !end.is_cancelled() {
            for failed in [
                services.rebuilder.run_once(HOLDER).await.err(),
                services.indexer.run_once(HOLDER).await.err(),
            ]
            .into_iter()
            .flatten()
            {
                tracing::warn!(error = %Chain(&failed), "indexing is tried again");
            }
            end.run_until_cancelled(sleep(INDEXING)).await;
        }
    })
}

/// Purges what was deleted long ago, and audits counts.
fn begin_to_audit(services: Services, end: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        while !end.is_cancelled() {
            if let Err(failed) = services.reconciler.run_once(HOLDER).await {
                tracing::warn!(error = %Chain(&failed), "the audit is tried again");
            }
            end.run_until_cancelled(sleep(AUDITING)).await;
        }
    })
}
