//! The whole corpus of real chat goes in, comes back byte for byte, also after a restart, and is found.

mod drawing;
mod finding;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::Result;
use chat_system::{
    corpus::Corpus,
    loader::{Load, Numbering, create_application},
    set::Set,
    stage::Stage,
    verify::verify,
};
use finding::Judge;
use tokio::time::Instant;

/// What the corpus must hold: a different file would be a different test.
const CHATS: usize = 153;
const MESSAGES: usize = 196_123;

/// The resident memory that each `api` stays below.
const MEGABYTES: u64 = 150;

/// Returns how many messages must be searchable per second, and how long the median search may take.
///
/// The searches go across the system. Both limits are half as good as what is promised on an idle machine,
/// since others may share this one, and the programs may be test builds.
fn promised(set: Set) -> (u128, Duration) {
    match set {
        Set::Embedded => (4_000, Duration::from_millis(250)),
        Set::Redis | Set::RabbitMq | Set::Cluster | Set::Entry => {
            (1_000, Duration::from_millis(500))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_corpus_comes_back_byte_for_byte_and_is_found() -> Result<()> {
    let corpus = Arc::new(Corpus::read(&Corpus::file())?);
    assert_eq!(
        (corpus.chats.len(), corpus.messages_count()),
        (CHATS, MESSAGES)
    );
    let mut stage = Stage::open().await?;
    let (least, longest) = promised(stage.set());
    let application = create_application(stage.servers(), "corpus").await?;
    let load = Load {
        api: stage.servers(),
        application: application.clone(),
        connections: 64,
        patience: Duration::from_secs(30),
        numbering: Numbering::WithoutGaps,
    };
    let start = Instant::now();
    let loaded = load.run(&corpus, &Arc::new(AtomicU64::new(0))).await?;
    let sent = start.elapsed();
    assert_eq!(loaded.messages, MESSAGES as u64);
    stage.until_searchable().await?;
    let took = start.elapsed();
    let rate = u128::from(loaded.messages) * 1000 / took.as_millis();
    println!("{MESSAGES} messages sent in {sent:.1?}, searchable in {took:.1?}: {rate} a second");
    assert!(rate >= least, "only {rate} messages a second");

    let verified = verify(stage.servers(), &application, &corpus, &loaded.chats).await?;
    assert!(verified.is_same(), "{verified}");
    assert_eq!((verified.chats, verified.messages), (CHATS, MESSAGES));

    let judge = Judge::new(&corpus, &application, &loaded.chats);
    let mut client = stage.another_client();
    for line in judge.compare_in_chats(&mut client).await? {
        println!("{line}");
    }
    let took = judge.compare_across(&mut client).await?;
    let (half, most) = (took[took.len() / 2], took[took.len() - 1]);
    println!("a search across the system takes {half:.0?}, at most {most:.0?}");
    assert!(half < longest, "half of the searches take {half:?} or more");

    for api in stage.apis() {
        let loaded_memory = api.resident_bytes()? / 1_000_000;
        let status = api.stop(Duration::from_secs(5)).await?;
        assert_eq!(status.code(), Some(0));
        api.restart().await?;
        let started_in = api.started_in();
        println!("first answer {started_in:.0?} after the start");
        assert!(
            started_in < Duration::from_secs(1),
            "the first answer took {started_in:?}"
        );
        let verified = verify(api.authority(), &application, &corpus, &loaded.chats).await?;
        assert!(verified.is_same(), "{verified}");
        let memory = api.resident_bytes()? / 1_000_000;
        println!("{loaded_memory} MB resident after the load, {memory} MB after the restart");
        assert!(loaded_memory.max(memory) < MEGABYTES);
    }
    Ok(())
}
