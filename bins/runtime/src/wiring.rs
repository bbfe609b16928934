//! Which adapter fills which port: the only place that names adapters.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use chat_adapter_embedded::{Embedded, EmbeddedConfig, OpenError};
use chat_adapter_system::{SystemClock, SystemTokens};
use chat_core::{
    ports::{Clock, Counter, Ports, Queue, Repository, SearchIndex},
    service::{Policy, Services},
};

use crate::settings::{Backend, Settings};

/// The adapters of one process, in their ports.
pub struct Wiring {
    /// What the services stand on.
    pub ports: Ports,
    /// The services.
    pub services: Services,
    set: Set,
}

/// The opened adapters, to be closed at the end.
enum Set {
    Embedded(Embedded),
}

impl Wiring {
    /// Opens the adapters that the settings name.
    ///
    /// # Errors
    ///
    /// Fails when one of them cannot be opened.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let set = match &settings.backend {
            Backend::Embedded { folder, search } => {
                let mut config = EmbeddedConfig::new(folder);
                if let Some(search) = search {
                    config.search_folder.clone_from(search);
                }
                let opened = Embedded::open(&config, Arc::clone(&clock)).await;
                let described = || format!("opening the data folder `{}`", folder.display());
                Set::Embedded(opened.with_context(described)?)
            }
        };
        let ports = Ports {
            counter: set.counter(),
            queue: set.queue(),
            repository: set.repository(),
            search: set.search(),
            clock,
            tokens: Arc::new(SystemTokens),
        };
        let policy = Policy {
            retention: settings.retention,
            ..Policy::default()
        };
        let services = Services::new(&ports, &policy);
        Ok(Self {
            ports,
            services,
            set,
        })
    }

    /// Says whether `api` does the work of `worker` and `sync`, because the set belongs to one process.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self.set, Set::Embedded(_))
    }

    /// Closes the adapters, so that what they hold is in good order.
    pub async fn close(self) {
        let Self {
            ports,
            services,
            set,
        } = self;
        drop((ports, services));
        match set {
            Set::Embedded(embedded) => embedded.close().await,
        }
    }
}

/// Says whether [`Wiring::open`] failed because another process has the data folder.
#[must_use]
pub fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::InUse { .. }))
}

impl Set {
    fn counter(&self) -> Arc<dyn Counter> {
        match self {
            Self::Embedded(embedded) => embedded.counter.clone(),
        }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        match self {
            Self::Embedded(embedded) => embedded.queue.clone(),
        }
    }

    fn repository(&self) -> Arc<dyn Repository> {
        match self {
            Self::Embedded(embedded) => embedded.repository.clone(),
        }
    }

    fn search(&self) -> Arc<dyn SearchIndex> {
        match self {
            Self::Embedded(embedded) => embedded.search.clone(),
        }
    }
}
