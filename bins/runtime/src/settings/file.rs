//! The optional TOML file.

use std::{collections::BTreeMap, ffi::OsString, fs, path::Path};

use toml::{Table, Value};

use super::{SettingsError, arguments::listed};

/// Reads the settings of a file; the keys are known ones, the values are as they came.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, OsString>, SettingsError> {
    let text = fs::read_to_string(path).map_err(|error| {
        let path = path.display();
        SettingsError::new(format!(
            "the file `{path}`, which CHAT_CONFIG or --config names, cannot be read: {error}"
        ))
    })?;
    parse(&text, &path.display().to_string())
}

fn parse(text: &str, file: &str) -> Result<BTreeMap<String, OsString>, SettingsError> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let reason = error
            .message()
            .lines()
            .next()
            .unwrap_or("it cannot be read");
        SettingsError::new(format!(
            "the file `{file}` is not valid TOML in line {line}: {reason}"
        ))
    })?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let known = listed()
            .iter()
            .any(|argument| argument.get_id().as_str() == key);
        if !known || key == "config" {
            return Err(SettingsError::new(format!(
                "`{key}` in `{file}` is not a setting"
            )));
        }
        let value = match value {
            Value::String(text) => text,
            Value::Integer(number) => number.to_string(),
            _ => {
                let wanted = "must be a string or a whole number";
                return Err(SettingsError::new(format!(
                    "the setting `{key}` in `{file}` {wanted}"
                )));
            }
        };
        values.insert(key, value.into());
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn texts_and_numbers_are_taken() {
        let values = parse("data = 'd'\nshutdown_seconds = 7", "chat.toml").unwrap();
        assert_eq!(values["data"], "d");
        assert_eq!(values["shutdown_seconds"], "7");
    }

    #[test]
    fn what_is_wrong_is_named_in_one_line() {
        for (text, named) in [
            ("colour = 'red'", "`colour`"),
            ("config = 'other.toml'", "`config`"),
            ("data = ['a']", "`data`"),
            ("data = 'a'\nlisten = ", "line 2"),
            ("data = 'a'\ndata = 'b'", "chat.toml"),
        ] {
            let sentence = parse(text, "chat.toml").unwrap_err().to_string();
            assert!(sentence.contains(named), "{sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
        }
    }
}
