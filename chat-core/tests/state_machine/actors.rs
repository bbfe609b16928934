//! What each actor does, and what it notes in the ledger before and after.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use chat_core::{
    model::{
        ApplicationToken, ChatNumber, ChatTitle, IdempotencyKey, Limit, MessageBody, MessageNumber,
        NumberRange, Order,
    },
    service::{ServiceError, Services},
};

use crate::ledger::Ledger;

/// Says whether an outcome is one that may come at any time and tells nothing.
fn is_refusal<T>(outcome: &Result<T, ServiceError>) -> bool {
    matches!(
        outcome,
        Err(ServiceError::Overloaded { .. } | ServiceError::Port(_))
    )
}

pub(crate) async fn create_chat(
    api: Services,
    token: ApplicationToken,
    ledger: Rc<RefCell<Ledger>>,
    (title, key): (String, Option<IdempotencyKey>),
    lossy: bool,
) -> Result<(), String> {
    let asked = ChatTitle::parse(title.clone()).unwrap();
    let outcome = api.chats.create(&token, Some(asked), key.clone()).await;
    if is_refusal(&outcome) {
        return Ok(());
    }
    let created = outcome.map_err(|error| format!("creating a chat failed: {error}"))?;
    let number = created.item.key.chat;
    let mut ledger = ledger.borrow_mut();
    if let Some(key) = key.filter(|_| !lossy) {
        ledger.key_answered(key.as_str(), &number.to_string())?;
    }
    ledger.chat_created(number, &title)
}

pub(crate) async fn send(
    api: Services,
    token: ApplicationToken,
    ledger: Rc<RefCell<Ledger>>,
    chat: ChatNumber,
    (body, key): (String, Option<IdempotencyKey>),
    lossy: bool,
) -> Result<(), String> {
    let asked = MessageBody::parse(body.clone()).unwrap();
    let outcome = api
        .messages
        .create(&token, chat, None, asked, key.clone())
        .await;
    let mut ledger = ledger.borrow_mut();
    let deleting = ledger
        .chats
        .get(&chat)
        .is_some_and(|(_, thread)| thread.deleting);
    let may_be_gone = deleting || lossy;
    if is_refusal(&outcome) || (may_be_gone && matches!(outcome, Err(ServiceError::NotFound))) {
        return Ok(());
    }
    let created = outcome.map_err(|error| format!("sending into chat {chat} failed: {error}"))?;
    let number = created.item.key.message;
    if let Some(key) = key.filter(|_| !lossy) {
        ledger.key_answered(key.as_str(), &number.to_string())?;
    }
    ledger.message_created(chat, number, &body)
}

pub(crate) async fn read_chat(
    api: Services,
    token: ApplicationToken,
    ledger: Rc<RefCell<Ledger>>,
    chat: ChatNumber,
    lossy: bool,
) -> Result<(), String> {
    let outcome = api.chats.get(&token, chat).await;
    let ledger = ledger.borrow();
    let (title, thread) = ledger.chats.get(&chat).ok_or("an unknown chat")?;
    match outcome {
        Ok(read) if read.title.as_ref().map(ChatTitle::as_str) == Some(title) => Ok(()),
        Ok(read) => Err(format!("chat {chat} reads {:?}, not `{title}`", read.title)),
        Err(ServiceError::NotFound) if lossy || thread.deleting => Ok(()),
        Err(error) => Err(format!(
            "chat {chat} was answered and cannot be read: {error}"
        )),
    }
}

pub(crate) async fn read(
    api: Services,
    token: ApplicationToken,
    ledger: Rc<RefCell<Ledger>>,
    (chat, number): (ChatNumber, MessageNumber),
    lossy: bool,
) -> Result<(), String> {
    let before = {
        let ledger = ledger.borrow();
        let (_, thread) = &ledger.chats[&chat];
        let entry = thread.messages[&number].clone();
        (entry, thread.deleted)
    };
    let outcome = api.messages.get(&token, chat, number).await;
    let ledger = ledger.borrow();
    let (_, thread) = &ledger.chats[&chat];
    let after = &thread.messages[&number];
    match outcome {
        Ok(_) if before.0.deleted || before.1 => Err(format!(
            "message {number} of chat {chat} came back after its deletion"
        )),
        Ok(message) => {
            let body = message.body.as_str();
            let stale = before.0.changes == after.changes
                && before
                    .0
                    .settled
                    .as_deref()
                    .is_some_and(|settled| settled != body);
            if stale && !lossy {
                return Err(format!(
                    "message {number} of chat {chat} reads stale: `{body}`"
                ));
            }
            if !after.possible.contains(body) {
                return Err(format!("message {number} of chat {chat} reads `{body}`"));
            }
            Ok(())
        }
        Err(ServiceError::NotFound) if lossy || after.deleting || thread.deleting => Ok(()),
        Err(error) => Err(format!(
            "message {number} of chat {chat} was answered and is not read: {error}"
        )),
    }
}

