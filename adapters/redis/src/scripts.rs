//! The Lua scripts that run in the server.

use std::time::Duration;

use chat_core::model::Epoch;
use redis::{Cmd, ToRedisArgs};

use crate::{RedisLimits, info::Identity};

/// A script that any server may run, whether it is admitted or not.
pub(crate) struct Script {
    text: String,
    hash: String,
}

/// Finds what is pending, for the scripts that need it.
const FIND: &str = include_str!("scripts/find.lua");

/// Lets a script write while memory is full; must be its first line.
const ALLOW_OOM: &str = "#!lua flags=allow-oom\n";

impl Script {
    fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        // Only the hash of the driver's type is used: its `invoke` would load an unknown script by itself,
        // and hide that the server has restarted.
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// The command that calls it by its hash, for a server that knows it.
    pub(crate) fn by_hash(&self, call: &Call) -> Cmd {
        call.by_hash(&self.hash)
    }

    /// The command that sends its text along, for a server that does not know it.
    pub(crate) fn command(&self, call: &Call) -> Cmd {
        command("EVAL", &self.text, &[], &[call])
    }
}

/// The scripts that any server may run: all but those that number and seed.
pub(crate) struct Scripts {
    pub(crate) acknowledge: Script,
    pub(crate) backlog: Script,
    pub(crate) confirm: Script,
    pub(crate) leave: Script,
    pub(crate) mark_deleted: Script,
    pub(crate) open: Script,
    pub(crate) pending: Script,
    pub(crate) point_to_letter: Script,
    pub(crate) probe: Script,
    pub(crate) publish: Script,
    pub(crate) release_lease: Script,
    pub(crate) settle: Script,
    pub(crate) tidy: Script,
    pub(crate) waiting: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            acknowledge: Script::new([FIND, include_str!("scripts/acknowledge.lua")].concat()),
            backlog: Script::new(include_str!("scripts/backlog.lua")),
            confirm: Script::new([FIND, include_str!("scripts/confirm.lua")].concat()),
            leave: Script::new(include_str!("scripts/leave.lua")),
            mark_deleted: Script::new(
                [ALLOW_OOM, include_str!("scripts/mark_deleted.lua")].concat(),
            ),
            open: Script::new(include_str!("scripts/open.lua")),
            pending: Script::new([FIND, include_str!("scripts/pending.lua")].concat()),
            point_to_letter: Script::new(
                [ALLOW_OOM, FIND, include_str!("scripts/point_to_letter.lua")].concat(),
            ),
            probe: Script::new(include_str!("scripts/probe.lua")),
            publish: Script::new(include_str!("scripts/publish.lua")),
            release_lease: Script::new(include_str!("scripts/release_lease.lua")),
            settle: Script::new([FIND, include_str!("scripts/settle.lua")].concat()),
            tidy: Script::new(include_str!("scripts/tidy.lua")),
            waiting: Script::new([FIND, include_str!("scripts/waiting.lua")].concat()),
        }
    }
}

/// The text of the script that numbers, for one run of the server and one epoch.
pub(crate) fn create(identity: &Identity, epoch: Epoch, limits: &RedisLimits) -> String {
    head(identity, epoch, limits) + include_str!("scripts/create.lua")
}

/// The text of the script that seeds, for one run of the server and one epoch.
pub(crate) fn seed(identity: &Identity, epoch: Epoch, limits: &RedisLimits) -> String {
    head(identity, epoch, limits) + FIND + include_str!("scripts/seed.lua")
}

fn head(identity: &Identity, epoch: Epoch, limits: &RedisLimits) -> String {
    let Identity {
        run,
        copied,
        tenure,
    } = identity;
    let tenure = if tenure.is_empty() {
        String::new()
    } else {
        format!(", in its epoch {tenure} of the cluster")
    };
    let RedisLimits {
        pending,
        high_bytes,
        low_bytes,
        keys,
    } = limits;
    format!(
        "-- For the run {run} with {copied} bytes of another server{tenure}.\n\
         local EPOCH, KNOWN = '{epoch}', '{epoch}:'\n\
         local PENDING, HIGH, LOW, KEYS_MOST = {pending}, {high_bytes}, {low_bytes}, {keys}\n"
    )
}

