//! Programs that are killed at random, or stalled in the middle of a batch.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chat_system::{live::LiveSet, loader::Numbering};
use rand::{RngExt as _, seq::SliceRandom as _};
use tokio::time::sleep;

use crate::dice;

/// How often each is killed.
const KILLS: usize = 20;

/// How long a worker is stalled: long enough that the others take over the entries it was given.
const STALLED: Duration = Duration::from_secs(45);

/// What is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Worker,
    Api,
    Sync,
    All,
}

#[tokio::test(flavor = "multi_thread")]
async fn eighty_kills_at_random_lose_and_repeat_nothing() -> Result<()> {
    let name = "eighty_kills_at_random_lose_and_repeat_nothing";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut dice = dice()?;
    let kinds = [Victim::Worker, Victim::Api, Victim::Sync, Victim::All];
    let mut victims: Vec<Victim> = kinds
        .into_iter()
        .cycle()
        .take(kinds.len() * KILLS)
        .collect();
    victims.shuffle(&mut dice);
    let mut loading = live.load(usize::MAX, Numbering::WithoutGaps).await?;
    let part = loading.total() / (victims.len() + 2);
    for (at, victim) in (1..).zip(victims) {
        let moment = part * at + dice.random_range(0..part / 2);
        loading.until_answered(moment).await?;
        let (programs, one) = (&mut live.programs, dice.random_range(0..2));
        match victim {
            Victim::Worker => {
                programs.workers[one].kill()?;
                programs.workers[one].restart()?;
            }
            Victim::Api => {
                programs.apis[one].kill()?;
                programs.apis[one].restart().await?;
            }
            Victim::Sync => {
                let sync = programs.sync.as_mut().context("there is a sync")?;
                sync.kill()?;
                sync.restart()?;
            }
            Victim::All => {
                programs.kill()?;
                programs.restart().await?;
            }
        }
    }
    let tally = live.expect_kept(loading).await?;
    tally.report("`worker`, `api`, `sync` and all at once killed 20 times each, at random")
}

/// The stalled worker goes on with a batch that another has stored meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_in_the_hands_of_two_workers_is_stored_once() -> Result<()> {
    let name = "a_batch_in_the_hands_of_two_workers_is_stored_once";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(usize::MAX, Numbering::WithoutGaps).await?;
    let total = loading.total();
    for (part, one) in [(4, 0), (2, 1)] {
        loading.until_answered(total / part).await?;
        live.programs.workers[one].stall()?;
        sleep(STALLED).await;
        live.programs.workers[one].wake()?;
    }
    let tally = live.expect_kept(loading).await?;
    tally.report("a `worker` stalled for 45 s with a batch in its hands, twice")
}
