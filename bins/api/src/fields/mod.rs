//! The fields of a body: parsed in one pass without a tree, and validated with all faults reported.

use std::{borrow::Cow, fmt};

use chat_core::model::TextError;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{error::Fault, query::whole_number};

mod malformed;

pub use malformed::Malformed;

/// The most fields that a body can have.
const MOST: usize = 4;

/// The most unknown fields that an answer names.
const MOST_UNKNOWN: usize = 20;

/// The most characters of an unknown field's name that are repeated in the answer.
const LONGEST_NAME: usize = 100;

/// What a body says, field by field, and what is wrong with it so far.
#[derive(Debug)]
pub struct Fields {
    names: &'static [&'static str],
    values: [Value; MOST],
    faults: Vec<Fault>,
    unknown: Vec<Fault>,
}

/// What a field holds.
#[derive(Debug, Default)]
enum Value {
    #[default]
    Absent,
    Null,
    Text(String),
    WholeNumber(u64),
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
            unknown: Vec::new(),
        }
    }

    /// Reads JSON whose object may have fields of these names.
    ///
    /// Values are only delimited at first, so that neither depth nor size of what is not wanted
    /// matters.
    ///
    /// # Errors
    ///
    /// Fails on what is not JSON.
    pub fn parse(json: &[u8], names: &'static [&'static str]) -> Result<Parsed, Malformed> {
        let json = malformed::check_encoding(json)?;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let parsed = if json.trim_ascii_start().starts_with('{') {
            Parsed::Object(deserializer.deserialize_map(Object(names))?)
        } else {
            deserializer.deserialize_ignored_any(IgnoredAny)?;
            Parsed::Other
        };
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
            Value::WholeNumber(_) | Value::Other => self.blame(name, "must be a string"),
            Value::Text(text) => self.judge(name, parse(text)),
        }
    }

    /// A text that must be there, or null.
    pub fn nullable<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, TextError>,
    ) -> Option<T> {
        match self.take(name) {
            Value::Absent => self.blame(name, "is missing"),
            value => self.text_or_null(name, value, parse),
        }
    }

    /// A text that may be left out, or null.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, TextError>,
    ) -> Option<T> {
        let value = self.take(name);
        self.text_or_null(name, value, parse)
    }

    /// A whole number that may be left out, or null; `wanted` is what it must be.
    pub fn number<T>(
        &mut self,
        name: &'static str,
        wanted: &'static str,
        parse: impl FnOnce(u64) -> Option<T>,
    ) -> Option<T> {
        let parsed = match self.take(name) {
            Value::Absent | Value::Null => return None,
            Value::WholeNumber(number) => parse(number),
            Value::Text(_) | Value::Other => None,
        };
        parsed.or_else(|| self.blame(name, wanted))
    }

    fn text_or_null<T>(
        &mut self,
        name: &'static str,
        value: Value,
        parse: impl FnOnce(String) -> Result<T, TextError>,
    ) -> Option<T> {
        match value {
            Value::Absent | Value::Null => None,
            Value::WholeNumber(_) | Value::Other => self.blame(name, "must be a string or null"),
            Value::Text(text) => self.judge(name, parse(text)),
        }
    }

    /// Adds a fault.
    pub fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// All faults, with the unknown fields last.
    #[must_use]
    pub fn into_faults(self) -> Vec<Fault> {
        let Self {
            mut faults,
            unknown,
            ..
        } = self;
        faults.extend(unknown);
        faults
    }

    /// Says whether nothing is wrong so far.
    #[must_use]
    pub fn is_faultless(&self) -> bool {
        self.faults.is_empty() && self.unknown.is_empty()
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

    /// Keeps a field's value; a second one is a fault, since it would be unclear which counts.
    fn keep(&mut self, name: &str, raw: &RawValue) -> serde_json::Result<()> {
        let Some(position) = self.position(name) else {
            self.refuse(name);
            return Ok(());
        };
        let value = Value::read(raw)?;
        if let Some(slot @ Value::Absent) = self.values.get_mut(position) {
            *slot = value;
        } else if !self.faults.iter().any(|fault| fault.field == name) {
            self.faults.push(Fault::new(name, "must be given once"));
        }
        Ok(())
    }

    fn refuse(&mut self, unknown: &str) {
        if self.unknown.len() < MOST_UNKNOWN {
            let name: String = unknown.chars().take(LONGEST_NAME).collect();
            self.unknown
                .push(Fault::new(name, "is not a field of this request"));
        }
    }
}

