//! The settings as documents, made from the same descriptions as `--help`.

use std::fmt::Write as _;

use super::{
    arguments::listed,
    source::{flag, variable},
};

/// The settings as the table of the README.
#[must_use]
pub fn markdown_table() -> String {
    let mut table = "| setting | flag | default | |\n|---|---|---|---|\n".to_owned();
    for argument in listed() {
        let default = default(&argument)
            .map(|default| format!("`{default}`"))
            .unwrap_or_default();
        let (variable, flag) = (variable(&argument), flag(&argument));
        let help = help(&argument).replace('|', "\\|");
        // A `String` takes whatever is written to it.
        let _ = writeln!(table, "| `{variable}` | `{flag}` | {default} | {help} |");
    }
    table
}

/// The settings as a file in which each is commented out and has its default.
#[must_use]
pub fn toml_sample() -> String {
    let mut sample = String::new();
    for argument in listed()
        .iter()
        .filter(|argument| argument.get_id() != "config")
    {
        let key = argument.get_id().as_str();
        let value = default(argument).unwrap_or_else(|| placeholder(argument));
        let is_number = value.parse::<u64>().is_ok();
        let value = if is_number {
            value
        } else {
            format!("{value:?}")
        };
        let _ = write!(sample, "# {}\n# {key} = {value}\n\n", help(argument));
    }
    sample.truncate(sample.trim_end().len() + 1);
    sample
}

fn help(argument: &clap::Arg) -> String {
    argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn default(argument: &clap::Arg) -> Option<String> {
    let default = argument.get_default_values().first()?;
    Some(default.to_string_lossy().into_owned())
}

/// What stands for a value that has no default.
fn placeholder(argument: &clap::Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names.first().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_described_in_every_form() {
        let (table, sample) = (markdown_table(), toml_sample());
        assert_eq!(listed().len(), 27, "a new setting is counted here");
        for argument in listed() {
            let (name, help) = (variable(&argument), help(&argument));
            assert_eq!(
                name,
                format!("CHAT_{}", argument.get_id().as_str().to_uppercase())
            );
            assert!(
                !help.is_empty() && !help.contains('\n'),
                "{name} has no line of documentation"
            );
            assert!(
                table.contains(&format!("| `{name}` |")) && table.contains(&help),
                "{name}"
            );
            let in_sample = sample.contains(&format!("\n# {} = ", argument.get_id()));
            assert!(in_sample || name == "CHAT_CONFIG", "{name}");
        }
    }

    #[test]
    fn the_sample_without_its_comment_signs_is_a_file() {
        let sample = toml_sample();
        let lines = sample.lines().filter_map(|line| line.strip_prefix("# "));
        let settings: Vec<&str> = lines.filter(|line| line.contains(" = ")).collect();
        let table: toml::Table = settings.join("\n").parse().unwrap();
        assert_eq!(table.len(), listed().len() - 1);
        assert_eq!(table["listen"].as_str(), Some("127.0.0.1:8080"));
        assert_eq!(table["sync_seconds"].as_integer(), Some(600));
    }
}
