//! The fields of a body: read in one pass without a tree, judged with all faults.

use std::fmt;

use chat_core::model::TextError;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use crate::error::Fault;

/// The most fields that a body can have.
const MOST: usize = 4;

/// The most characters of an unknown field's name that are repeated in the answer.
const LONGEST_NAME: usize = 100;

/// What a body says, field by field, and what is wrong with it so far.
#[derive(Debug)]
pub struct Fields {
    names: &'static [&'static str],
    values: [Value; MOST],
    faults: Vec<Fault>,
}

/// What a field holds: fields are texts here, so of everything else the kind is enough.
#[derive(Debug, Default)]
enum Value {
    #[default]
    Absent,
    Null,
    Text(String),
    Other,
}

/// What the JSON of a body is.
#[derive(Debug)]
pub enum Parsed {
    /// An object.
    Object(Fields),
    /// Something else.
    Other,
}

impl Fields {
    /// A body without any field.
    #[must_use]
    pub fn none(names: &'static [&'static str]) -> Self {
        Self {
            names,
            values: Default::default(),
            faults: Vec::new(),
        }
    }

    /// Reads JSON whose object may have fields of these names.
    ///
    /// # Errors
    ///
    /// Fails on what is no JSON.
    pub fn parse(json: &[u8], names: &'static [&'static str]) -> serde_json::Result<Parsed> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let parsed = Top(names).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(parsed)
    }

    /// A text that must be there.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, TextError>,
    ) -> Option<T> {
        match self.take(name) {
            Value::Absent => self.blame(name, "is missing"),
            Value::Null => self.blame(name, "must not be null"),
            Value::Other => self.blame(name, "must be a text"),
            Value::Text(text) => self.judge(name, parse(text)),
        }
    }

    /// A text that may be left out, or null.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, TextError>,
    ) -> Option<T> {
        match self.take(name) {
            Value::Absent | Value::Null => None,
            Value::Other => self.blame(name, "must be a text or null"),
            Value::Text(text) => self.judge(name, parse(text)),
        }
    }

    /// Adds a fault.
    pub fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// All that is wrong.
    #[must_use]
    pub fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Says whether nothing is wrong so far.
    #[must_use]
    pub fn is_faultless(&self) -> bool {
        self.faults.is_empty()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| *known == name)
    }

    fn take(&mut self, name: &'static str) -> Value {
        let value = self
            .position(name)
            .and_then(|position| self.values.get_mut(position));
        value.map(std::mem::take).unwrap_or_default()
    }

    fn blame<T>(&mut self, name: &str, message: impl Into<String>) -> Option<T> {
        self.faults.push(Fault::new(name, message));
        None
    }

    fn judge<T>(&mut self, name: &str, parsed: Result<T, TextError>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(error) => self.blame(name, error.to_string()),
        }
    }

    /// Keeps a field's value; a second one of the same name would leave it open which counts.
    fn keep(&mut self, position: usize, value: Value) {
        let Some(slot) = self.values.get_mut(position) else {
            return;
        };
        if let Value::Absent = slot {
            *slot = value;
        } else if let Some(name) = self.names.get(position) {
            self.faults.push(Fault::new(*name, "must be given once"));
        }
    }

    fn refuse(&mut self, unknown: &str) {
        let name: String = unknown.chars().take(LONGEST_NAME).collect();
        self.faults
            .push(Fault::new(name, "is not a field of this request"));
    }
}

/// The top level of a body.
struct Top(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Top {
    type Value = Parsed;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parsed, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A field's name: its place among the known ones, or what it is instead.
struct Name(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Result<usize, String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let position = self.0.iter().position(|known| *known == name);
        Ok(position.ok_or_else(|| name.to_owned()))
    }
}

/// Implements what is the same for all that is looked at for its kind alone.
///
/// Everything is visited to its end, since text in it may be malformed.
macro_rules! visit_other {
    ($answer:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($answer)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($answer)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($answer)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($answer)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            while items.next_element::<Skipped>()?.is_some() {}
            Ok($answer)
        }
    };
}

impl<'de> Visitor<'de> for Top {
    type Value = Parsed;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    visit_other!(Parsed::Other);

