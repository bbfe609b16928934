//! Where a value was given, and the sentences that refuse it.

use std::{
    collections::BTreeMap, ffi::OsString, fmt, net::SocketAddr, ops::RangeInclusive, str::FromStr,
};

use clap::{ArgMatches, parser::ValueSource};
use tracing_subscriber::EnvFilter;

use super::{LogForm, SettingsError, arguments::listed, file};

/// Where a value comes from, as its user calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Flag(String),
    Environment(String),
    File { key: String, file: String },
    Default(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(formatter, "the flag `{name}`"),
            Self::Environment(name) | Self::Default(name) => {
                write!(formatter, "the setting {name}")
            }
            Self::File { key, file } => write!(formatter, "the setting `{key}` in `{file}`"),
        }
    }
}

/// The values that were given, each by its field's name, before they are checked.
///
/// It has no `Debug`: some values are secrets.
pub struct Given {
    values: BTreeMap<String, (OsString, Origin)>,
}

impl Given {
    /// Collects flags and environment from `matches`, and the file that they name.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read, or has keys that are no settings.
    pub fn try_new(matches: &ArgMatches) -> Result<Self, SettingsError> {
        let mut values = BTreeMap::new();
        for argument in listed() {
            let name = argument.get_id().as_str();
            let Some(value) = matches.get_one::<OsString>(name) else {
                continue;
            };
            let variable = variable(&argument);
            let origin = match matches.value_source(name) {
                Some(ValueSource::CommandLine) => Origin::Flag(flag(&argument)),
                Some(ValueSource::EnvVariable) => Origin::Environment(variable),
                _ => Origin::Default(variable),
            };
            values.insert(name.to_owned(), (value.clone(), origin));
        }
        let mut given = Self { values };
        if let Some((config, _)) = given.values.remove("config") {
            given.add_file(&config)?;
        }
        Ok(given)
    }

    /// Adds what the file sets and nobody overrides.
    fn add_file(&mut self, config: &OsString) -> Result<(), SettingsError> {
        let file = config.to_string_lossy().into_owned();
        for (key, value) in file::read(config.as_ref())? {
            let overridden = self
                .values
                .get(&key)
                .is_some_and(|(_, origin)| !matches!(origin, Origin::Default(_)));
            if !overridden {
                let origin = Origin::File {
                    key: key.clone(),
                    file: file.clone(),
                };
                self.values.insert(key, (value, origin));
            }
        }
        Ok(())
    }

    /// Refuses the value of `name`, saying what it must be.
    pub(super) fn refuse(&self, name: &str, wanted: impl fmt::Display) -> SettingsError {
        match self.values.get(name) {
            Some((_, origin)) => SettingsError::new(format!("{origin} must be {wanted}")),
            None => SettingsError::new(format!("the setting `{name}` must be {wanted}")),
        }
    }

    /// The value of `name` where one was given; an empty one is refused.
    pub(super) fn optional(&self, name: &str) -> Result<Option<OsString>, SettingsError> {
        match self.values.get(name) {
            Some((value, _)) if value.is_empty() => {
                Err(self.refuse(name, "left out or given a value, but it is empty"))
            }
            Some((value, _)) => Ok(Some(value.clone())),
            None => Ok(None),
        }
    }

    /// The value of `name`, which has a default.
    pub(super) fn required(&self, name: &str) -> Result<OsString, SettingsError> {
        self.optional(name)?
            .ok_or_else(|| self.refuse(name, "given"))
    }

    /// The value of `name` as text where one was given.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, SettingsError> {
        let Some(value) = self.optional(name)? else {
            return Ok(None);
        };
        value
            .into_string()
            .map(Some)
            .map_err(|_| self.refuse(name, "UTF-8 text"))
    }

    fn required_text(&self, name: &str) -> Result<String, SettingsError> {
        self.text(name)?.ok_or_else(|| self.refuse(name, "given"))
    }

    pub(super) fn address(&self, name: &str) -> Result<SocketAddr, SettingsError> {
        self.optional_address(name)?
            .ok_or_else(|| self.refuse(name, "given"))
    }

    pub(super) fn optional_address(&self, name: &str) -> Result<Option<SocketAddr>, SettingsError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            let wanted = "an IP address with a port, such as 127.0.0.1:8080";
            self.refuse(name, format_args!("{wanted}, not `{text}`"))
        })
    }

    pub(super) fn number<N: FromStr + PartialOrd + fmt::Display>(
        &self,
        name: &str,
        range: RangeInclusive<N>,
    ) -> Result<N, SettingsError> {
        let text = self.required_text(name)?;
        text.parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                self.refuse(
                    name,
                    format_args!("a number from {least} to {most}, not `{text}`"),
                )
            })
    }

    /// The name of a process: a short one, since it stands in logs and in the servers' lists.
    pub(super) fn name(&self, name: &str) -> Result<Option<String>, SettingsError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
        if text.len() > 100 || !text.bytes().all(is_plain) {
            let wanted = "1 to 100 ASCII letters, digits, `.`, `_` and `-`";
            return Err(self.refuse(name, wanted));
        }
        Ok(Some(text))
    }

    pub(super) fn log_filter(&self, name: &str) -> Result<String, SettingsError> {
        let text = self.required_text(name)?;
        if EnvFilter::try_new(&text).is_err() {
            let wanted = "a level such as info, or a filter such as info,sqlx=debug";
            return Err(self.refuse(name, format_args!("{wanted}, not `{text}`")));
        }
        Ok(text)
    }

    pub(super) fn log_form(&self, name: &str) -> Result<LogForm, SettingsError> {
        match self.required_text(name)?.as_str() {
            "auto" => Ok(LogForm::Auto),
            "text" => Ok(LogForm::Text),
            "json" => Ok(LogForm::Json),
            _ => Err(self.refuse(name, "auto, text or json")),
        }
    }
}

/// The variable that sets an argument.
pub(super) fn variable(argument: &clap::Arg) -> String {
    argument
        .get_env()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The flag that sets an argument.
pub(super) fn flag(argument: &clap::Arg) -> String {
    argument
        .get_long()
        .map(|name| format!("--{name}"))
        .unwrap_or_default()
}
