//! Strict parsing of the server's replies.

use redis::Value;

use crate::error::Failure;

/// The elements of a list; nil counts as an empty one.
pub(crate) fn list(value: Value) -> Result<Vec<Value>, Failure> {
    match value {
        Value::Array(values) | Value::Set(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        _ => Err(Failure::Strange("a list")),
    }
}

/// The bytes of a string; `None` for nil.
pub(crate) fn bytes(value: Value) -> Result<Option<Vec<u8>>, Failure> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => {
            Ok(Some(text.into_bytes()))
        }
        Value::Okay => Ok(Some(b"OK".to_vec())),
        Value::Int(number) => Ok(Some(number.to_string().into_bytes())),
        Value::Nil => Ok(None),
        _ => Err(Failure::Strange("a string")),
    }
}

/// A string that holds text; empty for nil.
pub(crate) fn text(value: Value) -> Result<String, Failure> {
    let bytes = bytes(value)?.unwrap_or_default();
    String::from_utf8(bytes).map_err(|_| Failure::Strange("text"))
}

/// A number, also one that is written as text; 0 for nil.
pub(crate) fn number(value: Value) -> Result<u64, Failure> {
    let wrong = Failure::Strange("a number");
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| wrong),
        Value::Nil => Ok(0),
        other => text(other)?.parse().map_err(|_| wrong),
    }
}

/// Names with values, whether they come as a map or as a flat list.
pub(crate) fn pairs(value: Value) -> Result<Vec<(String, Value)>, Failure> {
    match value {
        Value::Map(pairs) => pairs
            .into_iter()
            .map(|(name, value)| Ok((text(name)?, value)))
            .collect(),
        other => {
            let mut values = list(other)?.into_iter();
            let mut pairs = Vec::new();
            while let (Some(name), Some(value)) = (values.next(), values.next()) {
                pairs.push((text(name)?, value));
            }
            Ok(pairs)
        }
    }
}
