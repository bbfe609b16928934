//! Dead letters over HTTP: what could not be stored or indexed, for operators.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chat_core::{
    model::{DeadLetterId, DeadLetterReason, Limit},
    service::{DeadLetters, Held, OpenedLetter, Services},
};
use chat_runtime::settings::Admin;
use poem_openapi::{ApiResponse, Object, OpenApi, types::Example};
use serde::Serialize;

use super::{EXAMPLE_TOKEN, ROOT, example_moment};
use crate::{
    admin::Credentials,
    answer::{Deleted, Listed, Moment, PageView},
    group::Group,
    nullable::Nullable,
    path::Path,
    query::{Query, YesOrNo},
    refusal::{AdminActing, AdminListing, AdminReplaying, Refusal},
    window::CursorWindow,
};

/// Serves dead letters.
pub struct DeadLettersApi {
    letters: Arc<DeadLetters>,
    admin: Admin,
}

impl DeadLettersApi {
    pub(super) fn new(services: &Services, admin: Admin) -> Self {
        Self {
            letters: Arc::clone(&services.dead_letters),
            admin,
        }
    }
}

/// Something that was accepted and could not be stored or indexed.
///
/// What it would have created can still be read under its number.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "DeadLetter", example)]
struct DeadLetterView {
    /// The letter's id.
    id: String,
    /// Why it was set aside, for programs: `refused`, `number_taken`, `no_application`, `too_old`,
    /// `undecodable`, `newer_format` or `not_indexable`.
    reason: String,
    /// Why it was set aside, for people.
    detail: String,
    /// What it would have created, `chat` or `message`; null where this server cannot read it.
    kind: Nullable<String>,
    /// The token of the application that it belongs to; null where that is deleted or unknown.
    application_token: Nullable<String>,
    /// The number of the chat that it belongs to, or would have been.
    chat_number: Nullable<u64>,
    /// The number of the message that it would have been.
    message_number: Nullable<u64>,
    /// The chat's title.
    title: Nullable<String>,
    /// The message's sender.
    sender: Nullable<String>,
    /// The message's body.
    body: Nullable<String>,
    /// The entry in base64, where it is none of this system.
    unreadable: Nullable<String>,
    /// When it failed first.
    first_failed_at: Moment,
    /// When it failed last.
    last_failed_at: Moment,
}

impl Example for DeadLetterView {
    fn example() -> Self {
        Self {
            id: "8c5a1d1b4e0f4c0e9d7f0a4b1c2d3e4f".to_owned(),
            reason: DeadLetterReason::TooOld.as_str().to_owned(),
            detail: DeadLetterReason::TooOld.sentence().to_owned(),
            kind: Some("message".to_owned()).into(),
            application_token: Some(EXAMPLE_TOKEN.to_owned()).into(),
            chat_number: Some(1).into(),
            message_number: Some(7).into(),
            title: None.into(),
            sender: Some("ada".to_owned()).into(),
            body: Some("It should be with you today.".to_owned()).into(),
            unreadable: None.into(),
            first_failed_at: example_moment(),
            last_failed_at: example_moment(),
        }
    }
}

impl From<OpenedLetter> for DeadLetterView {
    fn from(opened: OpenedLetter) -> Self {
        let held = Shown::of(opened.held());
        let OpenedLetter { letter, token, .. } = opened;
        Self {
            id: letter.id.as_str().to_owned(),
            reason: letter.reason.as_str().to_owned(),
            detail: letter.reason.sentence().to_owned(),
            kind: held.kind.map(str::to_owned).into(),
            application_token: token.map(|token| token.as_str().to_owned()).into(),
            chat_number: held.chat.into(),
            message_number: held.message.into(),
            title: held.title.into(),
            sender: held.sender.into(),
            body: held.body.into(),
            unreadable: held.unreadable.into(),
            first_failed_at: letter.first_failed_at.into(),
            last_failed_at: letter.last_failed_at.into(),
        }
    }
}

