//! Rules for docker-compose.yml, checked on the file alone; `tests/run compose` brings it up.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result};
use chat_system::program::workspace;
use serde_json::{Map, Value};

/// What a compose file is checked against.
struct Rules {
    /// The names of the programs' settings.
    settings: BTreeSet<String>,
}

#[test]
fn the_compose_file_keeps_the_rules() -> Result<()> {
    let faults = Rules::known()?.faults(&read("docker-compose.yml")?)?;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn the_queue_is_the_counters_server_by_default() -> Result<()> {
    let file = parse(&read("docker-compose.yml")?)?;
    for name in ["api", "worker", "sync"] {
        let setting = |setting: &str| {
            let value = file["services"][name]["environment"][setting].as_str();
            value
                .map(by_default)
                .with_context(|| format!("{name} has no {setting}"))
        };
        assert_eq!(
            setting("CHAT_QUEUE_URL")?,
            setting("CHAT_COUNTER_URL")?,
            "{name}"
        );
        for server in ["CHAT_REPOSITORY_URL", "CHAT_SEARCH_URL"] {
            setting(server)?;
        }
    }
    Ok(())
}

#[test]
fn the_images_are_built_on_fixed_releases() -> Result<()> {
    let file = read("bins/Dockerfile")?;
    let mut stages = BTreeSet::new();
    for line in file.lines().filter_map(|line| line.strip_prefix("FROM ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let tag = words[0].rsplit_once(':').map(|(_, tag)| tag);
        assert!(
            tag.is_some_and(|tag| !tag.contains("latest")),
            "`{line}` is of no release"
        );
        stages.extend(words.get(2).copied());
    }
    assert_eq!(
        stages.len(),
        1,
        "one stage builds, and the last is the image"
    );
    Ok(())
}

/// A file that keeps the rules.
const FINE: &str = "
x-asked: &asked
  healthcheck: {test: [CMD, 'true']}
  restart: always
  stop_grace_period: 20s
services:
  one:
    <<: *asked
    image: example.org/one:1.2.3-small
    ports: ['${ADDRESS:-127.0.0.1}:${PORT:-8080}:80', '[::1]:81:81']
    depends_on:
      two: {condition: service_healthy}
  two:
    <<: *asked
    build: .
    image: two:local
    environment: {CHAT_LOG: info, OTHER: 1}
  three:
    <<: *asked
    image: two:local
";

/// Replacements in `FINE`: what is replaced, by what, and the fault that this makes.
const BREAKS: [(&str, &str, &str); 17] = [
    (
        "CHAT_LOG",
        "CHAT_LOGS",
        "CHAT_LOGS is no setting of the programs",
    ),
    (
        "OTHER: 1",
        "OTHER: $CHAT_QUE",
        "CHAT_QUE is no setting of the programs",
    ),
    (
        "test: [CMD, 'true']",
        "interval: 1s",
        "one has no health check",
    ),
    (
        "test: [CMD, 'true']",
        "test: [NONE]",
        "two has no health check",
    ),
    (
        "test: [CMD, 'true']",
        "test: [CMD, 'true'], disable: true",
        "two has no health check",
    ),
    (
        "      two: {condition: service_healthy}",
        "      two: {condition: service_started}",
        "one does not wait for the health of two",
    ),
    (
        "\n      two: {condition: service_healthy}",
        " [two]",
        "one does not wait for the health of two",
    ),
    (
        "      two: {",
        "      four: {",
        "one waits for four, which is not there",
    ),
    (
        "127.0.0.1",
        "0.0.0.0",
        "one publishes 0.0.0.0:8080:80 beyond loopback",
    ),
    (
        "'[::1]:81:81'",
        "82:82",
        "one publishes 82:82 beyond loopback",
    ),
    (
        "'[::1]:81:81'",
        "{target: 83, published: 83}",
        "one publishes {\"target\":83,\"published\":83} beyond loopback",
    ),
    (":1.2.3-small", "", "one has an image of no fixed version"),
    (
        "    build: .\n",
        "",
        "three has an image of no fixed version",
    ),
    (
        ":1.2.3-small",
        ":latest",
        "one has an image of no fixed version",
    ),
    (
        ":1.2.3-small",
        ":1.2",
        "one has an image of no fixed version",
    ),
    ("restart: always", "init: true", "two does not start again"),
    (
        "stop_grace_period: 20s",
        "stop_grace_period: 10s",
        "one is not given the time to end",
    ),
];

/// Shows that each rule catches a file that breaks it.
#[test]
fn a_fault_of_each_kind_is_found() -> Result<()> {
    let rules = Rules {
        settings: BTreeSet::from(["CHAT_LOG".to_owned()]),
    };
    assert_eq!(rules.faults(FINE)?, [""; 0]);
    for (from, to, fault) in BREAKS {
        let broken = FINE.replace(from, to);
        assert_ne!(broken, FINE, "`{from}` is not there");
        let faults = rules.faults(&broken)?;
        assert!(
            faults.iter().any(|found| found == fault),
            "`{to}` is no `{fault}`, but {faults:?}"
        );
    }
    Ok(())
}

impl Rules {
    /// Reads the names of the settings from the README, which another test keeps complete.
    fn known() -> Result<Self> {
        let page = read("README.md")?;
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let names = rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()));
        let settings: BTreeSet<String> = names.filter(|name| name.starts_with("CHAT_")).collect();
        assert!(
            settings.contains("CHAT_QUEUE_URL"),
            "the README lists no settings"
        );
        Ok(Self { settings })
    }

    /// Returns a sentence for each rule that is broken.
    fn faults(&self, file: &str) -> Result<Vec<String>> {
        let mut faults: Vec<String> = settings_in(file)
            .into_iter()
            .filter(|name| !self.settings.contains(name))
            .map(|name| format!("{name} is no setting of the programs"))
            .collect();
        let file = parse(file)?;
        let services = file["services"].as_object().context("there are services")?;
        for (name, service) in services {
            faults.extend(faults_of(service, services).map(|fault| format!("{name} {fault}")));
        }
        Ok(faults)
    }
}

