//! Starts servers by the scripts in `tests/services`, for one test alone.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{
    invocation::{Ended, Invocation},
    program::{folder, scratch, workspace},
    programs::Setting,
};

/// How long a script may take: longer than it waits for a server.
const DEADLINE: Duration = Duration::from_secs(90);

/// The servers that a live system runs on.
pub const SERVERS: [&str; 3] = ["mariadb", "redis", "elasticsearch"];

/// The settings that point its programs to them: repository, counter, queue and search.
pub const URLS: [&str; 4] = [
    "CHAT_REPOSITORY_URL",
    "CHAT_COUNTER_URL",
    "CHAT_QUEUE_URL",
    "CHAT_SEARCH_URL",
];

/// Picks the settings of [`URLS`] out of those that [`Services::settings`] returns.
///
/// # Panics
///
/// Panics where one is missing.
#[must_use]
pub fn urls(settings: &BTreeMap<String, String>) -> Vec<Setting<'_>> {
    let urls = URLS.into_iter();
    urls.map(|name| (name, settings[name].as_str())).collect()
}

/// Servers in a folder of their own, stopped when dropped.
#[derive(Debug)]
pub struct Services {
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
    /// Where their logs are kept once they are gone: in the artefacts folder, under the test's name.
    kept: PathBuf,
}

impl Services {
    /// Makes a folder for servers, or reports the test `name` as skipped where none are available.
    ///
    /// They are available where the environment has the settings that `tests/services/env` prints,
    /// and are taken for granted where it has `CHAT_TEST_REQUIRE`, as in `tests/run`.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be made.
    pub fn find(name: &str) -> Result<Option<Self>> {
        let is_set = |variable: &str| env::var_os(variable).is_some();
        let names = [
            "CHAT_TEST_REDIS_URL",
            "CHAT_TEST_MYSQL_URL",
            "CHAT_TEST_ELASTICSEARCH_URL",
        ];
        let are_up = names.into_iter().all(is_set);
        if !are_up && !is_set("CHAT_TEST_REQUIRE") {
            eprintln!("skipped: {name} needs the settings of `tests/services/env`");
            return Ok(None);
        }
        Self::new(name).map(Some)
    }

    /// Makes a folder for servers; [`up`](Self::up) installs those that are missing.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let artefacts = folder().with_file_name("artefacts");
        Ok(Self {
            folder: scratch()?,
            settings: Vec::new(),
            kept: artefacts.join("servers").join(name),
        })
    }

    /// Gives the scripts a setting, such as `CHAT_REDIS_SYNC`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `up`, `down` or `env` on the folder.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be run, or does not end in time.
    pub async fn run(&self, script: &str, arguments: &[&str]) -> Result<Ended> {
        self.prepare(script, arguments)?.run().await
    }

    /// Prepares what [`run`](Self::run) runs.
    ///
    /// # Errors
    ///
    /// Fails when its folder cannot be made.
    pub fn prepare(&self, script: &str, arguments: &[&str]) -> Result<Invocation> {
        let invocation = Invocation::of_file(file(script))?
            .with("CHAT_SERVICES", self.folder())
            .within(DEADLINE);
        let settings = self.settings.iter();
        let invocation = settings.fold(invocation, |run, (name, value)| run.with(name, value));
        Ok(arguments.iter().fold(invocation, Invocation::argument))
    }

    /// Starts the servers `names`; one that was killed starts again on its data.
    ///
    /// # Errors
    ///
    /// Fails with the script's output when one of them does not come up.
    pub async fn up(&self, names: &[&str]) -> Result<String> {
        succeeded(self.run("up", names).await?)
    }

    /// Kills the server `name` as `kill -9` does; its data and its port are kept.
    ///
    /// # Errors
    ///
    /// Fails with the script's output.
    pub async fn kill(&self, name: &str) -> Result<()> {
        succeeded(self.run("down", &["--kill", name]).await?)?;
        Ok(())
    }

    /// Returns the settings to use the servers that are up.
    ///
    /// # Errors
    ///
    /// Fails when one is not up, or a line is no setting.
    pub async fn settings(&self) -> Result<BTreeMap<String, String>> {
        self.settings_of(&[]).await
    }

    /// Returns the settings to use the servers `names`; where several have the same, the last one counts.
    ///
    /// # Errors
    ///
    /// Fails when one is not up, or a line is no setting.
    pub async fn settings_of(&self, names: &[&str]) -> Result<BTreeMap<String, String>> {
        let said = succeeded(self.run("env", names).await?)?;
        said.lines().map(setting).collect()
    }
}

