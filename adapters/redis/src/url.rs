//! The URL of Redis, as an operator writes it.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, io::tcp::TcpSettings};

use crate::{error::OpenError, topology::Endpoint};

/// A parsed URL.
pub(crate) struct RedisUrl {
    /// Whether it is a cluster, of which some nodes are named.
    pub(crate) clustered: bool,
    /// How to connect, to the one server or to the nodes that are named.
    pub(crate) seeds: Vec<ConnectionInfo>,
}

impl RedisUrl {
    pub(crate) fn parse(url: &str, settings: &TcpSettings) -> Result<Self, OpenError> {
        let wrong = |_| OpenError::Setting {
            what: "the URL of Redis",
            wanted: "`redis://[user[:password]@]host[:port][/database]`, `rediss://…` for TLS, or \
                     `redis+cluster://[user[:password]@]host[:port][?node=host[:port]…]` or \
                     `rediss+cluster://…` for a cluster",
        };
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        let Some(scheme) = scheme.strip_suffix("+cluster") else {
            let seed = url.into_connection_info().map_err(wrong)?;
            return Ok(Self {
                clustered: false,
                seeds: vec![seed.set_tcp_settings(settings.clone())],
            });
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (nodes, query): (Vec<&str>, Vec<&str>) = query
            .split('&')
            .filter(|part| !part.is_empty())
            .partition(|part| part.starts_with("node="));
        let (user, first) = place
            .rsplit_once('@')
            .map_or(("", place), |(user, first)| (user, first));
        let at = if user.is_empty() { "" } else { "@" };
        let hosts = nodes.iter().filter_map(|node| node.strip_prefix("node="));
        let mut seeds = Vec::new();
        for host in std::iter::once(first).chain(hosts) {
            let url = format!("{scheme}://{user}{at}{host}?{}", query.join("&"));
            let seed = url
                .trim_end_matches('?')
                .into_connection_info()
                .map_err(wrong)?;
            if seed.redis_settings().db() != 0 {
                return Err(OpenError::Setting {
                    what: "the database in the URL of a Redis Cluster",
                    wanted: "left out, since a cluster has only one",
                });
            }
            seeds.push(seed.set_tcp_settings(settings.clone()));
        }
        Ok(Self {
            clustered: true,
            seeds,
        })
    }
}

/// How to connect to another node, with the settings and credentials of a known one.
pub(crate) fn beside(known: &ConnectionInfo, (host, port): &Endpoint) -> ConnectionInfo {
    let mut address = known.addr().clone();
    match &mut address {
        ConnectionAddr::Tcp(old_host, old_port) => {
            (*old_host, *old_port) = (host.clone(), *port);
        }
        ConnectionAddr::TcpTls {
            host: old_host,
            port: old_port,
            ..
        } => (*old_host, *old_port) = (host.clone(), *port),
        // A cluster is only reached over TCP.
        _ => {}
    }
    known.clone().set_addr(address)
}

/// A server's address without credentials, for messages and as its name.
pub(crate) fn address(place: &ConnectionAddr) -> String {
    match place {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            format!("{host}:{port}")
        }
        ConnectionAddr::Unix(path) => path.display().to_string(),
        other => other.to_string(),
    }
}

/// The host of an address; empty where there is none.
pub(crate) fn host(place: &ConnectionAddr) -> &str {
    match place {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(url: &str) -> Option<(bool, Vec<String>)> {
        let url = RedisUrl::parse(url, &TcpSettings::default()).ok()?;
        let seeds = url.seeds.iter().map(|seed| address(seed.addr())).collect();
        Some((url.clustered, seeds))
    }

    #[test]
    fn a_cluster_is_named_by_some_of_its_nodes() {
        assert_eq!(
            seeds("redis://one:7/3"),
            Some((false, vec!["one:7".to_owned()]))
        );
        assert_eq!(
            seeds("redis+cluster://one"),
            Some((true, vec!["one:6379".to_owned()]))
        );
        assert_eq!(
            seeds("rediss+cluster://ann:secret@one:7/?node=two:8&node=three"),
            Some((
                true,
                ["one:7", "two:8", "three:6379"].map(str::to_owned).to_vec()
            ))
        );
        for wrong in [
            "redis+cluster://one/1",
            "redis+cluster://",
            "redis+sentinel://one",
            "one+cluster",
        ] {
            assert_eq!(seeds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_node_is_told_the_password() {
        let url = "redis+cluster://ann:secret@one?node=two";
        let url = RedisUrl::parse(url, &TcpSettings::default()).unwrap();
        let third = beside(&url.seeds[0], &("three".to_owned(), 9));
        assert_eq!(address(third.addr()), "three:9");
        for info in url.seeds.iter().chain([&third]) {
            assert_eq!(info.redis_settings().username(), Some("ann"));
            assert_eq!(info.redis_settings().password(), Some("secret"));
        }
    }
}
