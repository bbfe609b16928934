//! A Redis server that one test has to itself, to kill and to tamper with.

use std::{
    env, fs, io,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use redis::{Value, aio::MultiplexedConnection};
use tempfile::TempDir;

use crate::authority::Authority;

/// How long a server may take to come up, or to copy another one's data.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server with a folder of its own; it ends with the test.
pub(crate) struct PrivateServer {
    pub(crate) port: u16,
    /// Its TLS port, if it has one; the test's own commands go without TLS.
    pub(crate) tls_port: Option<u16>,
    folder: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl PrivateServer {
    /// Starts a server; `None` if none is installed and `CHAT_TEST_REQUIRE` does not name it.
    pub(crate) async fn start(arguments: &[&str]) -> Option<Self> {
        Self::start_with(arguments, None).await
    }

    /// The same, with TLS if there is an authority to certify the server.
    pub(crate) async fn start_with(
        arguments: &[&str],
        authority: Option<&Authority>,
    ) -> Option<Self> {
        let tls_port = authority.map(|_| free_port());
        let mut arguments: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
        if let (Some(authority), Some(port)) = (authority, tls_port) {
            arguments.extend(authority.arguments(port));
        }
        let mut server = Self {
            port: free_port(),
            tls_port,
            folder: TempDir::new().unwrap(),
            arguments,
            child: None,
        };
        if let Err(error) = server.spawn() {
            skip("redis-server", &error);
            return None;
        }
        server.answer().await;
        Some(server)
    }

    /// A server that syncs each write, as the strict profile has it.
    pub(crate) async fn strict() -> Option<Self> {
        Self::start(&["--appendfsync", "always"]).await
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends the server in the middle of what it is doing.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it anew on the same folder and port.
    pub(crate) async fn come_back(&mut self) {
        self.kill();
        self.spawn().unwrap();
        self.answer().await;
    }

    /// The same under a supervisor, since a server may find its log damaged, mend it, and exit.
    pub(crate) async fn come_back_supervised(&mut self) {
        self.kill();
        self.spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !self.is_there().await {
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                self.spawn().unwrap();
            }
            assert!(Instant::now() < deadline, "the server does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The only file that its log is written to.
    pub(crate) fn log(&self) -> PathBuf {
        let mut logs = fs::read_dir(self.folder.path().join("appendonlydir"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_str().unwrap().ends_with(".incr.aof"));
        let log = logs.next().unwrap();
        assert_eq!(logs.next(), None);
        log
    }

    /// Replaces its arguments by this one, for when it comes back.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.arguments = vec![name.to_owned(), value.to_owned()];
    }

    /// Copies everything that it has on its disk.
    pub(crate) fn back_up(&self) -> TempDir {
        let backup = TempDir::new().unwrap();
        copy(self.folder.path(), backup.path());
        backup
    }

    /// Restarts it with what was copied before.
    pub(crate) async fn restore(&mut self, backup: &TempDir) {
        self.put_back(backup);
        self.come_back().await;
    }

    /// Kills it, and puts what was copied before back on its disk.
    pub(crate) fn put_back(&mut self, backup: &TempDir) {
        self.kill();
        fs::remove_dir_all(self.folder.path()).unwrap();
        copy(backup.path(), self.folder.path());
    }

    /// Sends a command that is written as one line of words.
    pub(crate) async fn ask(&self, words: &str) -> Value {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        self.run(&command).await
    }

    pub(crate) async fn run(&self, command: &redis::Cmd) -> Value {
        command.query_async(&mut self.line().await).await.unwrap()
    }

    pub(crate) async fn run_all(&self, commands: &redis::Pipeline) {
        commands.exec_async(&mut self.line().await).await.unwrap();
    }

    pub(crate) async fn text(&self, words: &str) -> String {
        let answer = self.ask(words).await;
        redis::from_redis_value(answer).unwrap()
    }

    pub(crate) async fn number(&self, words: &str) -> i64 {
        let answer = self.ask(words).await;
        redis::from_redis_value(answer).unwrap()
    }

    /// The names of all keys, in order.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let answer = self.ask("KEYS *").await;
        let mut keys: Vec<String> = redis::from_redis_value(answer).unwrap();
        keys.sort_unstable();
        keys
    }

    /// Makes it a replica of another server, and waits until it has that one's data.
    pub(crate) async fn copy_from(&self, other: &Self) {
        self.ask(&format!("REPLICAOF 127.0.0.1 {}", other.port))
            .await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let info = self.text("INFO replication").await;
            if info.contains("master_link_status:up") {
                return;
            }
            assert!(Instant::now() < deadline, "the copy was not made: {info}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn spawn(&mut self) -> io::Result<()> {
        let named = env::var_os("CHAT_TEST_REDIS_SERVER");
        let child = Command::new(named.unwrap_or_else(|| "redis-server".into()))
            .arg("--port")
            .arg(self.port.to_string())
            .arg("--dir")
            .arg(self.folder.path())
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it answers.
    async fn answer(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_there().await {
            assert!(Instant::now() < deadline, "the server does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn is_there(&self) -> bool {
        let answer = match self.try_line().await {
            Ok(mut line) => redis::cmd("PING").exec_async(&mut line).await,
            Err(error) => Err(error),
        };
        // A server that wants a password first has come up too.
        answer.map_or_else(|error| error.code() == Some("NOAUTH"), |()| true)
    }

    async fn line(&self) -> MultiplexedConnection {
        self.try_line().await.unwrap()
    }

    async fn try_line(&self) -> redis::RedisResult<MultiplexedConnection> {
        let client = redis::Client::open(self.url())?;
        client.get_multiplexed_async_connection().await
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reports that a test is skipped for want of a program; fails if the program is required.
pub(crate) fn skip(program: &str, error: &io::Error) {
    assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    let required = env::var("CHAT_TEST_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|name| name.trim() == "redis"),
        "CHAT_TEST_REQUIRE asks for redis, and `{program}` is not installed"
    );
    let _ = writeln!(io::stderr(), "skipped: `{program}` is not installed");
}

/// A port that is free for a moment, which is long enough unless two tests race for it.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
