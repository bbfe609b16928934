//! A server of the test's own, to be killed and started again.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions as _, Connection as _, mysql::MySqlConnectOptions};
use tempfile::TempDir;

use crate::fresh;

/// A MariaDB on a port and a folder of its own, which ends with the test.
pub(crate) struct PrivateServer {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl PrivateServer {
    /// Starts one, of the program that `CHAT_TEST_MYSQL_SERVER` names or that is installed; `None` where
    /// there is none.
    pub(crate) async fn start() -> Option<Self> {
        let (Some(install), Some(_)) = (program("mariadb-install-db"), mariadbd()) else {
            assert!(
                !fresh::is_required(),
                "CHAT_TEST_REQUIRE names mysql, but mariadbd and mariadb-install-db are not installed"
            );
            eprintln!("skipped, since MariaDB's programs are not installed");
            return None;
        };
        let folder = TempDir::new().unwrap();
        let installed = Command::new(install)
            .arg("--no-defaults")
            .arg(format!(
                "--datadir={}",
                folder.path().join("data").display()
            ))
            .args([
                "--auth-root-authentication-method=normal",
                "--cross-bootstrap",
                "--skip-test-db",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(installed.success(), "mariadb-install-db: {installed}");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let child = launch(&folder, port);
        let server = Self {
            folder,
            port,
            child,
        };
        server.wait().await;
        Some(server)
    }

    /// The address of a database on it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, on what it has on its disk.
    pub(crate) async fn start_again(&mut self) {
        self.child = launch(&self.folder, self.port);
        self.wait().await;
    }

    /// Waits until it answers.
    async fn wait(&self) {
        let options: MySqlConnectOptions = self.url("").parse().unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            match options.connect().await {
                Ok(connection) => return connection.close().await.unwrap(),
                Err(error) => assert!(Instant::now() < deadline, "it does not start: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("a private server is left behind: {error}");
        }
    }
}

fn launch(folder: &TempDir, port: u16) -> Child {
    let folder = folder.path();
    // The server refuses to run as root unless it is told to.
    let is_administrator = fs::metadata(folder).unwrap().uid() == 0;
    let user = is_administrator.then_some("--user=root");
    Command::new(mariadbd().unwrap())
        .arg("--no-defaults")
        .args(user)
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--port={port}"))
        .args([
            // Relative to the data folder, whose path may be too long for a socket.
            "--socket=socket",
            "--bind-address=127.0.0.1",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=64M",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn mariadbd() -> Option<PathBuf> {
    let named = std::env::var_os("CHAT_TEST_MYSQL_SERVER").map(PathBuf::from);
    named.or_else(|| program("mariadbd"))
}

/// Finds a program, even where only root looks for programs.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let mut files = folders.iter().map(|folder| folder.join(name));
    files.find(|file| file.is_file())
}
