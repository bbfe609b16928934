//! How the document groups its operations.

use poem_openapi::Tags;

/// The groups of operations in the document.
#[derive(Tags)]
pub(crate) enum Group {
    /// Applications own chats; devices address them by their token.
    Applications,
    /// Chats of an application, numbered from 1.
    Chats,
    /// Messages of a chat, numbered from 1.
    Messages,
    /// Messages found by their words.
    Search,
    /// What operators may do: everything across the system, dead letters, the search index.
    Admin,
    /// Whether the server is alive and ready.
    Health,
}

impl Group {
    /// The names of the groups, in the order in which they are shown.
    pub(crate) const ORDER: [&str; 6] = [
        "Applications",
        "Chats",
        "Messages",
        "Search",
        "Admin",
        "Health",
    ];
}