impl Services {
    /// Keeps the servers' logs, which may tell why a test failed.
    fn keep_logs(&self) -> Result<()> {
        for entry in fs::read_dir(self.folder())? {
            let server = entry?;
            let log = server.path().join("log");
            if log.is_file() {
                fs::create_dir_all(&self.kept)?;
                let name = server.file_name().to_string_lossy().into_owned();
                fs::copy(log, self.kept.join(format!("{name}.log")))?;
            }
        }
        if self.kept.is_dir() {
            // Test runners show this only when the test fails.
            eprintln!("what its servers said is in `{}`", self.kept.display());
        }
        Ok(())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if let Err(error) = self.keep_logs() {
            eprintln!("what its servers said is lost: {error:#}");
        }
        // If this fails, the servers that are left over do no harm.
        drop(
            Command::new(file("down"))
                .env("CHAT_SERVICES", self.folder())
                .output(),
        );
    }
}

fn file(script: &str) -> PathBuf {
    workspace().join("tests/services").join(script)
}

fn succeeded(ended: Ended) -> Result<String> {
    ensure!(ended.code == Some(0), "{}", ended.output());
    Ok(ended.stdout)
}

/// Splits a `NAME=value` line, whose name must be one of this system's.
fn setting(line: &str) -> Result<(String, String)> {
    let (name, value) = line
        .split_once('=')
        .with_context(|| format!("`{line}` is no NAME=value"))?;
    let is_name = name.starts_with("CHAT_")
        && name
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter == '_');
    ensure!(is_name && !value.is_empty(), "`{line}` is no setting");
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs a command on the Redis of these settings, with `redis-cli`.
///
/// # Errors
///
/// Fails with the client's output.
pub async fn ask_redis(settings: &BTreeMap<String, String>, words: &[&str]) -> Result<String> {
    let client = Invocation::of_file("redis-cli")?
        .argument("-u")
        .argument(&settings["CHAT_TEST_REDIS_URL"]);
    said(words.iter().fold(client, Invocation::argument)).await
}

/// Runs SQL on the MariaDB of these settings, with its own client.
///
/// # Errors
///
/// Fails with the client's output, and when the URL is not of the form that `tests/services/env` prints.
pub async fn ask_mariadb(settings: &BTreeMap<String, String>, sql: &str) -> Result<String> {
    let url = &settings["CHAT_TEST_MYSQL_URL"];
    let (password, port) = url
        .strip_prefix("mysql://chat:")
        .and_then(|rest| rest.strip_suffix('/')?.split_once("@127.0.0.1:"))
        .with_context(|| format!("`{url}` is of another form"))?;
    let arguments = [
        "--no-defaults",
        "--protocol=tcp",
        "--host=127.0.0.1",
        "--user=chat",
        "--default-character-set=utf8mb4",
        "--skip-column-names",
        "--port",
        port,
        "--execute",
        sql,
    ];
    let client = Invocation::of_file("mariadb")?.with("MYSQL_PWD", password);
    said(arguments.iter().fold(client, Invocation::argument)).await
}

/// Gets a path from the Elasticsearch of these settings, or puts a document there.
///
/// # Errors
///
/// Fails with the client's output, also when the status is no success.
pub async fn ask_elasticsearch(
    settings: &BTreeMap<String, String>,
    path: &str,
    document: Option<&str>,
) -> Result<String> {
    let url = format!("{}/{path}", settings["CHAT_TEST_ELASTICSEARCH_URL"]);
    let client = Invocation::of_file("curl")?.argument("-sSf").argument(&url);
    let Some(document) = document else {
        return said(client).await;
    };
    let put = [
        "-X",
        "PUT",
        "-H",
        "Content-Type: application/json",
        "-d",
        document,
    ];
    said(put.iter().fold(client, Invocation::argument)).await
}

async fn said(client: Invocation) -> Result<String> {
    let ended = client.run().await?;
    ensure!(ended.code == Some(0), "{}", ended.output());
    let said = ended.stdout.strip_suffix('\n');
    Ok(said.unwrap_or(&ended.stdout).to_owned())
}
