//! Entries of a shard's stream: their fields, and the creations that they stand for.

use chat_core::{
    model::{Creation, DecodeError, Draft, Epoch, Number},
    ports::Entry,
};
use redis::Value;

use crate::{error::Failure, keys::sequence_name, reply};

/// The fields of an entry as they came, whoever wrote them.
#[derive(Default)]
pub(crate) struct Fields {
    number: Option<Number>,
    epoch: Option<Epoch>,
    payload: Option<Vec<u8>>,
    pub(crate) forced: bool,
    /// The unknown fields, as lines of `name=value`.
    strange: Vec<u8>,
}

impl Fields {
    pub(crate) fn parse(value: Value) -> Result<Self, Failure> {
        let mut fields = Self::default();
        let mut values = reply::list(value)?.into_iter();
        while let (Some(name), Some(value)) = (values.next(), values.next()) {
            let name = reply::bytes(name)?.unwrap_or_default();
            let value = reply::bytes(value)?.unwrap_or_default();
            match name.as_slice() {
                b"n" => fields.number = parse(&value).and_then(|it| Number::try_new(it).ok()),
                b"e" => fields.epoch = parse(&value).map(Epoch::new),
                b"d" => fields.payload = Some(value),
                b"f" => fields.forced = value == b"1",
                b"s" => {}
                _ => {
                    fields.strange.extend_from_slice(&name);
                    fields.strange.push(b'=');
                    fields.strange.extend_from_slice(&value);
                    fields.strange.push(b'\n');
                }
            }
        }
        Ok(fields)
    }

    /// The creation that it stands for; `None` where this program cannot read it.
    pub(crate) fn creation(&self) -> Option<Creation> {
        Some(Creation {
            number: self.number?,
            epoch: self.epoch?,
            draft: Draft::decode(self.payload.as_deref()?).ok()?,
        })
    }

    /// What to hand to a worker: a creation, or an unreadable entry.
    pub(crate) fn entry(self) -> Entry {
        let (Some(number), Some(epoch), Some(payload)) = (self.number, self.epoch, &self.payload)
        else {
            return self.unreadable("the entry lacks a number, an epoch or a payload", false);
        };
        match Draft::decode(payload) {
            Ok(draft) => Entry::Creation(Creation {
                number,
                epoch,
                draft,
            }),
            Err(error) => {
                let newer = matches!(error, DecodeError::Newer(_));
                self.unreadable(&error.to_string(), newer)
            }
        }
    }

    fn unreadable(self, detail: &str, newer: bool) -> Entry {
        Entry::Unreadable {
            number: self.number,
            epoch: self.epoch.unwrap_or_default(),
            payload: self.payload.unwrap_or(self.strange),
            detail: detail.to_owned(),
            newer,
        }
    }
}

/// An entry with its id in the stream.
pub(crate) struct Stored {
    pub(crate) id: String,
    /// `None` where only the id is left.
    pub(crate) fields: Option<Fields>,
}

/// Reads the entries of one stream.
pub(crate) fn entries(value: Value) -> Result<Vec<Stored>, Failure> {
    let entries = reply::list(value)?.into_iter();
    entries
        .map(|entry| {
            let mut parts = reply::list(entry)?.into_iter();
            let id = reply::text(parts.next().unwrap_or_default())?;
            let fields = match parts.next() {
                None | Some(Value::Nil) => None,
                Some(fields) => Some(Fields::parse(fields)?),
            };
            Ok(Stored { id, fields })
        })
        .collect()
}

/// The fields of a creation that is published, the payload last.
pub(crate) fn written(creation: &Creation, forced: bool) -> Vec<(&'static str, Vec<u8>)> {
    let mut fields = vec![
        ("n", creation.number.to_string().into_bytes()),
        ("e", creation.epoch.to_string().into_bytes()),
        ("s", sequence_name(&creation.sequence()).into_bytes()),
    ];
    if forced {
        fields.push(("f", b"1".to_vec()));
    }
    fields.push(("d", creation.draft.encode()));
    fields
}

fn parse(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
