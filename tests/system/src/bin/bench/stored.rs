//! What a live system keeps up with: creates that are accepted, stored and, where that is asked for,
//! indexed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, sleep};

use crate::{
    StoredArguments,
    bed::{self, Bed, Servers, Waiting},
    creates::{create_chats, measure},
    report::{expect_ratio, say},
};

/// How often the length of the queue is asked for.
const LOOK: Duration = Duration::from_millis(250);

/// How long the yardstick is measured, before and after.
const YARDSTICK: Duration = Duration::from_secs(5);

/// How long each server is loaded before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// The same where Elasticsearch takes part: a JVM takes that long to warm up.
const LONG_WARM_UP: Duration = Duration::from_secs(30);

/// How long what waits at the end may take to be stored, or indexed.
const DRAINED: Duration = Duration::from_mins(5);

/// Measures and prints the result.
///
/// # Errors
///
/// Fails when something does not start or answer, the queue grew too long, or the ratio is too low.
pub(crate) async fn run(arguments: &StoredArguments) -> Result<()> {
    let (yardstick, _folder) = bed::yardstick().await?;
    let (servers, warm_up, done) = if arguments.indexed {
        (Servers::All, LONG_WARM_UP, "stored and indexed")
    } else {
        (Servers::Needed, WARM_UP, "stored")
    };
    let mut bed = Bed::live(arguments.redis, servers).await?;
    bed.work().await?;
    let paths = create_chats(bed.authority(), usize::from(arguments.connections)).await?;
    measure(yardstick.authority(), &paths, WARM_UP).await?;
    measure(bed.authority(), &paths, warm_up).await?;
    until_nothing_waits(&bed, arguments.indexed).await?;

    let before = measure(yardstick.authority(), &paths, YARDSTICK).await?;
    let load = Duration::from_secs(arguments.seconds.into());
    let longest = Watch::begin(&bed);
    let begun = Instant::now();
    let round = measure(bed.authority(), &paths, load).await?;
    let longest = longest.end().await?;
    let at_the_end = bed.waiting().await?;
    until_nothing_waits(&bed, arguments.indexed).await?;
    let stored_in = begun.elapsed();
    let after = measure(yardstick.authority(), &paths, YARDSTICK).await?;

    let no_io = f64::midpoint(before.per_second, after.per_second);
    let accepted = round.per_second * load.as_secs_f64();
    let stored = accepted / stored_in.as_secs_f64();
    let ratio = stored / no_io;
    say(&format!(
        "accepted {:.0}/s for {} s, {done} {stored:.0}/s until nothing is left, p50 {:.2} ms, p99 {:.2} ms",
        round.per_second, arguments.seconds, round.p50_ms, round.p99_ms
    ))?;
    let Waiting {
        to_be_stored,
        to_be_indexed,
    } = at_the_end;
    say(&format!(
        "at most {longest:.0} waited to be stored, {to_be_stored:.0} at the end, and {to_be_indexed:.0} \
         to be indexed; no I/O {no_io:.0}/s, ratio {ratio:.3}"
    ))?;
    if let Some(at_most) = arguments.waiting_at_most {
        ensure!(
            longest <= f64::from(at_most),
            "{longest:.0} creations waited at once, more than {at_most}"
        );
    }
    expect_ratio(ratio, arguments.at_least)
}

/// Waits until all is stored and, where that is asked for, indexed.
pub(crate) async fn until_nothing_waits(bed: &Bed, indexed: bool) -> Result<()> {
    let looking = Instant::now();
    loop {
        let Waiting {
            to_be_stored,
            to_be_indexed,
        } = bed.waiting().await?;
        if to_be_stored == 0.0 && (!indexed || to_be_indexed == 0.0) {
            return Ok(());
        }
        ensure!(
            looking.elapsed() < DRAINED,
            "{to_be_stored} creations wait to be stored after {DRAINED:?}, and {to_be_indexed} changes to \
             be indexed"
        );
        sleep(LOOK).await;
    }
}

/// Polls how many creations wait to be stored, and keeps the maximum.
struct Watch(
    tokio::task::JoinHandle<Result<f64>>,
    tokio::sync::watch::Sender<()>,
);

impl Watch {
    fn begin(bed: &Bed) -> Self {
        let mut client = chat_system::client::Client::new(bed.authority().clone());
        let (end, mut ended) = tokio::sync::watch::channel(());
        let watching = async move {
            let mut longest = 0.0_f64;
            loop {
                longest = longest.max(Waiting::ask(&mut client).await?.to_be_stored);
                let ending = ended.changed();
                if tokio::time::timeout(LOOK, ending).await.is_ok() {
                    return Ok(longest);
                }
            }
        };
        Self(tokio::spawn(watching), end)
    }

    /// Stops polling, and returns the most that waited at once.
    async fn end(self) -> Result<f64> {
        drop(self.1);
        self.0.await.context("the watch broke down")?
    }
}
