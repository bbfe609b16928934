//! A running program: how it opens its adapters, and how it closes them in good order.

use anyhow::Result;

use crate::{lifecycle::Shutdown, settings::Settings, wiring::Wiring};

/// What a program has while it is at work.
pub struct Running {
    /// The adapters, and the services over them.
    pub wiring: Wiring,
    /// Tells it when to end.
    pub shutdown: Shutdown,
    /// Its name, which no other process at work has.
    pub name: String,
}

impl Running {
    /// Opens the adapters for a program of this `kind`; `None` where it is asked to end meanwhile.
    ///
    /// # Errors
    ///
    /// Fails when the adapters cannot be opened.
    pub async fn open(kind: &str, settings: &Settings) -> Result<Option<Self>> {
        let shutdown = Shutdown::on_signals(settings.shutdown)?;
        let opening = shutdown.soft.run_until_cancelled(Wiring::open(settings));
        let Some(wiring) = opening.await.transpose()? else {
            return Ok(None);
        };
        let own = || own_name(kind, &wiring.ports.tokens.uid().to_string());
        let name = settings.name.clone().unwrap_or_else(own);
        Ok(Some(Self {
            wiring,
            shutdown,
            name,
        }))
    }

    /// Waits for the running tasks and closes the adapters, unless the shutdown is forced before.
    pub async fn close(self) {
        self.shutdown.finish().await;
        let closing = self.wiring.close();
        if self.shutdown.unless_hard(closing).await.is_some() {
            tracing::info!("ended in good order");
        }
    }
}

/// Makes a unique name of host, process id and a random part, since containers can share the first two.
fn own_name(kind: &str, chance: &str) -> String {
    let host = gethostname::gethostname();
    let chance = chance.get(..8).unwrap_or(chance);
    format!(
        "{kind}-{}-{}-{chance}",
        host.to_string_lossy(),
        std::process::id()
    )
}

#[cfg(test)]
mod tests {
    use super::own_name;

    #[test]
    fn processes_that_share_host_and_id_differ() {
        let (one, other) = (
            own_name("worker", "00c0ffee01"),
            own_name("worker", "00decade01"),
        );
        assert!(
            one.starts_with("worker-") && one.ends_with("-00c0ffee"),
            "{one}"
        );
        assert_ne!(one, other);
    }
}