/// The keys and arguments of a call.
pub(crate) struct Call {
    keys: Vec<String>,
    arguments: Cmd,
}

impl Call {
    pub(crate) fn on(keys: impl IntoIterator<Item = String>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            arguments: Cmd::new(),
        }
    }

    pub(crate) fn with(mut self, argument: impl ToRedisArgs) -> Self {
        self.arguments.arg(argument);
        self
    }

    pub(crate) fn add(&mut self, argument: impl ToRedisArgs) {
        self.arguments.arg(argument);
    }

    pub(crate) fn add_key(&mut self, key: String) {
        self.keys.push(key);
    }

    /// The command that calls a script by its hash.
    pub(crate) fn by_hash(&self, hash: &str) -> Cmd {
        command("EVALSHA", hash, &[], &[self])
    }
}

/// The command for some calls of a script: the common keys, then those of each call, then the arguments of
/// each.
fn command(name: &str, script: &str, common: &[String], calls: &[&Call]) -> Cmd {
    let own: usize = calls.iter().map(|call| call.keys.len()).sum();
    let mut command = redis::cmd(name);
    command.arg(script).arg(common.len() + own).arg(common);
    for call in calls {
        command.arg(&call.keys);
    }
    for call in calls {
        for argument in call.arguments.args_iter() {
            if let redis::Arg::Simple(argument) = argument {
                command.arg(argument);
            }
        }
    }
    command
}

/// A script that any number of calls can be joined for, and that answers each of them.
pub(crate) struct JoiningScript {
    hash: String,
    keys: Vec<String>,
}

impl JoiningScript {
    /// Names a script that the server knows, and the keys that all its calls have in common.
    pub(crate) fn new(hash: String, keys: impl IntoIterator<Item = String>) -> Self {
        Self {
            hash,
            keys: keys.into_iter().collect(),
        }
    }

    /// The command that joins several calls.
    pub(crate) fn command(&self, calls: &[&Call]) -> Cmd {
        command("EVALSHA", &self.hash, &self.keys, calls)
    }
}

/// A duration in milliseconds, as the server takes it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The commands of a script; `XGROUP`, `XINFO` and their like with what they are to do.
    fn commands(text: &str) -> BTreeSet<String> {
        let calls = text.split("call('").skip(1);
        let words = calls.map(|call| {
            let mut words = call.split('\'').step_by(2);
            let name = words.next().unwrap_or_default();
            match name {
                "XGROUP" | "XINFO" => format!("{name} {}", words.next().unwrap_or_default()),
                _ => name.to_owned(),
            }
        });
        words.collect()
    }

    #[test]
    fn the_probe_tries_every_command_of_the_scripts() {
        // Named one by one, so that a new script cannot be left out.
        let Scripts {
            acknowledge,
            backlog,
            confirm,
            leave,
            mark_deleted,
            open,
            pending,
            point_to_letter,
            probe,
            publish,
            release_lease,
            settle,
            tidy,
            waiting,
        } = Scripts::new();
        let identity = Identity {
            run: String::new(),
            copied: String::new(),
            tenure: String::new(),
        };
        let limits = RedisLimits::default();
        let texts = [
            create(&identity, Epoch::FIRST, &limits),
            seed(&identity, Epoch::FIRST, &limits),
            acknowledge.text,
            backlog.text,
            confirm.text,
            leave.text,
            mark_deleted.text,
            open.text,
            pending.text,
            point_to_letter.text,
            publish.text,
            release_lease.text,
            settle.text,
            tidy.text,
            waiting.text,
        ];
        let mut used: BTreeSet<String> = texts.iter().flat_map(|text| commands(text)).collect();
        // A single server knows it not, and nodes of a cluster are asked for it when they are looked at.
        assert!(used.remove("CLUSTER"));
        let tried = commands(&probe.text);
        let untried: Vec<&String> = used.difference(&tried).collect();
        assert!(untried.is_empty(), "{untried:?}");
    }
}