    fn visit_unit<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Parsed, E> {
        Ok(Parsed::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Parsed, A::Error> {
        let mut fields = Fields::none(self.0);
        while let Some(name) = entries.next_key_seed(Name(self.0))? {
            match name {
                Ok(position) => fields.keep(position, entries.next_value()?),
                Err(unknown) => {
                    entries.next_value::<Skipped>()?;
                    fields.refuse(&unknown);
                }
            }
        }
        Ok(Parsed::Object(fields))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    visit_other!(Value::Other);

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        while entries.next_entry::<Skipped, Skipped>()?.is_some() {}
        Ok(Value::Other)
    }
}

/// A value that nobody wants; unlike serde's own it notices malformed text.
struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Skipped {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    visit_other!(Self);

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<Self, Self>()?.is_some() {}
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use chat_core::model::{MessageBody, Sender};

    use super::*;

    const NAMES: &[&str] = &["body", "sender"];

    /// Reads a message and answers what is at fault.
    fn faults(json: &str) -> Vec<(String, String)> {
        let Ok(Parsed::Object(mut fields)) = Fields::parse(json.as_bytes(), NAMES) else {
            panic!("{json} is an object");
        };
        fields.required("body", MessageBody::parse);
        fields.optional("sender", Sender::parse);
        let faults = fields.into_faults();
        faults
            .into_iter()
            .map(|fault| (fault.field, fault.message))
            .collect()
    }

    #[test]
    fn texts_are_taken_as_they_are() {
        let json = r#" { "sender" : null, "b\u006fdy": "\ud83d\ude00 \"\u0001" } "#;
        let Ok(Parsed::Object(mut fields)) = Fields::parse(json.as_bytes(), NAMES) else {
            panic!("it is an object");
        };
        let body = fields.required("body", MessageBody::parse);
        assert_eq!(
            body.as_ref().map(MessageBody::as_str),
            Some("\u{1F600} \"\u{1}")
        );
        assert_eq!(fields.optional("sender", Sender::parse), None);
        assert!(fields.is_faultless());
    }

    #[test]
    fn every_fault_is_named() {
        let faults = faults(r#"{"sender": 5, "colour": {"a": [1, null]}, "body": " "}"#);
        let names: Vec<&str> = faults.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["colour", "body", "sender"]);
    }

    #[test]
    fn each_kind_of_fault_has_its_words() {
        for (json, message) in [
            (r"{}", "is missing"),
            (r#"{"body": null}"#, "must not be null"),
            (r#"{"body": 5}"#, "must be a text"),
            (r#"{"body": -5}"#, "must be a text"),
            (r#"{"body": 5.5}"#, "must be a text"),
            (r#"{"body": true}"#, "must be a text"),
            (r#"{"body": ["a"]}"#, "must be a text"),
            (r#"{"body": {"body": "a"}}"#, "must be a text"),
            (r#"{"body": ""}"#, "must not be blank"),
            (r#"{"body": "\u0000a"}"#, "must not contain U+0000"),
            (r#"{"body": "a", "body": "b"}"#, "must be given once"),
        ] {
            assert_eq!(
                faults(json),
                [("body".to_owned(), message.to_owned())],
                "{json}"
            );
        }
    }

    #[test]
    fn what_is_no_object_is_told_from_what_is_no_json() {
        for json in ["[]", r#"["x"]"#, r#""x""#, "7", "-7", "7.5", "null", "true"] {
            let parsed = Fields::parse(json.as_bytes(), NAMES);
            assert!(matches!(parsed, Ok(Parsed::Other)), "{json}");
        }
        let malformed: [&[u8]; 11] = [
            b"",
            b"{",
            b"{\"body\": \"a\"} x",
            b"{\"body\": \"\\ud83d\"}",
            b"{\"body\": [\"\\ud83d\"]}",
            b"{\"colour\": \"\\ud83d\"}",
            b"{\"\\ud83d\": 1}",
            b"{\"body\": \"\xff\"}",
            b"{\"body\": 'a'}",
            b"{\"body\": \"a\",}",
            b"\xef\xbb\xbf{}",
        ];
        for json in malformed {
            let text = String::from_utf8_lossy(json);
            assert!(Fields::parse(json, NAMES).is_err(), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(Fields::parse(deep.as_bytes(), NAMES).is_err());
    }
}
