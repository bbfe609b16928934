//! A RabbitMQ whose confirms never come.

use std::time::Duration;

use anyhow::Result;
use chat_system::{
    live::{LiveSet, UNDER_FIRE, address, through},
    loader::Numbering,
    proxy::{Proxy, Way},
    services::{SERVERS, Services},
};
use tokio::time::sleep;

/// How long nothing comes from it.
const SILENT: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn confirms_that_never_come_lose_nothing() -> Result<()> {
    let name = "confirms_that_never_come_lose_nothing";
    let Some(services) = Services::find(name)? else {
        return Ok(());
    };
    let servers = [&SERVERS[..], &["rabbitmq"]].concat();
    services.up(&servers).await?;
    let settings = services.settings_of(&servers).await?;
    let proxy = Proxy::to(address(&settings, "CHAT_QUEUE_URL")?).await?;
    let way = through(&settings, &[&proxy]);
    let mut live = LiveSet::begin(services, settings, [&way, &way]).await?;
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    for percent in [25, 50] {
        loading.until_answered(UNDER_FIRE * percent / 100).await?;
        proxy.set(Way::Silent);
        sleep(SILENT).await;
        proxy.set(Way::Reset);
        sleep(SILENT / 15).await;
        proxy.set(Way::Open);
    }
    let tally = live.expect_kept(loading).await?;
    tally.report("RabbitMQ: confirms that do not come for 15 s, twice")
}