/// What a letter holds, in the fields that show it.
#[derive(Default)]
struct Shown {
    kind: Option<&'static str>,
    chat: Option<u64>,
    message: Option<u64>,
    title: Option<String>,
    sender: Option<String>,
    body: Option<String>,
    unreadable: Option<String>,
}

impl Shown {
    fn of(held: Held) -> Self {
        match held {
            Held::Chat { number, title } => Self {
                kind: Some("chat"),
                chat: Some(number.get()),
                title: title.map(String::from),
                ..Self::default()
            },
            Held::Message {
                chat,
                number,
                sender,
                body,
            } => Self {
                kind: Some("message"),
                chat: Some(chat.get()),
                message: Some(number.get()),
                sender: sender.map(String::from),
                body: Some(body.into()),
                ..Self::default()
            },
            Held::Stored { chat, number } => Self {
                kind: Some("message"),
                chat: Some(chat.get()),
                message: Some(number.get()),
                ..Self::default()
            },
            Held::Foreign(payload) => Self {
                unreadable: Some(BASE64_STANDARD.encode(payload)),
                ..Self::default()
            },
            Held::Newer => Self::default(),
        }
    }
}

#[derive(ApiResponse)]
enum Replayed {
    /// It is processed again; if it fails again, it comes back as a dead letter.
    #[oai(status = 202)]
    Accepted,
}

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Admin")]
impl DeadLettersApi {
    /// Lists what could not be stored or indexed, and why (for operators)
    #[oai(
        path = "/admin/dead-letters",
        method = "get",
        operation_id = "listDeadLetters"
    )]
    #[tracing::instrument(name = "api.v1.dead_letters.list", level = "debug", skip_all)]
    async fn list(
        &self,
        credentials: Credentials,
        /// Where the page begins: the value that `next` carries.
        cursor: Query<DeadLetterId>,
        /// How many items at most.
        limit: Query<Limit>,
    ) -> Result<Listed<DeadLetterView>, Refusal<AdminListing>> {
        credentials.admit(&self.admin)?;
        let CursorWindow { cursor, limit } = CursorWindow::judge(cursor, limit)?;
        let page = self.letters.list(cursor, limit).await?;
        let path = format!("{ROOT}/admin/dead-letters");
        Ok(PageView::new(page, |next| CursorWindow::address(limit, &path, &next)).into())
    }

    /// Replays a dead letter (for operators)
    ///
    /// Do this once the cause of its failure is gone. A letter that is too old needs `force`; one that this
    /// version cannot read must be replayed by the version that wrote it.
    #[oai(
        path = "/admin/dead-letters/:id/replay",
        method = "post",
        operation_id = "replayDeadLetter"
    )]
    #[tracing::instrument(name = "api.v1.dead_letters.replay", level = "debug", skip_all)]
    async fn replay(
        &self,
        credentials: Credentials,
        /// The letter's id.
        id: Path<DeadLetterId>,
        /// Whether to replay it although it is too old.
        force: Query<YesOrNo>,
    ) -> Result<Replayed, Refusal<AdminReplaying>> {
        credentials.admit(&self.admin)?;
        let YesOrNo(force) = force.alone()?.unwrap_or_default();
        self.letters.replay(&id.found()?, force).await?;
        Ok(Replayed::Accepted)
    }

    /// Drops a dead letter (for operators)
    ///
    /// What it would have created counts as deleted; what is stored already stays.
    #[oai(
        path = "/admin/dead-letters/:id",
        method = "delete",
        operation_id = "dropDeadLetter"
    )]
    #[tracing::instrument(name = "api.v1.dead_letters.give_up", level = "debug", skip_all)]
    async fn give_up(
        &self,
        credentials: Credentials,
        /// The letter's id.
        id: Path<DeadLetterId>,
    ) -> Result<Deleted, Refusal<AdminActing>> {
        credentials.admit(&self.admin)?;
        self.letters.drop_letter(&id.found()?).await?;
        Ok(Deleted::Deleted)
    }
}