impl Value {
    /// Reads a text or a whole number; of everything else the kind is enough.
    fn read(raw: &RawValue) -> serde_json::Result<Self> {
        let json = raw.get();
        Ok(match json.bytes().next() {
            Some(b'n') => Self::Null,
            Some(b'"') => Self::Text(serde_json::from_str(json)?),
            _ => whole_number(json).map_or(Self::Other, Self::WholeNumber),
        })
    }
}

/// Reads an object whose fields have one of these names.
struct Object(&'static [&'static str]);

impl<'de> Visitor<'de> for Object {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::none(self.0);
        while let Some((name, raw)) = entries.next_entry_seed(Name, std::marker::PhantomData)? {
            fields.keep(&name, raw).map_err(serde::de::Error::custom)?;
        }
        Ok(fields)
    }
}

/// A field's name, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(name.into())
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(name.to_owned().into())
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
        assert_eq!(names, ["body", "sender", "colour"]);
    }

    #[test]
    fn each_kind_of_fault_has_its_words() {
        for (json, message) in [
            (r"{}", "is missing"),
            (r#"{"body": null}"#, "must not be null"),
            (r#"{"body": 5}"#, "must be a string"),
            (r#"{"body": -5}"#, "must be a string"),
            (r#"{"body": 5.5}"#, "must be a string"),
            (r#"{"body": true}"#, "must be a string"),
            (r#"{"body": ["a"]}"#, "must be a string"),
            (r#"{"body": 1e999}"#, "must be a string"),
            (r#"{"body": {"body": "a"}}"#, "must be a string"),
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
        let malformed: [&[u8]; 14] = [
            b"",
            b"{",
            b"{\"body\": \"a\"} x",
            b"{\"body\": \"\\ud83d\"}",
            b"{\"body\": [\"\\ud83d\"]}",
            b"{\"colour\": \"\\ud83d\"}",
            b"{\"\\ud83d\": 1}",
            b"{\"colour\": \"\\ude00\\ud83d\"}",
            b"{\"colour\": \"\\ud83d\\\\ude00\"}",
            b"{\"colour\": 01}",
            b"{\"body\": \"\xff\"}",
            b"{\"body\": 'a'}",
            b"{\"body\": \"a\",}",
            b"\xef\xbb\xbf{}",
        ];
        for json in malformed {
            let text = String::from_utf8_lossy(json);
            assert!(Fields::parse(json, NAMES).is_err(), "{text}");
        }
        let unended = "[".repeat(100_000);
        assert!(Fields::parse(unended.as_bytes(), NAMES).is_err());
    }

    #[test]
    fn depth_is_no_fault_of_the_grammar() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let parsed = Fields::parse(deep.as_bytes(), NAMES);
        assert!(matches!(parsed, Ok(Parsed::Other)));
        let fields = |name: &str| faults(&format!("{{\"body\": \"a\", \"{name}\": {deep}}}"));
        let fault = |name: &str, message: &str| [(name.to_owned(), message.to_owned())];
        assert_eq!(
            fields("sender"),
            fault("sender", "must be a string or null")
        );
        assert_eq!(
            fields("colour"),
            fault("colour", "is not a field of this request")
        );
    }

    #[test]
    fn a_backslash_that_is_escaped_begins_no_escape() {
        let json = r#"{"body": "\\ud83d \\\\ud83d"}"#;
        assert_eq!(faults(json), []);
    }

    #[test]
    fn real_faults_come_before_unknown_fields() {
        let unknown: Vec<String> = (0..500).map(|n| format!("\"x{n}\": 1")).collect();
        let told = faults(&format!("{{{}, \"body\": 5}}", unknown.join(",")));
        assert_eq!(told[0].0, "body");
        assert_eq!(told.len(), 1 + MOST_UNKNOWN);
    }

    #[test]
    fn a_number_is_whole() {
        let number = |json: &str| {
            let Ok(Parsed::Object(mut fields)) = Fields::parse(json.as_bytes(), &["limit"]) else {
                panic!("{json} is an object");
            };
            let number = fields.number("limit", "must be 7", |number| (number == 7).then_some(7));
            (number, fields.is_faultless())
        };
        assert_eq!(number(r#"{"limit": 7}"#), (Some(7), true));
        for absent in ["{}", r#"{"limit": null}"#] {
            assert_eq!(number(absent), (None, true));
        }
        for wrong in [
            "8",
            "7.0",
            "-7",
            "7e0",
            "\"7\"",
            "[7]",
            "1e999",
            "18446744073709551623",
        ] {
            let json = format!("{{\"limit\": {wrong}}}");
            assert_eq!(number(&json), (None, false), "{json}");
        }
    }
}
