//! The table: a line for each pair of rounds, the medians at the end.

use std::{
    io::{Write as _, stdout},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

/// What one server did in one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Round {
    /// Requests a second.
    pub(crate) per_second: f64,
    /// The latency that half of them stayed below, in milliseconds.
    pub(crate) p50_ms: f64,
    /// The latency that 99 of 100 stayed below, in milliseconds.
    pub(crate) p99_ms: f64,
}

impl Round {
    /// Sums up the latencies (microseconds) of a round that took `elapsed`.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a round has far less than 2^52 creates"
    )]
    pub(crate) fn new(mut latencies: Vec<u32>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        Self {
            per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
            p50_ms: percentile_ms(&latencies, 50),
            p99_ms: percentile_ms(&latencies, 99),
        }
    }
}

fn percentile_ms(sorted: &[u32], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted
        .get(index)
        .map_or(0.0, |micros| f64::from(*micros) / 1000.0)
}

/// The rounds so far, printed as they come.
#[derive(Debug)]
pub(crate) struct Report {
    yardstick: &'static str,
    rounds: Vec<(Round, Round)>,
}

impl Report {
    /// Starts an empty table; `yardstick` is what the `api` is compared with.
    pub(crate) fn of(yardstick: &'static str) -> Self {
        Self {
            yardstick,
            rounds: Vec::new(),
        }
    }

    /// Adds a pair of rounds and prints it.
    ///
    /// # Errors
    ///
    /// Fails when standard output is closed.
    pub(crate) fn add(&mut self, yardstick: Round, api: Round) -> Result<()> {
        if self.rounds.is_empty() {
            say(&format!(
                "{:>22}   p50 ms   p99 ms      api: 1/s   p50 ms   p99 ms    ratio",
                format!("{}: 1/s", self.yardstick)
            ))?;
        }
        self.rounds.push((yardstick, api));
        say_line(&self.rounds.len().to_string(), yardstick, api)
    }

    /// Prints the medians and returns the ratio of the two rates.
    ///
    /// # Errors
    ///
    /// Fails when standard output is closed.
    pub(crate) fn finish(&self) -> Result<f64> {
        let middle = |value: fn(&Round) -> f64| {
            let yardstick = median(self.rounds.iter().map(|(round, _)| value(round)));
            (
                yardstick,
                median(self.rounds.iter().map(|(_, round)| value(round))),
            )
        };
        let (rate, p50, p99) = (
            middle(|round| round.per_second),
            middle(|round| round.p50_ms),
            middle(|round| round.p99_ms),
        );
        let yardstick = Round {
            per_second: rate.0,
            p50_ms: p50.0,
            p99_ms: p99.0,
        };
        let api = Round {
            per_second: rate.1,
            p50_ms: p50.1,
            p99_ms: p99.1,
        };
        say_line("median", yardstick, api)?;
        Ok(api.per_second / yardstick.per_second)
    }
}

fn say_line(name: &str, yardstick: Round, api: Round) -> Result<()> {
    let Round {
        per_second,
        p50_ms,
        p99_ms,
    } = yardstick;
    say(&format!(
        "{name:>6}{per_second:>16.0}{p50_ms:>9.2}{p99_ms:>9.2}{:>14.0}{:>9.2}{:>9.2}{:>9.3}",
        api.per_second,
        api.p50_ms,
        api.p99_ms,
        api.per_second / per_second
    ))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Checks that a ratio is as high as was asked for, if anything was.
///
/// # Errors
///
/// Fails where it is not.
pub(crate) fn expect_ratio(ratio: f64, at_least: Option<f64>) -> Result<()> {
    if let Some(at_least) = at_least {
        ensure!(
            ratio >= at_least,
            "the ratio {ratio:.3} is below {at_least}"
        );
    }
    Ok(())
}

/// Writes a line for the person who runs this.
///
/// # Errors
///
/// Fails when standard output is closed.
pub(crate) fn say(line: &str) -> Result<()> {
    writeln!(stdout().lock(), "{line}").context("writing to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_latencies() {
        let latencies = (1..=1000)
            .rev()
            .map(|milliseconds| milliseconds * 1000)
            .collect();
        let round = Round::new(latencies, Duration::from_secs(2));
        assert!((round.per_second - 500.0).abs() < 0.01);
        assert!((round.p50_ms - 501.0).abs() < 0.01);
        assert!((round.p99_ms - 991.0).abs() < 0.01);
    }

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert!((median([4.0, 1.0, 3.0, 2.0].into_iter()) - 2.5).abs() < f64::EPSILON);
        assert!((median([9.0, 1.0, 5.0].into_iter()) - 5.0).abs() < f64::EPSILON);
    }
}
