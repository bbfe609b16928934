//! Parses what Prometheus scrapes, as strictly as the documentation of its formats words it.
//!
//! It is either Prometheus' own text format or `OpenMetrics`; the content type says which.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};

use crate::client::Answer;

/// The types of metrics of Prometheus' own format.
const TYPES: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];

/// The types of metrics of `OpenMetrics`.
const OPEN_TYPES: [&str; 8] = [
    "counter",
    "gauge",
    "gaugehistogram",
    "histogram",
    "info",
    "stateset",
    "summary",
    "unknown",
];

/// The suffixes that a sample's name can add to its metric's.
const SUFFIXES: [&str; 8] = [
    "_total", "_created", "_info", "_bucket", "_count", "_sum", "_gcount", "_gsum",
];

/// The metrics of a server at one moment.
#[derive(Clone, Debug)]
pub struct Exposition {
    is_open: bool,
    types: BTreeMap<String, String>,
    /// The samples, in their order.
    pub samples: Vec<Sample>,
}

/// One measured value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

impl Exposition {
    /// Reads an answer.
    ///
    /// # Errors
    ///
    /// Fails with the first line that a Prometheus server could not read.
    pub fn read(answer: &Answer) -> Result<Self> {
        ensure!(answer.status == 200, "there are no metrics: {answer}");
        let content_type = answer.header("content-type").unwrap_or_default();
        let is_open = match content_type.split(';').next() {
            Some("text/plain") => false,
            Some("application/openmetrics-text") => true,
            _ => bail!("`{content_type}` is none of Prometheus' formats"),
        };
        let text = std::str::from_utf8(&answer.body).context("reading the metrics")?;
        Self::parse(text, is_open)
    }

    fn parse(text: &str, is_open: bool) -> Result<Self> {
        ensure!(text.ends_with('\n'), "the last line has no end");
        let mut exposition = Self {
            is_open,
            types: BTreeMap::new(),
            samples: Vec::new(),
        };
        let text = if is_open {
            text.strip_suffix("# EOF\n").context("the end is missing")?
        } else {
            text
        };
        for line in text.lines() {
            exposition
                .take(line)
                .with_context(|| format!("in the line `{line}`"))?;
        }
        let mut seen = BTreeSet::new();
        for sample in &exposition.samples {
            let is_new = seen.insert((&sample.name, &sample.labels));
            ensure!(is_new, "{} {:?} is told twice", sample.name, sample.labels);
        }
        Ok(exposition)
    }

    /// Adds up how many requests were counted for a method, a route's pattern and a status.
    ///
    /// The counter and its labels may have any name; a path parameter matches whether it is written as
    /// `:id`, `{id}`, `<id>` or `*id`.
    #[must_use]
    pub fn requests(&self, method: &str, pattern: &str, status: u16) -> f64 {
        let (status, pattern) = (status.to_string(), unmarked(pattern));
        let is_of = |sample: &&Sample| {
            let has = |wanted: &str| sample.labels.values().any(|value| value == wanted);
            let is_there = sample
                .labels
                .values()
                .any(|value| unmarked(value) == pattern);
            let is_counter = self.kind(&sample.name) == Some("counter");
            is_counter && has(method) && has(&status) && is_there
        };
        self.samples
            .iter()
            .filter(is_of)
            .map(|sample| sample.value)
            .sum()
    }

    /// Returns the value of the first sample of a name; `None` where there is none, or it is not finite.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        let mut samples = self.samples.iter();
        let found = samples.find(|sample| sample.name == name);
        found
            .map(|sample| sample.value)
            .filter(|value| value.is_finite())
    }

    /// Returns the type of the metric that a sample of this name belongs to.
    fn kind(&self, name: &str) -> Option<&str> {
        let suffixes = SUFFIXES.iter();
        let metrics = suffixes.filter_map(|suffix| name.strip_suffix(suffix));
        let mut kinds = metrics
            .chain([name])
            .filter_map(|name| self.types.get(name));
        kinds.next().map(String::as_str)
    }

    fn take(&mut self, line: &str) -> Result<()> {
        if line.is_empty() {
            ensure!(!self.is_open, "the line is empty");
            return Ok(());
        }
        let Some(comment) = line.strip_prefix('#') else {
            let sample = Sample::parse(line)?;
            if self.is_open && self.kind(&sample.name) == Some("counter") {
                let is_right = ["_total", "_created"]
                    .iter()
                    .any(|end| sample.name.ends_with(end));
                ensure!(is_right, "a counter's sample ends in neither");
            }
            self.samples.push(sample);
            return Ok(());
        };
        let mut words = comment.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("TYPE"), Some(name), Some(kind)) => self.take_type(name, kind),
            (Some("HELP" | "UNIT"), Some(name), _) => {
                ensure!(is_name(name), "`{name}` is no name");
                Ok(())
            }
            (Some("TYPE" | "HELP" | "UNIT"), ..) => bail!("the comment is cut short"),
            _ if self.is_open => bail!("there are no remarks"),
            _ => Ok(()),
        }
    }

    fn take_type(&mut self, name: &str, kind: &str) -> Result<()> {
        ensure!(is_name(name), "`{name}` is no name");
        let kinds = if self.is_open {
            &OPEN_TYPES[..]
        } else {
            &TYPES
        };
        ensure!(kinds.contains(&kind), "`{kind}` is no type");
        let is_late = self.samples.iter().any(|sample| sample.name == name);
        ensure!(!is_late, "the type of `{name}` follows its samples");
        let before = self.types.insert(name.to_owned(), kind.to_owned());
        ensure!(before.is_none(), "the type of `{name}` is told twice");
        Ok(())
    }
}

