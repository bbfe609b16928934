//! One round of audits, on demand.

use anyhow::{Context as _, Result, bail, ensure};
use chat_core::service::Reconciled;
use chat_runtime::{program::print, running::Running, settings::Settings, wiring::is_in_use};

/// Audits once, and tells what was repaired.
pub(crate) async fn once(settings: &Settings) -> Result<()> {
    let running = match Running::open("sync", settings).await {
        Ok(Some(running)) => running,
        Ok(None) => bail!("the audit was stopped before it began"),
        Err(error) if is_in_use(&error) => {
            return print(
                "nothing to do: the `api` that uses the data folder runs its audits itself",
            );
        }
        Err(error) => return Err(error),
    };
    let audit = running.wiring.services.reconciler.run_once(&running.name);
    let outcome = running.shutdown.soft.run_until_cancelled(audit).await;
    running.close().await;
    let Some(outcome) = outcome else {
        bail!("the audit was stopped; what it repaired so far stays repaired");
    };
    let Reconciled {
        rescued,
        unfinished,
        counts_checked,
        counts_repaired,
        failed,
        purged,
    } = outcome.context("auditing")?;
    print(&format!(
        "counts compared: {counts_checked}, repaired: {counts_repaired}; \
         pending creations stored: {rescued}{}; deleted rows removed: {purged}",
        if unfinished { ", more are pending" } else { "" }
    ))?;
    ensure!(
        failed == 0,
        "{failed} counts could not be compared or repaired; the log names them"
    );
    Ok(())
}
