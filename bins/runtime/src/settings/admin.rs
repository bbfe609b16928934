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
    /// Everybody on this machine who asks for it by one of its own names, which a web page from elsewhere does
    /// not.
    Local,
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
        let is_local = listen.ip().to_canonical().is_loopback();
        match (given.text("admin")?.as_deref(), key) {
            (None | Some("key"), Some(key)) => Ok(Self::Key(Secret::new(key))),
            (Some("key"), None) => {
                Err(given.refuse("admin", "local, open or off unless CHAT_ADMIN_KEY is set"))
            }
            (Some("open"), _) => Ok(Self::Open),
            (Some("off"), _) => Ok(Self::Off),
            (Some("local"), _) | (None, None) if is_local => Ok(Self::Local),
            (Some("local"), _) => Err(given.refuse(
                "admin",
                "key, open or off unless CHAT_LISTEN is on loopback",
            )),
            (None, None) => Err(SettingsError::new(format!(
                "CHAT_LISTEN={listen} can be reached from other machines, so set CHAT_ADMIN_KEY, \
                 or set CHAT_ADMIN=open to let everybody use the admin endpoints"
            ))),
            (Some(_), _) => Err(given.refuse("admin", "key, local, open or off")),
        }
    }
}
