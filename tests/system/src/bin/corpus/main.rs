//! Loads a corpus of real chat into a running `api`, and reads it back to compare.

use std::{
    io::{IsTerminal as _, Write as _, stdout},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    corpus::Corpus,
    loader::{Load, Numbering, create_application},
    verify::verify,
};
use clap::{Args, Parser, Subcommand};
use hyper::{Uri, http::uri::Authority};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, interval};

/// Where `api` listens by default.
const API: &str = "http://127.0.0.1:8080";

/// How often the rate is written where there is no terminal to draw a bar on.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Loads a corpus of real chat into a running api, and reads it back to compare.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Creates a chat for each chat of the corpus and sends its messages in order.
    Load(LoadArguments),
    /// Reads all chats and messages back and compares them byte for byte.
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
struct LoadArguments {
    /// The address of api.
    #[arg(long, value_name = "URL", default_value = API, value_parser = authority)]
    api: Authority,
    /// The token of the application that an earlier load, stopped within the last day, filled.
    #[arg(long, value_name = "TOKEN")]
    application: Option<String>,
    /// How many connections send at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// The corpus: gzip, one JSON object a line with chat, sender and body.
    file: PathBuf,
}

#[derive(Debug, Args)]
struct VerifyArguments {
    /// The address of api.
    #[arg(long, value_name = "URL", default_value = API, value_parser = authority)]
    api: Authority,
    /// The token of the application that was loaded.
    #[arg(long, value_name = "TOKEN")]
    application: String,
    /// The corpus that was loaded.
    file: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Load(arguments) => load(arguments).await,
        Command::Verify(arguments) => verify_loaded(arguments).await,
    }
}

async fn load(arguments: LoadArguments) -> Result<()> {
    let LoadArguments {
        api,
        application,
        connections,
        file,
    } = arguments;
    let corpus = Arc::new(Corpus::read(&file)?);
    let application = match application {
        Some(token) => token,
        None => create_application(&api, "corpus").await?,
    };
    // Printed first, so that a load that is stopped can be resumed.
    say(&format!("application {application}"))?;

    let progress = Arc::new(AtomicU64::new(0));
    let total = u64::try_from(corpus.messages_count()).context("counting the messages")?;
    let shown = tokio::spawn(show(Arc::clone(&progress), total));
    let connections = usize::from(connections);
    let load = Load {
        api: api.into(),
        application,
        connections,
        patience: Duration::from_mins(1),
        numbering: Numbering::WithoutGaps,
    };
    let start = Instant::now();
    let outcome = load.run(&corpus, &progress).await;
    let seconds = start.elapsed().as_secs_f64();
    shown.abort();
    let loaded = outcome?;
    if loaded.found > 0 {
        say(&format!("{} messages were in place", loaded.found))?;
    }
    say(&format!(
        "{} messages in {} chats sent in {seconds:.1} s, {:.0} messages/s",
        loaded.messages,
        loaded.chats.len(),
        per_second(loaded.messages, seconds)
    ))
}

async fn verify_loaded(arguments: VerifyArguments) -> Result<()> {
    let VerifyArguments {
        api,
        application,
        file,
    } = arguments;
    let corpus = Corpus::read(&file)?;
    let verified = verify(&api, &application, &corpus, &[]).await?;
    say(&verified.to_string())?;
    ensure!(
        verified.is_same(),
        "what was read back is not what `{}` holds",
        file.display()
    );
    Ok(())
}

/// Shows how far the load is: a bar on a terminal, else a line now and then.
async fn show(progress: Arc<AtomicU64>, total: u64) -> Result<()> {
    if !std::io::stderr().is_terminal() {
        return show_lines(&progress, total).await;
    }
    let style = ProgressStyle::with_template(
        "{bar:40} {pos}/{len} messages, {per_sec}, {elapsed_precise}, {eta} left",
    )?;
    let bar = ProgressBar::new(total).with_style(style);
    let mut tick = interval(Duration::from_millis(200));
    loop {
        tick.tick().await;
        bar.set_position(progress.load(Ordering::Relaxed));
    }
}

async fn show_lines(progress: &AtomicU64, total: u64) -> Result<()> {
    let mut tick = interval(LINE_EVERY);
    tick.tick().await;
    let mut before = progress.load(Ordering::Relaxed);
    loop {
        tick.tick().await;
        let now = progress.load(Ordering::Relaxed);
        let rate = per_second(now - before, LINE_EVERY.as_secs_f64());
        say(&format!("{now} of {total} messages, {rate:.0}/s"))?;
        before = now;
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate to be shown needs no 53rd bit"
)]
fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// Reads the address of `api` out of a URL such as `http://127.0.0.1:8080`.
fn authority(url: &str) -> Result<Authority, String> {
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("`{url}` is no URL: {error}"))?;
    if uri.scheme_str() != Some("http") {
        return Err(format!("`{url}` does not start with http://"));
    }
    uri.authority()
        .cloned()
        .ok_or_else(|| format!("`{url}` names no host"))
}

/// Writes a line for the person who runs this.
fn say(line: &str) -> Result<()> {
    writeln!(stdout().lock(), "{line}").context("writing to standard output")
}
