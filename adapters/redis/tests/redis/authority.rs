//! A certificate authority for tests, and what it certifies.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::private_server::skip;

/// The variable that names the file of the authorities that a process trusts.
const TRUSTED: &str = "SSL_CERT_FILE";

/// The variable that names the folder of the authority that a child process trusts.
const FOLDER: &str = "CHAT_TEST_AUTHORITY";

/// A certificate authority with one server certificate, which is for 127.0.0.1 alone.
pub(crate) struct Authority {
    folder: PathBuf,
    _temporary: Option<TempDir>,
}

impl Authority {
    /// Makes one that nobody trusts; `None` if `openssl` is missing and not required.
    pub(crate) fn unknown() -> Option<Self> {
        let temporary = TempDir::new().unwrap();
        let folder = temporary.path().to_owned();
        let new = |name: &str, arguments: &[&str]| {
            let made = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
                .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
                .args(["-subj", &format!("/CN={name}")])
                .args(["-keyout", &format!("{name}.key")])
                .args(["-out", &format!("{name}.pem")])
                .args(arguments)
                .current_dir(&folder)
                .output();
            let made = made.map_err(|error| skip("openssl", &error)).ok()?;
            assert!(made.status.success(), "{made:?}");
            Some(())
        };
        new("authority", &[])?;
        new(
            "server",
            &[
                "-CA",
                "authority.pem",
                "-CAkey",
                "authority.key",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ],
        )?;
        Some(Self {
            folder,
            _temporary: Some(temporary),
        })
    }

    /// The authority that this process trusts.
    ///
    /// A process that trusts none runs the test in a child process that does, and gets `None`: it has
    /// nothing left to do.
    pub(crate) fn trusted(test: &str) -> Option<Self> {
        if let Some(folder) = env::var_os(FOLDER) {
            return Some(Self {
                folder: folder.into(),
                _temporary: None,
            });
        }
        let authority = Self::unknown()?;
        let again = Command::new(env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(TRUSTED, authority.folder.join("authority.pem"))
            .env(FOLDER, &authority.folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&again.stdout);
        assert!(
            again.status.success() && said.contains(" 1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&again.stderr)
        );
        None
    }

    /// The arguments that make a server speak TLS, to its clients and to other nodes.
    pub(crate) fn arguments(&self, port: u16) -> Vec<String> {
        let file = |name: &str| Path::new(&self.folder).join(name).display().to_string();
        [
            ("--tls-port", port.to_string()),
            ("--tls-ca-cert-file", file("authority.pem")),
            ("--tls-cert-file", file("server.pem")),
            ("--tls-key-file", file("server.key")),
            ("--tls-auth-clients", "no".to_owned()),
            ("--tls-cluster", "yes".to_owned()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }
}
