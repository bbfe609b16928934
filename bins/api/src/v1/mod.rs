//! Version 1 of the API, a file for each resource.

use chat_core::{model::Timestamp, service::Services};
use chat_runtime::settings::Admin;

use crate::answer::Moment;

mod applications;
mod chats;
mod messages;

pub use applications::ApplicationsApi;
pub use chats::ChatsApi;
pub use messages::MessagesApi;

/// Every resource.
pub type Api = (ApplicationsApi, ChatsApi, MessagesApi);

/// Where applications are.
const APPLICATIONS: &str = "/api/v1/applications";

/// Serves every resource.
#[must_use]
pub fn api(services: &Services, admin: Admin) -> Api {
    (
        ApplicationsApi::new(services, admin),
        ChatsApi::new(services),
        MessagesApi::new(services),
    )
}

/// What marks the answer to a repeated create.
fn replayed(replayed: bool) -> Option<String> {
    replayed.then(|| "true".to_owned())
}

/// The token of the document's examples.
const EXAMPLE_TOKEN: &str = "Zk3vQ9dT1aX7mB5cR8nL2pW6yH4sJ0gU";

/// The moment of the document's examples.
fn example_moment() -> Moment {
    Timestamp::from_micros(1_795_254_800_250_000).into()
}
