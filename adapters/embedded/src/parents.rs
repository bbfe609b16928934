//! Whether the parents of a row are live, read by the same statement as the row.

use chat_core::ports::Parent;

/// Decodes a parent's state, as the macros below select it.
pub(crate) fn parent(state: i64) -> Parent {
    match state {
        1 => Parent::Live,
        2 => Parent::Gone,
        _ => Parent::Absent,
    }
}

/// Selects an application's state for [`parent`]: `a` is the application, if it exists.
macro_rules! application_state {
    () => {
        "CASE WHEN a.id IS NULL THEN 0 WHEN a.deleted_at IS NOT NULL THEN 2 ELSE 1 END"
    };
}
pub(crate) use application_state;

/// Selects a chat's state for [`parent`]: `a` and `c` are its application and itself, if they exist.
macro_rules! chat_state {
    () => {
        "CASE WHEN a.id IS NULL THEN 0
              WHEN a.deleted_at IS NOT NULL OR c.deleted_at IS NOT NULL THEN 2
              WHEN c.uid IS NULL THEN 0
              ELSE 1 END"
    };
}
pub(crate) use chat_state;

/// Joins `a` and `c`, the application and the chat of `?1` and `?2`, where they exist.
macro_rules! chat_owners {
    () => {
        "(SELECT 1) LEFT JOIN applications AS a ON a.id = ?1
                    LEFT JOIN chats AS c ON c.application_id = ?1 AND c.number = ?2"
    };
}
pub(crate) use chat_owners;