pub(crate) async fn list(
    api: Services,
    token: ApplicationToken,
    ledger: Rc<RefCell<Ledger>>,
    chat: ChatNumber,
    limit: u16,
    order: Order,
    lossy: bool,
) -> Result<(), String> {
    let expected: Vec<MessageNumber> = {
        let ledger = ledger.borrow();
        let living = ledger.living().filter(|(of, ..)| *of == chat);
        living.map(|(_, number, _)| number).collect()
    };
    let limit = Limit::try_new(u64::from(limit)).unwrap();
    let mut range = NumberRange::new(None, None, order);
    let mut numbers: Vec<MessageNumber> = Vec::new();
    loop {
        let page = match api.messages.list(&token, chat, range, limit).await {
            Ok(page) => page,
            Err(ServiceError::NotFound) if lossy || ledger.borrow().chats[&chat].1.deleting => {
                return Ok(());
            }
            Err(error) => return Err(format!("listing chat {chat} failed: {error}")),
        };
        numbers.extend(page.items.iter().map(|message| message.key.message));
        match page.next {
            Some(next) => range = next,
            None => break,
        }
    }
    let ordered = match order {
        Order::Ascending => numbers.is_sorted_by(|one, next| one < next),
        Order::Descending => numbers.is_sorted_by(|one, next| one > next),
    };
    if !ordered {
        return Err(format!(
            "a list of chat {chat} is not in order: {numbers:?}"
        ));
    }
    let mut ledger = ledger.borrow_mut();
    let (_, thread) = ledger.chats.get_mut(&chat).ok_or("an unknown chat")?;
    let listed: BTreeSet<_> = numbers.iter().copied().collect();
    if !lossy && !thread.deleting {
        for number in expected {
            if !listed.contains(&number) && !thread.messages[&number].deleting {
                return Err(format!(
                    "message {number} of chat {chat} was answered, not listed"
                ));
            }
        }
    }
    if let Some(highest) = listed.last() {
        let below = (1..highest.get()).map(|number| MessageNumber::try_new(number).unwrap());
        thread
            .skipped
            .extend(below.filter(|number| !listed.contains(number)));
    }
    Ok(())
}

pub(crate) async fn update(
    api: Services,
    token: ApplicationToken,
    ledger: Rc<RefCell<Ledger>>,
    (chat, number): (ChatNumber, MessageNumber),
    body: String,
    lossy: bool,
) -> Result<(), String> {
    {
        let mut ledger = ledger.borrow_mut();
        let entry = ledger.message(chat, number).ok_or("an unknown message")?;
        entry.possible.insert(body.clone());
        entry.settled = None;
        entry.changes += 1;
        entry.changing += 1;
    }
    let asked = MessageBody::parse(body.clone()).unwrap();
    let outcome = api.messages.update(&token, chat, number, &asked).await;
    let mut ledger = ledger.borrow_mut();
    let chat_deleting = ledger.chats[&chat].1.deleting;
    let entry = ledger.message(chat, number).ok_or("an unknown message")?;
    entry.changing -= 1;
    match outcome {
        Ok(_) => {
            if entry.changing == 0 && entry.changes == 1 {
                entry.settled = Some(body);
            }
            Ok(())
        }
        Err(ServiceError::NotFound) if lossy || entry.deleting || chat_deleting => Ok(()),
        Err(error) => Err(format!(
            "updating message {number} of chat {chat} failed: {error}"
        )),
    }
}

pub(crate) async fn delete(
    api: Services,
    token: ApplicationToken,
    ledger: Rc<RefCell<Ledger>>,
    (chat, number): (ChatNumber, MessageNumber),
) -> Result<(), String> {
    ledger
        .borrow_mut()
        .message(chat, number)
        .ok_or("an unknown message")?
        .deleting = true;
    let outcome = api.messages.delete(&token, chat, number).await;
    let mut ledger = ledger.borrow_mut();
    let entry = ledger.message(chat, number).ok_or("an unknown message")?;
    match outcome {
        Ok(()) if entry.deleted => {
            Err(format!("message {number} of chat {chat} was deleted twice"))
        }
        Ok(()) => {
            entry.deleted = true;
            Ok(())
        }
        Err(ServiceError::NotFound) => Ok(()),
        Err(error) => Err(format!(
            "deleting message {number} of chat {chat} failed: {error}"
        )),
    }
}

pub(crate) async fn delete_chat(
    api: Services,
    token: ApplicationToken,
    ledger: Rc<RefCell<Ledger>>,
    chat: ChatNumber,
) -> Result<(), String> {
    ledger
        .borrow_mut()
        .chats
        .get_mut(&chat)
        .ok_or("an unknown chat")?
        .1
        .deleting = true;
    let outcome = api.chats.delete(&token, chat).await;
    let mut ledger = ledger.borrow_mut();
    let (_, thread) = ledger.chats.get_mut(&chat).ok_or("an unknown chat")?;
    match outcome {
        Ok(()) if thread.deleted => Err(format!("chat {chat} was deleted twice")),
        Ok(()) => {
            thread.deleted = true;
            Ok(())
        }
        Err(ServiceError::NotFound) => Ok(()),
        Err(error) => Err(format!("deleting chat {chat} failed: {error}")),
    }
}
