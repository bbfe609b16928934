//! Version 1 of the API, a file for each resource.

use std::borrow::Cow;

use chat_core::{model::Timestamp, service::Services};
use chat_runtime::settings::Admin;
use poem_openapi::types::Type as _;

use self::{
    applications::{ApplicationChange, NewApplication},
    chats::{ChatChange, NewChat},
    messages::{MessageChange, NewMessage},
    search::NewSearch,
};
use crate::answer::Moment;

mod across_system;
mod applications;
mod chats;
mod dead_letters;
mod message_views;
mod messages;
mod rebuild;
mod search;

pub use across_system::AcrossSystemApi;
pub use applications::ApplicationsApi;
pub use chats::ChatsApi;
pub use dead_letters::DeadLettersApi;
pub use messages::MessagesApi;
pub use rebuild::RebuildApi;
pub use search::SearchApi;

/// Every resource.
pub type Api = (
    ApplicationsApi,
    ChatsApi,
    MessagesApi,
    SearchApi,
    AcrossSystemApi,
    DeadLettersApi,
    RebuildApi,
);

/// The path that everything is under.
const ROOT: &str = "/api/v1";

/// The path of the applications.
const APPLICATIONS: &str = "/api/v1/applications";

/// The start of each path in the document that belongs to one application.
pub(crate) const OF_APPLICATION: &str = "/api/v1/applications/{token}";

/// Serves every resource.
#[must_use]
pub fn api(services: &Services, admin: &Admin) -> Api {
    (
        ApplicationsApi::new(services, admin.clone()),
        ChatsApi::new(services),
        MessagesApi::new(services),
        SearchApi::new(services),
        AcrossSystemApi::new(services, admin.clone()),
        DeadLettersApi::new(services, admin.clone()),
        RebuildApi::new(services, admin.clone()),
    )
}

/// The names of all bodies that requests have.
pub(crate) fn forms() -> [Cow<'static, str>; 7] {
    [
        NewApplication::name(),
        ApplicationChange::name(),
        NewChat::name(),
        ChatChange::name(),
        NewMessage::name(),
        MessageChange::name(),
        NewSearch::name(),
    ]
}

/// The header's value that marks the answer to a replayed create.
fn replayed(replayed: bool) -> Option<String> {
    replayed.then(|| "true".to_owned())
}

/// The token of the document's examples.
const EXAMPLE_TOKEN: &str = "Zk3vQ9dT1aX7mB5cR8nL2pW6yH4sJ0gU";

/// The moment of the document's examples.
fn example_moment() -> Moment {
    Timestamp::from_micros(1_795_254_800_250_000).into()
}