impl Sample {
    fn parse(line: &str) -> Result<Self> {
        let end = line.find(['{', ' ']).context("there is no value")?;
        let (name, mut rest) = line.split_at(end);
        ensure!(is_name(name), "`{name}` is no name");
        let mut labels = BTreeMap::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = read_labels(inside, &mut labels)?;
        }
        let mut words = rest.split_ascii_whitespace();
        let value = words.next().context("there is no value")?;
        let value = value
            .parse()
            .with_context(|| format!("`{value}` is no number"))?;
        if let Some(moment) = words.next() {
            moment.parse::<i64>().context("reading the moment")?;
        }
        ensure!(words.next().is_none(), "something follows the value");
        Ok(Self {
            name: name.to_owned(),
            labels,
            value,
        })
    }
}

/// Reads labels up to their closing brace and returns what follows.
fn read_labels<'a>(text: &'a str, labels: &mut BTreeMap<String, String>) -> Result<&'a str> {
    let mut rest = text;
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok(behind);
        }
        let (name, behind) = rest.split_once("=\"").context("a label has no value")?;
        ensure!(
            is_name(name) && !name.contains(':'),
            "`{name}` is no name of a label"
        );
        let mut value = String::new();
        let mut letters = behind.char_indices();
        let end = loop {
            match letters.next().context("a label does not end")? {
                (end, '"') => break end,
                (_, '\\') => value.push(match letters.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, letter @ ('\\' | '"'))) => letter,
                    other => bail!("{other:?} is escaped"),
                }),
                (_, letter) => value.push(letter),
            }
        };
        let before = labels.insert(name.to_owned(), value);
        ensure!(before.is_none(), "the label `{name}` is given twice");
        rest = behind.get(end + 1..).unwrap_or_default();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    text.bytes().next().is_some_and(is_letter)
        && text
            .bytes()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// Replaces each parameter of a path by the same placeholder.
fn unmarked(pattern: &str) -> String {
    let parts = pattern.split('/').map(|part| {
        let is_marked = part.starts_with([':', '{', '<', '*']);
        if is_marked { "{}" } else { part }
    });
    parts.collect::<Vec<&str>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP requests_total Requests, \"all\".
# TYPE requests_total counter
requests_total{method=\"GET\",route=\"/a/:b\",status=\"200\"} 3
requests_total{method=\"GET\",route=\"/a/:b\",status=\"404\",} 1 1795254800
# a remark
seconds_bucket{route=\"\\\"\\\\\\n}\",le=\"+Inf\"} +Inf

up 1e0
";

    #[test]
    fn what_the_documentation_shows_is_read() {
        let exposition = Exposition::parse(TEXT, false).unwrap();
        assert_eq!(exposition.samples.len(), 4);
        assert_eq!(exposition.samples[2].labels["route"], "\"\\\n}");
        assert_eq!(exposition.samples[3].labels, BTreeMap::new());
        let counted = |pattern, status| exposition.requests("GET", pattern, status);
        assert!((counted("/a/{b}", 200) - 3.0).abs() < f64::EPSILON);
        assert!((counted("/a/{c}", 404) - 1.0).abs() < f64::EPSILON);
        assert!(counted("/a", 200).abs() < f64::EPSILON);
    }

    #[test]
    fn what_no_server_could_read_is_refused() {
        for wrong in [
            "up 1",
            "up\n",
            "up one\n",
            "up 1 now\n",
            "up 1 2 3\n",
            "9up 1\n",
            "up{a} 1\n",
            "up{a=\"b} 1\n",
            "up{a=\"\\x\"} 1\n",
            "up{a=\"b\",a=\"c\"} 1\n",
            "up 1\nup 2\n",
            "up 1\n# TYPE up gauge\n",
            "# TYPE up gauge\n# TYPE up gauge\n",
            "# TYPE up speed\n",
            "# TYPE up\n",
        ] {
            assert!(Exposition::parse(wrong, false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn open_metrics_are_read_by_their_own_rules() {
        let text = "# TYPE requests counter\n# UNIT requests requests\n\
                    requests_total{m=\"GET\",r=\"/a\",s=\"200\"} 3\n# TYPE build info\nbuild_info 1\n";
        let exposition = Exposition::parse(&format!("{text}# EOF\n"), true).unwrap();
        assert!((exposition.requests("GET", "/a", 200) - 3.0).abs() < f64::EPSILON);
        for wrong in [
            text,
            "\n# EOF\n",
            "# a remark\n# EOF\n",
            "# TYPE up untyped\n# EOF\n",
            "# TYPE up counter\nup 1\n# EOF\n",
        ] {
            assert!(Exposition::parse(wrong, true).is_err(), "{wrong}");
        }
    }
}
