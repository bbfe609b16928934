//! One round of audits, for whoever wants it now.

use anyhow::{Context as _, Result, bail, ensure};
use chat_core::service::Reconciled;
use chat_runtime::{
    lifecycle::Shutdown,
    program::{name, print},
    settings::Settings,
    wiring::{Wiring, is_in_use},
};

/// Audits once, and tells what was repaired.
pub(crate) async fn once(settings: &Settings) -> Result<()> {
    let shutdown = Shutdown::on_signals(settings.shutdown)?;
    let wiring = match Wiring::open(settings).await {
        Ok(wiring) => wiring,
        Err(error) if is_in_use(&error) => {
            return print("nothing to do: the `api` that has the data folder audits it itself");
        }
        Err(error) => return Err(error),
    };
    let holder = name("sync", settings);
    let audit = wiring.services.reconciler.run_once(&holder);
    let outcome = shutdown.soft.run_until_cancelled(audit).await;
    shutdown.unless_hard(wiring.close()).await;
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
        "{failed} counts could not be compared; the log names them"
    );
    Ok(())
}
