//! Which node of a cluster has which slots.

use std::collections::BTreeSet;

use redis::Value;

use crate::{error::Failure, reply};

/// Where a node is: host and port.
pub(crate) type Endpoint = (String, u16);

/// The slots of all nodes, as one node reports them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Topology {
    ranges: Vec<Range>,
}

/// A range of slots and its nodes: first the master, then its replicas.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    first: u64,
    last: u64,
    nodes: Vec<Endpoint>,
}

impl Topology {
    /// Reads the answer to `CLUSTER SLOTS`; a node without a host is at the host that was asked.
    pub(crate) fn parse(answer: Value, asked: &str) -> Result<Self, Failure> {
        let ranges = reply::list(answer)?.into_iter();
        let ranges = ranges.map(|range| {
            let mut parts = reply::list(range)?.into_iter();
            let mut number = || reply::number(parts.next().unwrap_or_default());
            let (first, last) = (number()?, number()?);
            let nodes = parts.map(|node| endpoint(node, asked));
            Ok(Range {
                first,
                last,
                nodes: nodes.collect::<Result<Vec<_>, Failure>>()?,
            })
        });
        Ok(Self {
            ranges: ranges.collect::<Result<_, Failure>>()?,
        })
    }

    /// The master of a slot.
    pub(crate) fn master(&self, slot: u64) -> Option<&Endpoint> {
        let mut ranges = self.ranges.iter();
        let range = ranges.find(|range| (range.first..=range.last).contains(&slot))?;
        range.nodes.first()
    }

    /// All nodes, masters and replicas.
    pub(crate) fn all(&self) -> BTreeSet<&Endpoint> {
        self.ranges.iter().flat_map(|range| &range.nodes).collect()
    }
}

fn endpoint(node: Value, asked: &str) -> Result<Endpoint, Failure> {
    let mut parts = reply::list(node)?.into_iter();
    let mut next = || parts.next().unwrap_or_default();
    let host = reply::text(next())?;
    let port = u16::try_from(reply::number(next())?).map_err(|_| Failure::Strange("a port"))?;
    let host = match host.as_str() {
        "" | "?" => asked.to_owned(),
        _ => host,
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: Option<&str>, port: i64) -> Value {
        let host = host.map_or(Value::Nil, |host| Value::SimpleString(host.to_owned()));
        Value::Array(vec![
            host,
            Value::Int(port),
            Value::SimpleString("id".to_owned()),
        ])
    }

    #[test]
    fn a_slot_is_found_at_its_master() {
        let answer = Value::Array(vec![
            Value::Array(vec![
                Value::Int(0),
                Value::Int(99),
                node(Some("one"), 7),
                node(Some("two"), 8),
            ]),
            Value::Array(vec![Value::Int(200), Value::Int(299), node(None, 9)]),
        ]);
        let topology = Topology::parse(answer, "here").unwrap();
        let (one, two, here) = (
            ("one".to_owned(), 7),
            ("two".to_owned(), 8),
            ("here".to_owned(), 9),
        );
        assert_eq!(topology.master(99), Some(&one));
        assert_eq!(topology.master(100), None);
        assert_eq!(topology.master(200), Some(&here));
        assert_eq!(topology.all(), BTreeSet::from([&one, &two, &here]));
    }

    #[test]
    fn what_is_no_list_of_slots_is_refused() {
        for answer in [
            Value::Int(1),
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![Value::Array(vec![
                Value::Int(0),
                Value::Int(9),
                node(Some("one"), 70_000),
            ])]),
        ] {
            assert!(Topology::parse(answer, "here").is_err());
        }
    }
}
