//! The whole corpus of real chat goes in, comes back byte for byte, also after a restart, and is found.

mod drawing;
mod finding;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::Result;
use chat_system::{
    client::Client,
    corpus::Corpus,
    loader::{Load, create_application},
    stage::Embedded,
    verify::verify,
};
use finding::Judge;
use tokio::time::Instant;

/// What the corpus holds; another file is another test.
const CHATS: usize = 153;
const MESSAGES: usize = 196_123;

/// How long half of the searches across the system may take at most, on a machine that others share.
const ACROSS: Duration = Duration::from_millis(250);

/// The resident memory that `api` stays below.
const MEGABYTES: u64 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_corpus_comes_back_byte_for_byte_and_is_found() -> Result<()> {
    let corpus = Arc::new(Corpus::read(&Corpus::file())?);
    assert_eq!(
        (corpus.chats.len(), corpus.messages_count()),
        (CHATS, MESSAGES)
    );
    let mut stage = Embedded::open().await?;
    let api = stage.one_api().clone();
    let application = create_application(&api, "corpus").await?;
    let load = Load {
        api: (&api).into(),
        application: application.clone(),
        connections: 64,
        patience: Duration::from_secs(30),
    };
    let start = Instant::now();
    let loaded = load.run(&corpus, &Arc::new(AtomicU64::new(0))).await?;
    let sent = start.elapsed();
    assert_eq!(loaded.messages, MESSAGES as u64);
    stage.until_searchable().await?;
    let took = start.elapsed();
    let rate = u128::from(loaded.messages) * 1000 / took.as_millis();
    println!("{MESSAGES} messages sent in {sent:.1?}, searchable in {took:.1?}: {rate} a second");
    // Half of what is promised on an idle machine, since others may share this one.
    assert!(rate >= 4_000, "only {rate} messages a second");

    let verified = verify(&api, &application, &corpus, &loaded.chats).await?;
    assert!(verified.is_same(), "{verified}");
    assert_eq!((verified.chats, verified.messages), (CHATS, MESSAGES));

    let judge = Judge::new(&corpus, &application, &loaded.chats);
    let mut client = Client::new(api.clone());
    for line in judge.compare_in_chats(&mut client).await? {
        println!("{line}");
    }
    let took = judge.compare_across(&mut client).await?;
    let (half, most) = (took[took.len() / 2], took[took.len() - 1]);
    println!("a search across the system takes {half:.0?}, at most {most:.0?}");
    assert!(half < ACROSS, "half of the searches take {half:?} or more");
    let loaded_memory = resident_megabytes(&mut stage)?;

    let status = stage.api().stop(Duration::from_secs(5)).await?;
    assert_eq!(status.code(), Some(0));
    stage.api().restart().await?;
    let started_in = stage.api().started_in();
    println!("first answer {started_in:.0?} after the start");
    assert!(
        started_in < Duration::from_secs(1),
        "the first answer took {started_in:?}"
    );
    let verified = verify(&api, &application, &corpus, &loaded.chats).await?;
    assert!(verified.is_same(), "{verified}");
    let memory = resident_megabytes(&mut stage)?;
    println!("{loaded_memory} MB resident after the load, {memory} MB after the restart");
    assert!(loaded_memory.max(memory) < MEGABYTES);
    Ok(())
}

fn resident_megabytes(stage: &mut Embedded) -> Result<u64> {
    Ok(stage.api().resident_bytes()? / 1_000_000)
}
