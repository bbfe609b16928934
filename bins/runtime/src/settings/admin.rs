//! Who may use the admin endpoints.

use std::net::SocketAddr;

use super::{Given, Secret, SettingsError};

/// Who may do what only operators may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// Whoever sends this key.
    Key(Secret),
    /// Everybody who can connect.
    Open,
    /// Nobody.
    Off,
}

impl Admin {
    pub(super) fn try_from_given(given: &Given, listen: SocketAddr) -> Result<Self, SettingsError> {
        let key = given.text("admin_key")?;
        if let Some(key) = &key {
            let visible = key
                .bytes()
                .all(|byte| byte == b' ' || byte.is_ascii_graphic());
            if !visible || key.trim() != key {
                let wanted = "visible ASCII characters, with no space around them";
                return Err(given.refuse("admin_key", wanted));
            }
        }
        match (given.text("admin")?.as_deref(), key) {
            (None | Some("key"), Some(key)) => Ok(Self::Key(Secret::new(key))),
            (Some("key"), None) => {
                Err(given.refuse("admin", "open or off unless CHAT_ADMIN_KEY is set"))
            }
            (Some("open"), _) => Ok(Self::Open),
            (Some("off"), _) => Ok(Self::Off),
            (None, None) if listen.ip().to_canonical().is_loopback() => Ok(Self::Open),
            (None, None) => Err(SettingsError::new(format!(
                "CHAT_LISTEN={listen} can be reached from other machines, so set CHAT_ADMIN_KEY, \
                 or say CHAT_ADMIN=open to let everybody use the admin endpoints"
            ))),
            (Some(_), _) => Err(given.refuse("admin", "key, open or off")),
        }
    }
}
