//! The lists across the system: every chat and every message, for operators.

use anyhow::{Context as _, Result};
use chat_system::{
    paging,
    problem::{expect_fault, expect_problem},
    stage::{Application, Stage, eventually, fields},
};
use serde_json::{Value, json};

const CHATS: &str = "/api/v1/chats";
const MESSAGES: &str = "/api/v1/messages";
const LISTS: [&str; 3] = ["/api/v1/applications", CHATS, MESSAGES];

/// Three applications whose chats and messages were created in turns.
struct World {
    stage: Stage,
    applications: Vec<Application>,
    /// Every chat, in the order of the list.
    chats: Vec<Value>,
    /// Every message, in the order of the list.
    messages: Vec<Value>,
}

impl World {
    /// Creates three chats per application and two messages per chat, and waits until all are listed:
    /// what is still pending need not be in these lists.
    async fn create() -> Result<Self> {
        let mut stage = Stage::open().await?;
        let mut applications = Vec::new();
        for _ in 0..3 {
            applications.push(stage.application().await?);
        }
        // Starts with the last application, so that the order of creation is not that of the lists.
        for application in applications.iter().rev().cycle().take(9) {
            let title = json!({"title": application.token});
            stage.create(&application.chats(), &title).await?;
        }
        for body in ["first", "second"] {
            for chat in [3, 1, 2] {
                for application in applications.iter().rev() {
                    let messages = format!("{}/{chat}/messages", application.chats());
                    stage.create(&messages, &json!({"body": body})).await?;
                }
            }
        }
        let mut world = Self {
            stage,
            applications,
            chats: Vec::new(),
            messages: Vec::new(),
        };
        world.expect_len(CHATS, 9).await?;
        world.expect_len(MESSAGES, 18).await?;
        world.read().await?;
        Ok(world)
    }

    /// Reads each chat and message on its own, in the order that the lists should have.
    async fn read(&mut self) -> Result<()> {
        for application in self.applications.clone() {
            for chat in 1..=3 {
                let path = format!("{}/{chat}", application.chats());
                self.stage.expect_count(&path, "messages_count", 2).await?;
                let mut view = self.stage.read(&path).await?;
                view["application_token"] = json!(application.token);
                self.chats.push(view);
                for message in 1..=2 {
                    let path = format!("{path}/messages/{message}");
                    let mut view = self.stage.read(&path).await?;
                    view["application_token"] = json!(application.token);
                    view["chat_number"] = json!(chat);
                    self.messages.push(view);
                }
            }
        }
        Ok(())
    }

    /// Waits until a list has `wanted` items.
    async fn expect_len(&self, list: &str, wanted: usize) -> Result<()> {
        let stage = &self.stage;
        eventually(&format!("{list} has {wanted} items"), || async move {
            let items = paging::items(&mut stage.another_client(), list).await?;
            Ok((items.len() == wanted).then_some(()))
        })
        .await
    }

    async fn items(&mut self, path: &str) -> Result<Vec<Value>> {
        paging::items(&mut self.stage.client, path).await
    }

    /// Returns the path of a chat of an application, both counted from 1.
    fn chat(&self, application: usize, chat: usize) -> String {
        format!("{}/{chat}", self.applications[application - 1].chats())
    }
}

#[tokio::test]
async fn all_are_listed_by_their_applications_creation_and_then_by_number() -> Result<()> {
    let mut world = World::create().await?;
    let listed = world.items(CHATS).await?;
    assert_eq!(listed, world.chats);
    let wanted = [
        "application_token",
        "created_at",
        "messages_count",
        "number",
        "title",
        "updated_at",
    ];
    assert_eq!(fields(&listed[0]), wanted);
    let listed = world.items(MESSAGES).await?;
    assert_eq!(listed, world.messages);
    let wanted = [
        "application_token",
        "body",
        "chat_number",
        "created_at",
        "number",
        "sender",
        "updated_at",
    ];
    assert_eq!(fields(&listed[0]), wanted);
    Ok(())
}

