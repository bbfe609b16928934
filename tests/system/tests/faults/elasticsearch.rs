//! A search index that is replaced, for a while, by one whose fields have other types.

use std::time::Duration;

use anyhow::Result;
use chat_system::{
    live::{LiveSet, UNDER_FIRE},
    loader::Numbering,
};
use tokio::time::sleep;

/// How long all that is written conflicts with the fields of the index.
const CONFLICTING: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_other_kinds_leave_no_gap_in_search() -> Result<()> {
    let name = "fields_of_other_kinds_leave_no_gap_in_search";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    loading.until_answered(UNDER_FIRE / 5).await?;
    let displaced = live.index()?.displace().await?;
    loading.until_answered(UNDER_FIRE / 2).await?;
    sleep(CONFLICTING).await;
    live.index()?.put_back(displaced).await?;
    let tally = live.expect_kept(loading).await?;
    tally.report("another index, with other fields, in the place of the search index for 10 s")
}
