//! The messages of a chat are listed by number.

use anyhow::{Context as _, Result};
use chat_system::{
    paging,
    problem::expect_fault,
    stage::{Stage, item_numbers, numbers},
    windows::expect_windows,
};
use serde_json::json;

#[tokio::test]
async fn a_list_is_cut_by_after_before_limit_and_order() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    assert_eq!(
        stage.read(&messages).await?,
        json!({"items": [], "next": null})
    );
    for number in 1..=60 {
        stage
            .create(&messages, &json!({"body": format!("line {number}")}))
            .await?;
    }
    for (query, wanted) in [
        ("", (1..=50).collect::<Vec<u64>>()),
        ("?limit=1000", (1..=60).collect()),
        ("?order=desc&limit=3", vec![60, 59, 58]),
        ("?after=57", vec![58, 59, 60]),
        ("?before=3&order=asc", vec![1, 2]),
        ("?after=10&before=14&order=desc", vec![13, 12, 11]),
        ("?after=14&before=10", vec![]),
    ] {
        let page = stage.read(&format!("{messages}{query}")).await?;
        assert_eq!(numbers(&page), wanted, "{query}");
    }
    for (name, value) in [
        ("limit", "0"),
        ("after", "-1"),
        ("before", "x"),
        ("order", ""),
    ] {
        let answer = stage
            .client
            .get(&format!("{messages}?{name}={value}"))
            .await?;
        expect_fault(&answer, name).with_context(|| format!("{name}={value}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn next_leads_through_all_pages_in_both_orders() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    for number in 1..=9 {
        let message = json!({"body": format!("line {number}")});
        stage.create(&messages, &message).await?;
    }
    for (order, wanted) in [
        ("asc", (1..=9).collect::<Vec<u64>>()),
        ("desc", (1..=9).rev().collect()),
    ] {
        let path = format!("{messages}?order={order}&limit=3");
        let pages = paging::pages(&mut stage.client, &path).await?;
        assert_eq!(item_numbers(&pages.concat()), wanted, "{order}");
        assert_eq!(pages.len(), 3, "{order}");
    }
    Ok(())
}

#[tokio::test]
async fn every_window_shows_its_part_and_deleted_messages_stay_gaps() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    for _ in 0..11 {
        stage.create(&messages, &json!({"body": "a"})).await?;
    }
    expect_windows(
        &mut stage.client,
        &messages,
        &(1..=11).collect::<Vec<u64>>(),
    )
    .await?;
    for number in [1, 4, 5, 6, 9, 11] {
        stage.delete(&format!("{messages}/{number}")).await?;
    }
    expect_windows(&mut stage.client, &messages, &[2, 3, 7, 8, 10]).await?;
    stage.create(&messages, &json!({"body": "a"})).await?;
    expect_windows(&mut stage.client, &messages, &[2, 3, 7, 8, 10, 12]).await?;
    for number in [2, 3, 7, 8, 10, 12] {
        stage.delete(&format!("{messages}/{number}")).await?;
    }
    expect_windows(&mut stage.client, &messages, &[]).await
}

#[tokio::test]
async fn paging_goes_on_where_the_last_item_was_deleted() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    for _ in 0..8 {
        stage.create(&messages, &json!({"body": "a"})).await?;
    }
    let newest = format!("{messages}?order=desc&limit=3");
    let (items, next) = paging::page(&mut stage.client, &newest).await?;
    assert_eq!(item_numbers(&items), [8, 7, 6]);
    for number in [6, 5, 1] {
        stage.delete(&format!("{messages}/{number}")).await?;
    }
    // In descending order, what is created meanwhile lies before the cursor.
    stage.create(&messages, &json!({"body": "new"})).await?;
    let rest = paging::items(&mut stage.client, &next.context("a next page")?).await?;
    assert_eq!(item_numbers(&rest), [4, 3, 2]);
    Ok(())
}

#[tokio::test]
async fn pages_of_large_messages_lead_through_all_of_them() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let body = "a".repeat(crate::LONGEST);
    for _ in 0..100 {
        stage.create(&messages, &json!({"body": body})).await?;
    }
    for order in ["asc", "desc"] {
        let path = format!("{messages}?limit=1000&order={order}");
        let mut shown = item_numbers(&paging::items(&mut stage.client, &path).await?);
        if order == "desc" {
            shown.reverse();
        }
        assert_eq!(shown, (1..=100).collect::<Vec<u64>>(), "{order}");
    }
    Ok(())
}
