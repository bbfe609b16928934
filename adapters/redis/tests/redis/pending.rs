//! What is pending is found, however much of it was settled in between.

use std::collections::BTreeMap;

use chat_core::{
    model::{Creation, NumberRange, Order, Sequence},
    ports::Settlement,
};

use crate::{
    private_server::PrivateServer,
    system::{System, message},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_settling_leaves_the_rest() {
    const COUNT: usize = 211;
    let Some(server) = PrivateServer::strict().await else {
        return;
    };
    let scene = System::new().process(&server).await;
    let chat = scene.chat().await;
    let sequence = Sequence::Messages(chat);
    let mut pending = BTreeMap::new();
    for number in 1..=COUNT {
        let creation = scene.create(message(chat, &format!("no. {number}"))).await;
        pending.insert(creation.number.get(), creation);
    }
    let mut jump = 0;
    for round in 0.. {
        // Pieces of one to five, from the front, the back, and all over the middle.
        let left: Vec<u64> = pending.keys().copied().collect();
        let take = (round % 5 + 1).min(left.len());
        let mut chosen = Vec::new();
        for at in 0..take {
            jump = (jump + 83) % COUNT;
            let place = match round % 3 {
                0 => at,
                1 => left.len() - 1 - at,
                _ => (jump + at) % left.len(),
            };
            chosen.push(left[place]);
        }
        let settlements: Vec<Settlement> = chosen
            .iter()
            .filter_map(|number| pending.get(number))
            .map(|creation| Settlement::of(creation, None))
            .collect();
        scene.counter().settle(&settlements, &[]).await.unwrap();
        pending.retain(|number, _| !chosen.contains(number));

        let (after, before) = (jump as u64, jump as u64 + 60);
        for order in [Order::Ascending, Order::Descending] {
            let range = NumberRange::new(Some(after), Some(before), order);
            let page = scene.counter().pending_page(&sequence, &range, 7);
            let page = page.await.unwrap();
            assert_eq!(page.creations, expected(&pending, after, before, order, 7));
            let highest = pending.keys().next_back().copied().unwrap_or_default();
            assert_eq!(page.highest_pending, highest);
        }
        let found = scene
            .counter()
            .pending(&sequence, before.try_into().unwrap());
        assert_eq!(found.await.unwrap().as_ref(), pending.get(&before));
        if pending.is_empty() {
            break;
        }
    }
    assert_eq!(server.number("XLEN {s00}:q").await, 1, "the chat's own");
}

fn expected(
    pending: &BTreeMap<u64, Creation>,
    after: u64,
    before: u64,
    order: Order,
    limit: usize,
) -> Vec<Creation> {
    let range = pending.range(after + 1..before).map(|(_, it)| it.clone());
    match order {
        Order::Ascending => range.take(limit).collect(),
        Order::Descending => range.rev().take(limit).collect(),
    }
}
