//! The laws, on SQLite and Tantivy.

use std::sync::Arc;

use chat_adapter_embedded::{Embedded, EmbeddedConfig};
use chat_core::{
    contract::{
        counter::{Forget, Forgetful},
        counter_contract, counter_forgetting_contract, queue_contract, repository_contract,
        search_contract,
    },
    memory::Memory,
    ports::Ports,
};
use tempfile::TempDir;

async fn embedded() -> Option<(Ports, TempDir)> {
    let folder = TempDir::new().expect("the system has a temporary folder");
    let memory = Memory::new().ports();
    let clock = Arc::clone(&memory.clock);
    let embedded = Embedded::open(&EmbeddedConfig::new(folder.path()), clock)
        .await
        .expect("a new folder opens");
    let ports = Ports {
        counter: embedded.counter,
        queue: embedded.queue,
        repository: embedded.repository,
        search: embedded.search,
        ..memory
    };
    Some((ports, folder))
}

mod counter {
    use super::*;
    counter_contract!(embedded());
}

mod counter_that_forgets {
    use super::*;
    counter_forgetting_contract!(async {
        let (ports, folder) = embedded().await?;
        // Numbers come from a row, which nobody can evict.
        let forget: Forget = Box::new(|_| Box::pin(std::future::ready(())));
        Some((Forgetful { ports, forget }, folder))
    });
}

mod queue {
    use super::*;
    queue_contract!(embedded());
}

mod repository {
    use super::*;
    repository_contract!(embedded());
}

mod search {
    use super::*;
    search_contract!(async {
        let (ports, folder) = embedded().await?;
        Some((ports.search, folder))
    });
}
