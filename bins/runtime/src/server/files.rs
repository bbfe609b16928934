//! How many files the process may have open, of which each connection is one.

/// How many files are open besides clients' connections: connections to servers, index files, logs.
const OTHERS: u64 = 500;

/// Raises the limit of open files to what so many connections need, and warns where the system does
/// not allow that many.
pub fn allow_files(connections: usize) {
    let wanted = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHERS);
    match rlimit::increase_nofile_limit(wanted) {
        Ok(allowed) if allowed >= wanted => {}
        Ok(allowed) => tracing::warn!(
            allowed,
            wanted,
            "the limit of open files is too low for CHAT_MAX_CONNECTIONS: raise it (`ulimit -Hn`, \
             systemd's `LimitNOFILE`), or lower the setting"
        ),
        Err(error) => tracing::warn!(
            %error,
            wanted,
            "the limit of open files cannot be raised; while it is reached, no connections are \
             accepted"
        ),
    }
}

#[cfg(test)]
mod tests {
    use rlimit::Resource;

    use super::*;

    #[test]
    fn the_limit_follows_the_connections() {
        let (_, most) = Resource::NOFILE.get().unwrap();
        Resource::NOFILE.set(256, most).unwrap();
        allow_files(500);
        assert_eq!(Resource::NOFILE.get().unwrap().0, 1_000.min(most));
        // The limit is never lowered, and wanting more than the system allows is no failure.
        allow_files(10);
        assert_eq!(Resource::NOFILE.get().unwrap().0, 1_000.min(most));
        allow_files(usize::MAX);
        assert_eq!(Resource::NOFILE.get().unwrap().0, most);
    }
}