fn faults_of(service: &Value, services: &Map<String, Value>) -> impl Iterator<Item = String> {
    let mut faults = Vec::new();
    let check = &service["healthcheck"];
    if check["test"].is_null() || check["test"][0] == "NONE" || check["disable"] == true {
        faults.push("has no health check".to_owned());
    }
    if !matches!(
        service["restart"].as_str(),
        Some("always" | "unless-stopped")
    ) {
        faults.push("does not start again".to_owned());
    }
    // It has to be longer than the programs' CHAT_SHUTDOWN_SECONDS, which defaults to 10.
    let grace = service["stop_grace_period"].as_str().unwrap_or_default();
    let seconds: Option<u64> = grace.strip_suffix('s').and_then(|text| text.parse().ok());
    if seconds.is_none_or(|seconds| seconds <= 10) {
        faults.push("is not given the time to end".to_owned());
    }
    for (other, condition) in depends_on(service) {
        if !services.contains_key(&other) {
            faults.push(format!("waits for {other}, which is not there"));
        } else if condition != "service_healthy" {
            faults.push(format!("does not wait for the health of {other}"));
        }
    }
    for port in items(&service["ports"]) {
        let shown = port.as_str().map_or_else(|| port.to_string(), by_default);
        let is_on_loopback = match port {
            Value::Object(port) => port.get("host_ip").is_some_and(|ip| ip == "127.0.0.1"),
            _ => shown.starts_with("127.0.0.1:") || shown.starts_with("[::1]:"),
        };
        if !is_on_loopback {
            faults.push(format!("publishes {shown} beyond loopback"));
        }
    }
    let image = &service["image"];
    let is_built =
        |other: &Value| !other["build"].is_null() && (other == service || other["image"] == *image);
    if !services.values().any(is_built) && !has_fixed_version(image.as_str().unwrap_or_default()) {
        faults.push("has an image of no fixed version".to_owned());
    }
    faults.into_iter()
}

/// Returns the names in a text that look like settings of the programs.
fn settings_in(text: &str) -> BTreeSet<String> {
    let is_of_name = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    text.split(|letter| !is_of_name(letter))
        .filter(|word| word.starts_with("CHAT_"))
        .map(str::to_owned)
        .collect()
}

/// Returns the services that a service waits for, each with its condition.
fn depends_on(service: &Value) -> Vec<(String, String)> {
    match &service["depends_on"] {
        Value::Object(others) => others
            .iter()
            .map(|(name, how)| {
                (
                    name.clone(),
                    how["condition"].as_str().unwrap_or_default().to_owned(),
                )
            })
            .collect(),
        others => items(others)
            .iter()
            .map(|name| (name.as_str().unwrap_or_default().to_owned(), String::new()))
            .collect(),
    }
}

/// Whether the tag of an image begins with three numbers, as in `1.2.3-small`.
fn has_fixed_version(image: &str) -> bool {
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    let version = tag.split('-').next().unwrap_or_default();
    let numbers: Vec<&str> = version.split('.').collect();
    numbers.len() == 3
        && numbers
            .iter()
            .all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Expands each `${NAME:-default}` to its default, as compose does where no variable is set.
fn by_default(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else {
        return text.to_owned();
    };
    let mut depth = 1;
    let end = rest.char_indices().find_map(|(at, letter)| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    });
    let (variable, after) = rest.split_at(end.unwrap_or(rest.len()));
    let default = variable.split_once(":-").map_or("", |(_, default)| default);
    let after = after.strip_prefix('}').unwrap_or(after);
    format!("{before}{}{}", by_default(default), by_default(after))
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn parse(file: &str) -> Result<Value> {
    serde_saphyr::from_str(file).context("reading YAML")
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(workspace().join(file)).with_context(|| format!("reading `{file}`"))
}