#[tokio::test]
async fn next_leads_through_all_pages_whatever_the_limit() -> Result<()> {
    let mut world = World::create().await?;
    for (list, all) in [
        (CHATS, world.chats.clone()),
        (MESSAGES, world.messages.clone()),
    ] {
        // Limits whose pages end within and between applications and chats, and some that fit exactly.
        for limit in [1, 2, 3, 4, 5, 6, 8, 9, 17, 18, 1_000] {
            let path = format!("{list}?limit={limit}");
            let pages = paging::pages(&mut world.stage.client, &path).await?;
            let wanted: Vec<&[Value]> = all.chunks(limit).collect();
            assert_eq!(pages, wanted, "{path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_system_has_empty_lists() -> Result<()> {
    let mut stage = Stage::open().await?;
    for list in LISTS {
        let page = stage.read(list).await?;
        assert_eq!(page, json!({"items": [], "next": null}), "{list}");
    }
    stage.application().await?;
    for list in [CHATS, MESSAGES] {
        let page = stage.read(list).await?;
        assert_eq!(page, json!({"items": [], "next": null}), "{list}");
    }
    Ok(())
}

#[tokio::test]
async fn a_page_has_fifty_items_where_no_limit_is_set() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..51 {
        stage.chat(&application).await?;
    }
    eventually("there is a second page", || async {
        let page = stage.another_client().get(CHATS).await?.expect(200)?;
        let count = page["items"].as_array().context("items")?.len();
        assert!(count <= 50, "{count} items");
        Ok((!page["next"].is_null()).then_some(()))
    })
    .await
}

#[tokio::test]
async fn paging_goes_on_where_the_last_item_was_deleted() -> Result<()> {
    // Where the first page ends, what is then deleted (chat 0: the application), and which items are left.
    for (list, limit, deleted, left) in [
        // The item itself, and the one after it.
        (CHATS, 4, vec![(2, 1), (2, 2)], [5, 6, 7, 8].as_slice()),
        (
            MESSAGES,
            3,
            vec![(1, 2)],
            &[4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
        ),
        // The application that it belongs to.
        (CHATS, 5, vec![(2, 0)], &[6, 7, 8]),
        (MESSAGES, 7, vec![(2, 0)], &[12, 13, 14, 15, 16, 17]),
        // Everything that follows.
        (CHATS, 6, vec![(3, 0)], &[]),
        (MESSAGES, 12, vec![(3, 0), (1, 0)], &[]),
    ] {
        let mut world = World::create().await?;
        let all = if list == CHATS {
            &world.chats
        } else {
            &world.messages
        };
        let all: Vec<Value> = all.clone();
        let first = format!("{list}?limit={limit}");
        let (items, next) = paging::page(&mut world.stage.client, &first).await?;
        assert_eq!(items, all[..limit]);
        for (application, chat) in deleted {
            let path = match chat {
                0 => world.applications[application - 1].path.clone(),
                chat => world.chat(application, chat),
            };
            world.stage.delete(&path).await?;
        }
        let rest = world.items(&next.context("a next page")?).await?;
        let wanted = left.iter().map(|index| all.get(*index).cloned());
        let wanted: Vec<Value> = wanted.map(Option::unwrap_or_default).collect();
        assert_eq!(rest, wanted, "{first}");
    }
    Ok(())
}

#[tokio::test]
async fn a_message_may_go_while_the_list_is_read() -> Result<()> {
    let mut world = World::create().await?;
    let first = format!("{MESSAGES}?limit=9");
    let (_, next) = paging::page(&mut world.stage.client, &first).await?;
    // The ninth and the tenth: both of the second application's second chat.
    for number in 1..=2 {
        let message = format!("{}/messages/{number}", world.chat(2, 2));
        world.stage.delete(&message).await?;
    }
    let rest = world.items(&next.context("a next page")?).await?;
    assert_eq!(rest, world.messages[10..]);
    Ok(())
}

#[tokio::test]
async fn what_is_deleted_is_listed_no_more_at_once() -> Result<()> {
    let mut world = World::create().await?;
    let message = format!("{}/messages/1", world.chat(1, 1));
    world.stage.delete(&message).await?;
    let listed = world.items(MESSAGES).await?;
    assert_eq!(listed, world.messages[1..]);

    let chat = world.chat(1, 1);
    world.stage.delete(&chat).await?;
    assert_eq!(world.items(CHATS).await?, world.chats[1..]);
    assert_eq!(world.items(MESSAGES).await?, world.messages[2..]);

    let application = world.applications[0].path.clone();
    world.stage.delete(&application).await?;
    assert_eq!(world.items(CHATS).await?, world.chats[3..]);
    assert_eq!(world.items(MESSAGES).await?, world.messages[6..]);
    Ok(())
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_alone() -> Result<()> {
    let mut world = World::create().await?;
    let mut nexts = Vec::new();
    for list in LISTS {
        let (_, next) = paging::page(&mut world.stage.client, &format!("{list}?limit=1")).await?;
        nexts.push((list, next.context("a next page")?));
    }
    for (owner, next) in &nexts {
        let cursor = next
            .split(['?', '&'])
            .find_map(|part| part.strip_prefix("cursor="))
            .context("`next` carries a cursor")?;
        for list in LISTS {
            let path = format!("{list}?cursor={cursor}");
            let answer = world.stage.client.get(&path).await?;
            if list == *owner {
                answer.expect(200)?;
            } else {
                let what = || format!("the cursor of {owner} at {list}");
                expect_fault(&answer, "cursor").with_context(what)?;
            }
        }
        // A cursor that was tampered with is refused, too.
        for changed in [
            format!("{cursor}x"),
            format!("{cursor}-1"),
            cursor[1..].to_owned(),
            cursor.to_ascii_uppercase() + "=",
            format!("%20{cursor}"),
        ] {
            let answer = world
                .stage
                .client
                .get(&format!("{owner}?cursor={changed}"))
                .await?;
            expect_fault(&answer, "cursor").with_context(|| changed.clone())?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_parameter_is_refused_and_an_unknown_one_ignored() -> Result<()> {
    let mut stage = Stage::open().await?;
    for list in [CHATS, MESSAGES] {
        for (name, value) in [
            ("limit", "0"),
            ("limit", "1001"),
            ("limit", "-1"),
            ("limit", "1.0"),
            ("limit", "ten"),
            ("limit", ""),
            ("cursor", ""),
            ("cursor", "made-up"),
            ("cursor", "1"),
        ] {
            let answer = stage.client.get(&format!("{list}?{name}={value}")).await?;
            expect_fault(&answer, name).with_context(|| format!("{list}?{name}={value}"))?;
        }
        // Both faults are reported at once.
        let answer = stage
            .client
            .get(&format!("{list}?limit=0&cursor=x"))
            .await?;
        expect_fault(&answer, "limit")?;
        expect_fault(&answer, "cursor")?;
        for ignored in ["after=-1", "before=x", "order=up", "colour=red&colour=blue"] {
            stage.read(&format!("{list}?limit=1000&{ignored}")).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_lists_are_for_operators() -> Result<()> {
    let mut stage = Stage::open_with(&[("CHAT_ADMIN_KEY", "open-sesame")]).await?;
    for list in LISTS {
        // The missing key is reported first, whatever else is wrong with the request.
        for query in ["", "?limit=0", "?cursor=made-up"] {
            let answer = stage.client.get(&format!("{list}{query}")).await?;
            expect_problem(&answer, 401, "unauthorized").with_context(|| list.to_owned())?;
        }
    }
    Ok(())
}
