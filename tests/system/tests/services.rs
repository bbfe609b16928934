//! The scripts in `tests/services`: servers start, keep their data, and stop without harm to others.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context as _, Result};
use chat_system::{
    invocation::{Ended, Invocation},
    program::scratch,
    services::{Services, ask_elasticsearch, ask_mariadb, ask_redis},
};
use tokio::{time::Instant, try_join};

#[tokio::test]
async fn what_is_printed_leads_to_servers_that_keep_every_write() -> Result<()> {
    let Some(services) = Services::find("what_is_printed_leads_to_servers")? else {
        return Ok(());
    };
    expect_sentence(&services.run("env", &[]).await?, "tests/services/up")?;
    let said = services.up(&[]).await?;
    assert_eq!(said.lines().count(), 3, "one line a server: {said}");
    let settings = services.settings().await?;

    let redis = &settings["CHAT_TEST_REDIS_URL"];
    assert_eq!(settings["CHAT_COUNTER_URL"], format!("{redis}/0"));
    assert_eq!(settings["CHAT_QUEUE_URL"], format!("{redis}/0"));
    for (name, value) in [
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("save", ""),
        ("maxmemory-policy", "noeviction"),
        ("bind", "127.0.0.1"),
    ] {
        let said = ask_redis(&settings, &["CONFIG", "GET", name]).await?;
        assert_eq!(said, format!("{name}\n{value}"));
    }

    let mysql = &settings["CHAT_TEST_MYSQL_URL"];
    assert_eq!(settings["CHAT_REPOSITORY_URL"], format!("{mysql}chat"));
    let said = ask_mariadb(
        &settings,
        "SELECT @@character_set_server, @@innodb_flush_log_at_trx_commit, @@skip_name_resolve, \
         @@log_bin, @@bind_address, @@max_connections, @@innodb_buffer_pool_size DIV 1048576; \
         USE chat; CREATE DATABASE own; USE own; CREATE TABLE t (c VARCHAR(9)); \
         INSERT INTO t VALUES ('🚀'); SELECT HEX(c) FROM t",
    )
    .await?;
    assert_eq!(said, "utf8mb4\t1\t1\t0\t127.0.0.1\t500\t256\nF09F9A80");
    for server in ["CHAT_TEST_REDIS_SERVER", "CHAT_TEST_MYSQL_SERVER"] {
        assert!(Path::new(&settings[server]).is_file(), "{settings:?}");
    }

    let node = "_nodes?filter_path=nodes.*.version,nodes.*.transport_address,nodes.*.settings.path";
    let said = ask_elasticsearch(&settings, node, None).await?;
    let home = services.folder().display().to_string();
    for wanted in [
        r#""version":"7.10.2""#,
        r#""transport_address":"127.0.0.1:"#,
        &home,
    ] {
        assert!(said.contains(wanted), "no `{wanted}` in {said}");
    }
    ask_elasticsearch(&settings, "own/_doc/1", Some("{}")).await?;

    for server in ["mariadb", "elasticsearch"] {
        services.kill(server).await?;
        expect_sentence(&services.run("env", &[server]).await?, server)?;
    }
    services.up(&["mariadb", "elasticsearch"]).await?;
    assert_eq!(services.settings().await?, settings);
    let said = ask_mariadb(&settings, "SELECT COUNT(*) FROM own.t").await?;
    assert_eq!(said, "1");
    let said = ask_elasticsearch(&settings, "own/_doc/1?filter_path=_source", None).await?;
    assert_eq!(said, r#"{"_source":{}}"#);
    let said = services.up(&["elasticsearch"]).await?;
    assert!(said.contains("as before"), "{said}");

    services.run("down", &[]).await?;
    expect_sentence(&services.run("env", &[]).await?, "tests/services/up")?;
    assert_eq!(names_in(services.folder())?, ["lock"]);
    Ok(())
}

#[tokio::test]
async fn a_second_up_is_quick_and_harmless() -> Result<()> {
    let Some(services) = Services::find("a_second_up_is_quick_and_harmless")? else {
        return Ok(());
    };
    let redis = ["redis"];
    try_join!(
        services.up(&redis),
        services.up(&redis),
        services.up(&redis)
    )?;
    let settings = services.settings().await?;
    ask_redis(&settings, &["SET", "kept", "yes"]).await?;
    let record = fs::read(record(&services))?;

    let start = Instant::now();
    let said = services.up(&redis).await?;
    assert!(start.elapsed() < Duration::from_secs(2), "{said}");
    assert!(said.contains("as before"), "{said}");
    assert_eq!(fs::read(self::record(&services))?, record);
    assert_eq!(services.settings().await?, settings);
    assert_eq!(ask_redis(&settings, &["GET", "kept"]).await?, "yes");
    Ok(())
}

#[tokio::test]
async fn what_died_is_started_again_over_its_data_and_nobody_is_taken_for_it() -> Result<()> {
    let Some(services) = Services::find("what_died_is_started_again_over_its_data")? else {
        return Ok(());
    };
    services.up(&["redis"]).await?;
    let settings = services.settings().await?;
    ask_redis(&settings, &["SET", "kept", "yes"]).await?;
    let mut stranger = Stranger::start()?;
    let died = fs::read_to_string(record(&services))?;

    // The process id of what died belongs to somebody else now.
    services.kill("redis").await?;
    stranger.write_as(&died, &record(&services))?;
    expect_sentence(&services.run("env", &[]).await?, "redis")?;
    services.up(&["redis"]).await?;
    assert_eq!(services.settings().await?, settings);
    assert_eq!(ask_redis(&settings, &["GET", "kept"]).await?, "yes");

    services.kill("redis").await?;
    stranger.write_as(&died, &record(&services))?;
    services.run("down", &[]).await?;
    assert!(
        stranger.lives()?,
        "`down` ended a process that is not its own"
    );
    Ok(())
}

#[tokio::test]
async fn down_stops_only_what_was_started_in_its_folder() -> Result<()> {
    let name = "down_stops_only_what_was_started_in_its_folder";
    let (Some(services), Some(neighbour)) = (Services::find(name)?, Services::find(name)?) else {
        return Ok(());
    };
    try_join!(services.up(&["redis"]), neighbour.up(&["redis"]))?;
    let settings = neighbour.settings().await?;
    assert_ne!(services.settings().await?, settings);
    // A folder that `up` has not made is left alone as well.
    let foreign = services.folder().join("mariadb");
    fs::create_dir(&foreign)?;
    fs::write(foreign.join("notes"), "mine")?;
    let refused = services.run("up", &["mariadb"]).await?;
    assert_ne!(refused.code, Some(0), "{refused:?}");

    let ended = services.run("down", &[]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(names_in(services.folder())?, ["lock", "mariadb"]);
    assert_eq!(names_in(&foreign)?, ["notes"]);
    assert_eq!(ask_redis(&settings, &["PING"]).await?, "PONG");
    Ok(())
}

#[tokio::test]
async fn what_lost_its_folder_is_ended() -> Result<()> {
    for script in ["up", "down"] {
        let Some(services) = Services::find("what_lost_its_folder_is_ended")? else {
            return Ok(());
        };
        services.up(&["redis"]).await?;
        let settings = services.settings().await?;
        assert_eq!(ask_redis(&settings, &["PING"]).await?, "PONG");
        // Another process that works in the removed folder, but is none of these servers, is left alone.
        let mut stranger = Stranger::start_in(&services.folder().join("redis"))?;
        fs::remove_dir_all(services.folder().join("redis"))?;
        let ended = services.run(script, &["redis"]).await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("had lost its folder"), "{ended:?}");
        assert!(
            stranger.lives()?,
            "`{script}` ended a process that is no server"
        );
        assert!(ask_redis(&settings, &["PING"]).await.is_err() || script == "up");
    }
    Ok(())
}

#[tokio::test]
async fn a_port_that_somebody_took_is_given_up_and_the_data_is_not() -> Result<()> {
    let Some(services) = Services::find("a_port_that_somebody_took_is_given_up")? else {
        return Ok(());
    };
    services.up(&["redis"]).await?;
    let before = services.settings().await?;
    ask_redis(&before, &["SET", "kept", "yes"]).await?;
    services.run("down", &["--keep"]).await?;
    let (_, port) = before["CHAT_TEST_REDIS_URL"]
        .rsplit_once(':')
        .context("an address ends with its port")?;
    let _somebody = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?))?;

    let said = services.up(&["redis"]).await?;
    assert!(said.contains(port), "{said}");
    let after = services.settings().await?;
    assert_ne!(after, before);
    assert_eq!(ask_redis(&after, &["GET", "kept"]).await?, "yes");
    Ok(())
}

