//! Pages of large texts.

use chat_core::{
    memory::Memory,
    model::{ApplicationName, Limit, MessageBody, NumberRange, Order},
    service::{Policy, Services},
};

#[tokio::test]
async fn a_page_of_large_texts_is_shorter_and_nothing_is_left_out() {
    let services = Services::new(&Memory::new().ports(), &Policy::default());
    let name = ApplicationName::parse("large").unwrap();
    let token = services.applications.create(name).await.unwrap().token;
    let chat = services
        .chats
        .create(&token, None, None)
        .await
        .unwrap()
        .item
        .key
        .chat;
    let body = MessageBody::parse("x".repeat(MessageBody::MAX)).unwrap();
    for _ in 0..70 {
        services
            .messages
            .create(&token, chat, None, body.clone(), None)
            .await
            .unwrap();
    }
    for order in [Order::Ascending, Order::Descending] {
        let mut range = Some(NumberRange::new(None, None, order));
        let mut pages = Vec::new();
        while let Some(asked) = range {
            let limit = Limit::try_new(1_000).unwrap();
            let page = services
                .messages
                .list(&token, chat, asked, limit)
                .await
                .unwrap();
            pages.push(page.items.len());
            range = page.next;
        }
        // 32 bodies of 32 KiB are the megabyte that a page has room for.
        assert_eq!(pages, [32, 32, 6]);
    }
}
