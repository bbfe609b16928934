//! The timestamps in answers: RFC 3339 in UTC, and comparable.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A timestamp in an answer; a later one is greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    second: String,
    /// The digits of the fraction, without trailing zeros.
    fraction: String,
}

impl Moment {
    /// Reads a moment such as `2026-11-21T09:53:20.25Z`.
    ///
    /// # Errors
    ///
    /// Fails with `value` when it is something else.
    pub fn read(value: &Value) -> Result<Self> {
        let text = value
            .as_str()
            .with_context(|| format!("{value} is no text"))?;
        let local = text
            .strip_suffix('Z')
            .with_context(|| format!("`{text}` is not in UTC"))?;
        let (second, fraction) = local.split_once('.').unwrap_or((local, "0"));
        let form: String = second
            .chars()
            .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
            .collect();
        let is_decimal = fraction.bytes().all(|byte| byte.is_ascii_digit());
        ensure!(
            form == "0000-00-00T00:00:00" && !fraction.is_empty() && is_decimal,
            "`{text}` is no RFC 3339"
        );
        Ok(Self {
            second: second.to_owned(),
            fraction: fraction.trim_end_matches('0').to_owned(),
        })
    }
}

/// Checks that a change moved `updated_at` on and left `created_at` where it was.
///
/// # Errors
///
/// Fails where it is otherwise.
pub fn expect_change(before: &Value, after: &Value) -> Result<()> {
    ensure!(
        Moment::read(&after["updated_at"])? > Moment::read(&before["updated_at"])?,
        "`updated_at` did not move on from {before} to {after}"
    );
    ensure!(
        before["created_at"] == after["created_at"],
        "`created_at` moved from {before} to {after}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn later_is_greater_whatever_the_digits() {
        let texts = [
            "2026-11-21T09:53:19.999999Z",
            "2026-11-21T09:53:20Z",
            "2026-11-21T09:53:20.000001Z",
            "2026-11-21T09:53:20.25Z",
            "2026-11-21T09:53:20.3Z",
            "2026-11-21T09:54:00Z",
        ];
        let moments = texts.map(|text| Moment::read(&json!(text)).unwrap());
        assert!(
            moments.is_sorted_by(|one, other| one < other),
            "{moments:?}"
        );
        let same = Moment::read(&json!("2026-11-21T09:53:20.250Z")).unwrap();
        assert_eq!(same, moments[3]);
    }

    #[test]
    fn what_is_not_in_utc_or_cut_short_is_no_moment() {
        for wrong in [
            json!("2026-11-21T09:53:20+00:00"),
            json!("2026-11-21 09:53:20Z"),
            json!("2026-11-21T09:53Z"),
            json!("2026-11-21T09:53:20.Z"),
            json!(1_795_254_800),
            json!(null),
        ] {
            assert!(Moment::read(&wrong).is_err(), "{wrong}");
        }
    }
}