#[tokio::test]
async fn what_cannot_start_is_told_with_the_end_of_its_log() -> Result<()> {
    let Some(services) = Services::find("what_cannot_start_is_told")? else {
        return Ok(());
    };
    services.up(&["redis"]).await?;
    services.run("down", &["--keep"]).await?;
    let manifest = "redis/data/appendonlydir/appendonly.aof.manifest";
    fs::write(services.folder().join(manifest), "nonsense\n")?;

    let refused = services.run("up", &["redis"]).await?;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("redis has ended"), "{refused:?}");
    assert!(refused.stderr.contains("nonsense"), "{refused:?}");
    let unknown = services.run("up", &["radish"]).await?;
    expect_sentence(&unknown, "mariadb ")
}

#[tokio::test]
async fn what_is_missing_is_installed_or_named() -> Result<()> {
    let Some(services) = Services::find("what_is_missing_is_installed_or_named")? else {
        return Ok(());
    };
    let machine = Machine::without_redis()?;
    let refused = machine
        .on(services.prepare("up", &["redis"])?)
        .run()
        .await?;
    expect_sentence(&refused, "redis-server")?;

    machine.add_packager()?;
    for _ in 0..2 {
        let ended = machine
            .on(services.prepare("up", &["redis"])?)
            .run()
            .await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let asked = fs::read_to_string(machine.folder.path().join("asked"))?;
    let asked: Vec<&str> = asked.lines().collect();
    let [update, install, invoked] = asked[..] else {
        panic!("updated and installed once: {asked:?}");
    };
    assert_eq!(update, "update -qq");
    assert!(install.starts_with("install ") && install.ends_with(" redis-server"));
    assert!(install.contains("--no-remove"), "{install}");
    // What would start the package's own server was replaced by a program that does nothing.
    assert_eq!(invoked, "/bin/true");
    Ok(())
}

/// A process that none of the scripts has started.
struct Stranger(Child);

impl Stranger {
    fn start() -> Result<Self> {
        Self::start_in(Path::new("."))
    }

    fn start_in(folder: &Path) -> Result<Self> {
        let child = Command::new("sleep").arg("60").current_dir(folder).spawn();
        Ok(Self(child.context("starting a stranger")?))
    }

    /// Writes the record of a process that died, as if the stranger had got its process id.
    fn write_as(&self, died: &str, record: &Path) -> Result<()> {
        let (_, rest) = died.split_once(' ').context("a number comes first")?;
        fs::write(record, format!("{} {rest}", self.0.id())).context("writing the record")
    }

    fn lives(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A machine, as far as `PATH` shows one, without Redis and without a way to install it.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn without_redis() -> Result<Self> {
        let folder = scratch()?;
        fs::create_dir(folder.path().join("bin"))?;
        for entry in fs::read_dir("/usr/bin")? {
            let name = entry?.file_name();
            let shown = name.to_string_lossy();
            if !shown.starts_with("redis-") && shown != "apt-get" && shown != "sudo" {
                let there = Path::new("/usr/bin").join(&name);
                symlink(there, folder.path().join("bin").join(&name))?;
            }
        }
        Ok(Self { folder })
    }

    /// Adds an `apt-get` that installs Redis and notes what it was asked for.
    fn add_packager(&self) -> Result<()> {
        let folder = self.folder.path().display();
        self.add(
            "apt-get",
            &format!(
                r#"echo "$*" >>'{folder}/asked'
                [ "$1" = install ] || exit 0
                for option; do case $option in DPkg::Path=*) path=${{option#*=}} ;; esac; done
                readlink "$(PATH=$path command -v deb-systemd-invoke)" >>'{folder}/asked'
                ln -s /usr/bin/redis-server /usr/bin/redis-cli '{folder}/bin/'"#
            ),
        )?;
        self.add("sudo", r#"exec "$@""#)
    }

    fn add(&self, name: &str, text: &str) -> Result<()> {
        let file = self.folder.path().join("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\n{text}\n"))?;
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).context("making it run")
    }

    fn on(&self, invocation: Invocation) -> Invocation {
        invocation.with("PATH", self.folder.path().join("bin"))
    }
}

/// Returns the file that says which process is the started Redis.
fn record(services: &Services) -> PathBuf {
    services.folder().join("redis/process")
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    let names: Result<Vec<String>> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect();
    let mut names = names?;
    names.sort();
    Ok(names)
}

/// Checks that a script has failed with one sentence that holds `named`, and nothing else.
fn expect_sentence(ended: &Ended, named: &str) -> Result<()> {
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    let mut lines = ended.stderr.lines();
    let sentence = lines.next().context("nothing was said")?;
    assert!(sentence.contains(named), "no `{named}` in: {sentence}");
    assert_eq!(lines.next(), None, "{ended:?}");
    Ok(())
}
