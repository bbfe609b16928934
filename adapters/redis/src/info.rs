//! The answer to `INFO`, and whether the server may be used.

use std::collections::HashMap;

/// The oldest major version with all that the scripts use.
const OLDEST: u32 = 7;

/// The field that counts the bytes received from a master in this run, while it was a replica.
///
/// The replication id is no substitute: it also changes when a master gets its first replica, or has
/// had none for long, and then nothing is lost.
pub(crate) const COPIED: &str = "total_net_repl_input_bytes";

/// The configuration epoch of a cluster's node, in the answer to `CLUSTER INFO`: it changes each time
/// that the node takes over slots, or another node's place, in this run or across several.
pub(crate) const TENURE: &str = "cluster_my_epoch";

/// What tells a server, and each of its runs, from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The run id, a new one after each start.
    pub(crate) run: String,
    /// Grows each time that it takes its data from another server.
    pub(crate) copied: String,
    /// Grows each time that it takes slots or a place in a cluster; empty outside of one.
    pub(crate) tenure: String,
}

/// The answer to `INFO`, and on a cluster's node also to `CLUSTER INFO`.
pub(crate) struct Info(HashMap<String, String>);

impl Info {
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Self(
            lines
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            run: self.get("run_id").to_owned(),
            copied: self.get(COPIED).to_owned(),
            tenure: self.get(TENURE).to_owned(),
        }
    }

    /// Whether it is a node of a cluster.
    pub(crate) fn is_clustered(&self) -> bool {
        self.get("redis_mode") == "cluster" || self.get("server_mode") == "cluster"
    }

    /// Whether the cluster works, as this node sees it.
    pub(crate) fn is_cluster_well(&self) -> bool {
        self.get("cluster_state") == "ok"
    }

    /// Why it cannot be used at the moment, though it may be later.
    pub(crate) fn not_now(&self) -> Option<&'static str> {
        if self.get("loading") == "1" {
            Some("it is still loading its data")
        } else if self.get("role") == "master" {
            None
        } else {
            Some("it is a replica")
        }
    }

    /// Why this program must not run on it.
    pub(crate) fn unfit(&self) -> Option<String> {
        let version = self.get("redis_version");
        let major = version.split('.').next().and_then(|it| it.parse().ok());
        let policy = self.policy();
        if major.is_none_or(|major: u32| major < OLDEST) {
            Some(format!(
                "its version is `{version}`, but {OLDEST} or later is needed"
            ))
        } else if self.get(COPIED).is_empty() {
            Some(
                "its `INFO` lacks `total_net_repl_input_bytes`, which shows whether it was a \
                 replica meanwhile"
                    .to_owned(),
            )
        } else if policy.starts_with("allkeys-") {
            Some(format!(
                "its `maxmemory-policy` is `{policy}`, which evicts accepted creations; set it to \
                 `noeviction`"
            ))
        } else {
            None
        }
    }

    /// What it does when its memory is full.
    pub(crate) fn policy(&self) -> &str {
        self.get("maxmemory_policy")
    }

    /// Whether it keeps a log of all changes, the append-only file.
    pub(crate) fn keeps_a_log(&self) -> bool {
        self.get("aof_enabled") == "1"
    }

    /// Whether it has begun a rewrite of that log since it started, or keeps none.
    pub(crate) fn has_renewed_log(&self) -> bool {
        !self.keeps_a_log() || !matches!(self.get("aof_rewrites"), "" | "0")
    }

    /// Whether it ever took over from another server in this run.
    pub(crate) fn was_promoted(&self) -> bool {
        self.get("master_replid2").bytes().any(|byte| byte != b'0')
    }

    /// Whether replicas are connected to it now.
    pub(crate) fn has_replicas(&self) -> bool {
        !matches!(self.get("connected_slaves"), "" | "0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(lines: &[&str]) -> Info {
        Info::parse(&lines.join("\r\n"))
    }

    #[test]
    fn old_servers_and_servers_that_drop_work_are_unfit() {
        let fits = |version: &str, policy: &str, copied: &str| {
            let version = format!("redis_version:{version}");
            let policy = format!("maxmemory_policy:{policy}");
            info(&[&version, &policy, copied]).unfit().is_none()
        };
        let copied = "total_net_repl_input_bytes:0";
        assert!(fits("7.0.15", "noeviction", copied));
        assert!(fits("7.2.4", "volatile-lru", copied));
        assert!(!fits("6.2.14", "noeviction", copied));
        assert!(!fits("", "noeviction", copied));
        assert!(!fits("7.4.1", "allkeys-lru", copied));
        assert!(!fits("7.4.1", "noeviction", ""));
    }

    #[test]
    fn a_second_replication_id_is_a_promotion() {
        let zeros = format!("master_replid2:{}", "0".repeat(40));
        assert!(!info(&[&zeros]).was_promoted());
        let other = format!("master_replid2:{}", "0a".repeat(20));
        assert!(info(&[&other]).was_promoted());
    }
}
