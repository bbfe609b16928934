//! Dead letters on the command line: an operator lists, replays and drops what was set aside.

use anyhow::{Context as _, Result, bail, ensure};
use chat_core::{
    model::{DeadLetterId, Limit},
    service::{DeadLetters, ReplayError, ServiceError},
};
use chat_runtime::{program::print, running::Running, settings::Settings};

use crate::shown::{line, paragraph};

/// Says where dead letters of the embedded set are handled.
pub(crate) const ELSEWHERE: &str = "on the embedded set `api` handles the dead letters itself: use \
     its GET /api/v1/admin/dead-letters, POST /api/v1/admin/dead-letters/{id}/replay or DELETE \
     /api/v1/admin/dead-letters/{id}";

/// How many letters are read at a time.
const PAGE: u64 = 100;

/// What is to be done.
#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// List all of them: why and when each was set aside, and what it holds
    List {
        /// Write each as a line of JSON: what the admin API answers, and the failure in its own words
        #[arg(long)]
        json: bool,
    },
    /// Replay letters, once the cause of their failure is gone
    Replay {
        /// The letters' ids
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<String>,
        /// Replay every letter
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// Also replay what is so old that its tombstone may have been purged
        #[arg(long)]
        force: bool,
    },
    /// Drop letters: what they would have created counts as deleted, and what is stored stays
    Drop {
        /// The letters' ids
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

/// Opens the servers that the settings name, and carries out `action`.
pub(crate) async fn run(settings: &Settings, action: Action) -> Result<()> {
    let Some(running) = Running::open("worker", settings).await? else {
        bail!("the command was stopped before it began");
    };
    let doing = act(&running.wiring.services.dead_letters, action);
    let outcome = running.shutdown.soft.run_until_cancelled(doing).await;
    running.close().await;
    outcome
        .unwrap_or_else(|| bail!("the command was stopped half-way; what it did so far stays done"))
}

async fn act(letters: &DeadLetters, action: Action) -> Result<()> {
    match action {
        Action::List { json } => list(letters, json).await,
        Action::Replay {
            all: true, force, ..
        } => replay_all(letters, force).await,
        Action::Replay { ids, force, .. } => {
            let mut tally = Tally::of("replayed");
            for id in ids.into_iter().map(DeadLetterId::new) {
                tally.count(&id, letters.replay(&id, force).await)?;
            }
            tally.conclude()
        }
        Action::Drop { ids } => {
            let mut tally = Tally::of("dropped");
            for id in ids.into_iter().map(DeadLetterId::new) {
                let dropped = letters.drop_letter(&id).await;
                tally.count(&id, dropped.map_err(ReplayError::from))?;
            }
            tally.conclude()
        }
    }
}

/// Writes all letters, a page in memory at a time.
async fn list(letters: &DeadLetters, json: bool) -> Result<()> {
    let limit = Limit::try_new(PAGE).context("the size of a page is out of range")?;
    let (mut after, mut count) = (None, 0_u64);
    loop {
        let page = letters.list(after, limit).await;
        let page = page.context("listing the dead letters")?;
        for opened in &page.items {
            print(&if json {
                line(opened)?
            } else {
                paragraph(opened)
            })?;
            count += 1;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        return Ok(());
    }
    print(&format!("dead letters: {count}"))
}

/// Replays each letter once; one that fails again meanwhile is not replayed again.
async fn replay_all(letters: &DeadLetters, force: bool) -> Result<()> {
    let limit = Limit::try_new(PAGE).context("the size of a page is out of range")?;
    let mut tally = Tally::of("replayed");
    let mut after = None;
    loop {
        let page = letters.list(after, limit).await;
        let page = page.context("listing the dead letters")?;
        for opened in page.items {
            let id = opened.letter.id;
            match letters.replay(&id, force).await {
                // Somebody else has replayed or dropped it meanwhile.
                Err(ReplayError::Service(ServiceError::NotFound)) => {}
                outcome => tally.count(&id, outcome)?,
            }
        }
        after = page.next;
        if after.is_none() {
            return tally.conclude();
        }
    }
}

/// How many letters an action was done to, and how many it was refused for.
struct Tally {
    what: &'static str,
    done: u64,
    refused: u64,
}

impl Tally {
    fn of(what: &'static str) -> Self {
        Self {
            what,
            done: 0,
            refused: 0,
        }
    }

    /// Counts one letter, and logs what to do where it was refused; any other failure ends the action.
    fn count(&mut self, id: &DeadLetterId, outcome: Result<(), ReplayError>) -> Result<()> {
        let id = id.as_str();
        let advice = match outcome {
            Ok(()) => {
                self.done += 1;
                return Ok(());
            }
            Err(ReplayError::Service(ServiceError::NotFound)) => {
                "there is no such dead letter; `worker dead-letters list` shows all there are"
            }
            Err(ReplayError::NeedsForce) => {
                "it is so old that its tombstone may have been purged; replay it with --force, or drop it"
            }
            Err(ReplayError::Unreadable) => {
                "this version cannot read it; replay it by the version that wrote it, or drop it"
            }
            Err(error) => {
                let failed = format!(
                    "{} {} letters; then `{id}` failed, and can be tried again",
                    self.what, self.done
                );
                return Err(anyhow::Error::new(error).context(failed));
            }
        };
        self.refused += 1;
        tracing::error!(letter = id, "`{id}` was not {}: {advice}", self.what);
        Ok(())
    }

    fn conclude(self) -> Result<()> {
        let Self {
            what,
            done,
            refused,
        } = self;
        print(&format!("{what}: {done}"))?;
        ensure!(
            refused == 0,
            "not {what}: {refused}; the lines above say why"
        );
        Ok(())
    }
}
