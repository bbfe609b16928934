//! A Redis for one test alone: a server, or a cluster of three.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::{
    process::{Launch, Process},
    program::free_port,
};

/// How long Redis may take until it answers, on a busy machine.
const START: Duration = Duration::from_secs(30);

/// The polling interval.
const POLL: Duration = Duration::from_millis(2);

/// How many nodes a cluster has, each with its share of the slots.
const NODES: u32 = 3;

/// How many slots there are.
const SLOTS: u32 = 16_384;

/// One server, or the nodes of a cluster; killed when dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    process: Process,
    port: u16,
}

impl Redis {
    /// Starts it as `tests/services/up` does: a write is synced to disk before it is answered.
    ///
    /// # Errors
    ///
    /// Fails when it does not come up.
    pub(crate) async fn start(server: &str, clustered: bool, folder: &Path) -> Result<Self> {
        let mut redis = Self { nodes: Vec::new() };
        if clustered {
            let mut ports = Vec::new();
            for _ in 0..NODES {
                ports.push((free_port()?, free_port()?));
            }
            for (at, (port, bus)) in (0..).zip(&ports) {
                let folder = folder.join(format!("redis-{at}"));
                fs::create_dir(&folder).context("making a folder for Redis")?;
                fs::write(folder.join("nodes.conf"), nodes(&ports, at))?;
                // A cluster reports that it is up two seconds after its start at the earliest.
                let clustered = format!(" --cluster-enabled yes --cluster-port {bus}");
                redis.add(server, *port, &clustered, &folder)?;
            }
        } else {
            let folder = folder.join("redis");
            fs::create_dir(&folder).context("making a folder for Redis")?;
            redis.add(server, free_port()?, "", &folder)?;
        }
        let give_up = Instant::now() + START;
        for Node { process, port } in &mut redis.nodes {
            while !answers(*port, clustered).await {
                process.expect_running()?;
                ensure!(
                    Instant::now() < give_up,
                    "Redis did not answer in {START:?}"
                );
                sleep(POLL).await;
            }
        }
        Ok(redis)
    }

    /// Returns the URL that leads to it.
    pub(crate) fn url(&self) -> String {
        let ports: Vec<String> = self.nodes.iter().map(|it| it.port.to_string()).collect();
        match ports.as_slice() {
            [first, second, ..] => {
                format!("redis+cluster://127.0.0.1:{first}?node=127.0.0.1:{second}")
            }
            ports => format!("redis://127.0.0.1:{}", ports.concat()),
        }
    }

    fn add(&mut self, server: &str, port: u16, more: &str, folder: &Path) -> Result<()> {
        let arguments = format!(
            "--bind 127.0.0.1 --port {port} --appendonly yes --appendfsync always \
             --maxmemory-policy noeviction{more} --save"
        );
        let mut launch = Launch {
            file: server.into(),
            arguments: arguments.split(' ').map(Into::into).collect(),
            environment: Vec::new(),
            folder: folder.to_owned(),
        };
        launch.arguments.push("".into());
        let process = Process::start(launch)?;
        self.nodes.push(Node { process, port });
        Ok(())
    }
}

/// Builds a node's `nodes.conf`: all know the cluster from the start, and need not agree on it.
fn nodes(ports: &[(u16, u16)], own: u32) -> String {
    let mut known = String::new();
    for (at, (port, bus)) in (0..).zip(ports) {
        let epoch = at + 1;
        let flags = if at == own { "myself,master" } else { "master" };
        let (first, last) = (SLOTS * at / NODES, SLOTS * epoch / NODES - 1);
        let _ = writeln!(
            known,
            "{epoch:040} 127.0.0.1:{port}@{bus} {flags} - 0 0 {epoch} connected {first}-{last}"
        );
    }
    known + &format!("vars currentEpoch {NODES} lastVoteEpoch 0\n")
}

/// Tells whether the node, or the cluster as it sees it, is ready to serve.
async fn answers(port: u16, clustered: bool) -> bool {
    let (asked, wanted) = if clustered {
        ("CLUSTER INFO\r\n", "cluster_state:ok")
    } else {
        ("PING\r\n", "+PONG")
    };
    let answered = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(asked.as_bytes()).await?;
        let mut answer = [0; 64];
        let read = stream.read(&mut answer).await?;
        let answer = String::from_utf8_lossy(answer.get(..read).unwrap_or_default()).into_owned();
        std::io::Result::Ok(answer)
    };
    answered.await.is_ok_and(|answer| answer.contains(wanted))
}
