//! The chats of an application are listed by number.

use anyhow::{Context as _, Result};
use chat_system::{
    paging,
    problem::expect_fault,
    stage::{Stage, item_numbers, numbers},
    windows::expect_windows,
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_list_is_cut_by_after_before_limit_and_order() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..7 {
        stage.chat(&application).await?;
    }
    let chats = application.chats();
    for (query, wanted) in [
        ("", vec![1, 2, 3, 4, 5, 6, 7]),
        ("?after=0", vec![1, 2, 3, 4, 5, 6, 7]),
        ("?order=desc", vec![7, 6, 5, 4, 3, 2, 1]),
        ("?limit=2", vec![1, 2]),
        ("?after=3", vec![4, 5, 6, 7]),
        ("?before=3", vec![1, 2]),
        ("?after=2&before=6&order=desc", vec![5, 4, 3]),
        ("?after=2&before=6&order=desc&limit=1", vec![5]),
        ("?after=18446744073709551615", vec![]),
        ("?before=1", vec![]),
        ("?colour=red", vec![1, 2, 3, 4, 5, 6, 7]),
    ] {
        assert_eq!(
            numbers(&stage.read(&format!("{chats}{query}")).await?),
            wanted,
            "{query}"
        );
    }
    for (name, value) in [
        ("limit", "0"),
        ("limit", "1001"),
        ("after", "-1"),
        ("after", ""),
        ("before", "18446744073709551616"),
        ("order", "up"),
    ] {
        let answer = stage.client.get(&format!("{chats}?{name}={value}")).await?;
        expect_fault(&answer, name).with_context(|| format!("{name}={value}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn next_leads_through_all_pages_in_both_orders() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..7 {
        stage.chat(&application).await?;
    }
    for (order, wanted) in [("asc", [2, 3, 4, 5, 6]), ("desc", [6, 5, 4, 3, 2])] {
        let query = format!("?order={order}&limit=2&after=1&before=7");
        let path = format!("{}{query}", application.chats());
        let pages = paging::pages(&mut stage.client, &path).await?;
        assert_eq!(item_numbers(&pages.concat()), wanted, "{order}");
        assert_eq!(pages.len(), 3, "{order}");
    }
    Ok(())
}

#[tokio::test]
async fn every_window_shows_its_part_and_deleted_chats_stay_gaps() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chats = application.chats();
    for _ in 0..11 {
        stage.chat(&application).await?;
    }
    expect_windows(&mut stage.client, &chats, &(1..=11).collect::<Vec<u64>>()).await?;
    for number in [1, 4, 5, 6, 9, 11] {
        stage.delete(&format!("{chats}/{number}")).await?;
    }
    expect_windows(&mut stage.client, &chats, &[2, 3, 7, 8, 10]).await?;
    stage.chat(&application).await?;
    expect_windows(&mut stage.client, &chats, &[2, 3, 7, 8, 10, 12]).await?;
    for number in [2, 3, 7, 8, 10, 12] {
        stage.delete(&format!("{chats}/{number}")).await?;
    }
    expect_windows(&mut stage.client, &chats, &[]).await
}

#[tokio::test]
async fn paging_goes_on_where_the_last_item_was_deleted() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chats = application.chats();
    for _ in 0..8 {
        stage.chat(&application).await?;
    }
    let first = format!("{chats}?limit=3");
    let (items, next) = paging::page(&mut stage.client, &first).await?;
    assert_eq!(item_numbers(&items), [1, 2, 3]);
    for number in [3, 4, 8] {
        stage.delete(&format!("{chats}/{number}")).await?;
    }
    let rest = paging::items(&mut stage.client, &next.context("a next page")?).await?;
    assert_eq!(item_numbers(&rest), [5, 6, 7]);
    Ok(())
}

#[tokio::test]
async fn an_item_of_the_list_is_the_chat_as_it_is_read() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chats = application.chats();
    for title in [json!("a"), Value::Null, json!("c")] {
        stage.create(&chats, &json!({"title": title})).await?;
    }
    let message = json!({"body": "a"});
    stage
        .create(&format!("{chats}/1/messages"), &message)
        .await?;
    stage
        .expect_count(&format!("{chats}/1"), "messages_count", 1)
        .await?;
    let mut read = Vec::new();
    for number in 1..=3 {
        read.push(stage.read(&format!("{chats}/{number}")).await?);
    }
    assert_eq!(paging::items(&mut stage.client, &chats).await?, read);
    Ok(())
}
