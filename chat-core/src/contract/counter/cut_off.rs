//! A caller may go away in the middle of a create.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    contract::{
        Scene,
        scene::{message, messages_of},
    },
    model::NumberRange,
    ports::{Consumer, Entry, Ports},
};

/// A create whose caller goes away is done as a whole or not at all: each number that was given has a
/// creation, which is enqueued where the counter does that.
pub async fn cut_off_create_leaves_no_gap(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.chat().await;
    let cut_off = async || drop(scene.create(message(chat, "cut off")).await);
    scene.cut_off(cut_off).await;
    let last = scene.create(message(chat, "whole")).await.number.get();

    let (sequence, range) = (messages_of(chat), NumberRange::all());
    let pending = scene.counter().pending_page(&sequence, &range, 100);
    let pending = pending.await.unwrap().creations;
    let rows = scene.repository().messages(chat, &range, 1_000, &[]);
    let rows = rows.await.unwrap().rows;
    let kept: BTreeSet<u64> = pending
        .iter()
        .map(|creation| creation.number.get())
        .chain(rows.iter().map(|message| message.key.message.get()))
        .collect();
    assert_eq!(kept, (1..=last).collect(), "a number has no creation");

    if pending.is_empty() || scene.counter().leaves_publishing() {
        return;
    }
    let worker = Consumer("the law".to_owned());
    let mut enqueued = BTreeSet::new();
    loop {
        let wait = Duration::from_millis(100);
        let taken = scene.queue().receive(&worker, 100, wait).await.unwrap();
        if taken.is_empty() {
            break;
        }
        for delivery in &taken {
            if let Entry::Creation(creation) = &delivery.entry
                && creation.sequence() == sequence
            {
                enqueued.insert(creation.number.get());
            }
        }
        let receipts: Vec<_> = taken.into_iter().map(|it| it.receipt).collect();
        scene.queue().acknowledge(&receipts).await.unwrap();
    }
    assert_eq!(enqueued, kept, "a creation is in no queue");
}
