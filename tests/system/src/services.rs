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

/// How long a script may take: longer than it gives a server.
const DEADLINE: Duration = Duration::from_secs(90);

/// The servers that a live system stands on.
pub const SERVERS: [&str; 3] = ["mariadb", "redis", "elasticsearch"];

/// The settings that lead its programs to them: repository, counter, queue and search.
pub const URLS: [&str; 4] = [
    "CHAT_REPOSITORY_URL",
    "CHAT_COUNTER_URL",
    "CHAT_QUEUE_URL",
    "CHAT_SEARCH_URL",
];

/// Picks these settings out of all that [`Services::settings`] answers.
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
    /// Where what they said is kept when they are gone: in the folder of artefacts, by the test's name.
    kept: PathBuf,
}

impl Services {
    /// Makes a folder for servers; where none are to be had, it says that the test `name` is skipped.
    ///
    /// They are to be had where the settings that `tests/services/env` prints are in the
    /// environment, and are taken for granted where `CHAT_TEST_REQUIRE` is, as in `tests/run`.
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

    /// Makes a folder for servers; one that is missing is installed when it is started.
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

    /// Answers the folder.
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

    /// Prepares such a run.
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

    /// Starts the servers `names`, those that were killed over their data.
    ///
    /// # Errors
    ///
    /// Fails with what was said when one of them does not come up.
    pub async fn up(&self, names: &[&str]) -> Result<String> {
        succeeded(self.run("up", names).await?)
    }

    /// Kills the server `name` as `kill -9` does; its data and its port are kept.
    ///
    /// # Errors
    ///
    /// Fails with what was said.
    pub async fn kill(&self, name: &str) -> Result<()> {
        succeeded(self.run("down", &["--kill", name]).await?)?;
        Ok(())
    }

    /// Answers the settings to use the servers that are up.
    ///
    /// # Errors
    ///
    /// Fails when one is not up, or a line is no setting.
    pub async fn settings(&self) -> Result<BTreeMap<String, String>> {
        self.settings_of(&[]).await
    }

    /// Answers the settings to use the servers `names`; where several have the same, the last one counts.
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
    /// Keeps what the servers said, for whoever asks why a test failed.
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
            // Shown where the test fails, and nowhere else.
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
        // Where it fails, servers are left over that do no harm.
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

/// Splits a line into a name of this system and its value.
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

/// Asks the Redis of these settings, by its own client.
///
/// # Errors
///
/// Fails with what was said.
pub async fn ask_redis(settings: &BTreeMap<String, String>, words: &[&str]) -> Result<String> {
    let client = Invocation::of_file("redis-cli")?
        .argument("-u")
        .argument(&settings["CHAT_TEST_REDIS_URL"]);
    said(words.iter().fold(client, Invocation::argument)).await
}

/// Asks the MariaDB of these settings, by its own client.
///
/// # Errors
///
/// Fails with what was said, and when the settings name no such server.
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

/// Asks the Elasticsearch of these settings for a path, or puts a document there.
///
/// # Errors
///
/// Fails with what was said, also where that is no success.
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
