//! A duration as manifests write it: `30s`, `5m`, `1h30m`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A duration in whole hours, minutes and seconds, in the form `([0-9]+(h|m|s))+`, 16 characters at most.
///
/// Stored as it was written, so that what GitOps tools compare does not change; [`Span::get`] gives the value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    written: String,
    value: Duration,
}

impl Span {
    /// The duration that is meant.
    #[must_use]
    pub fn get(&self) -> Duration {
        self.value
    }

    /// A span of whole seconds, written in the largest units that fit.
    #[must_use]
    pub fn seconds(total: u64) -> Self {
        let mut written = String::new();
        for (unit, size) in [('h', 3600), ('m', 60), ('s', 1)] {
            let count = match unit {
                'h' => total / size,
                'm' => total % 3600 / size,
                _ => total % 60,
            };
            if count > 0 || (unit == 's' && written.is_empty()) {
                written.push_str(&count.to_string());
                written.push(unit);
            }
        }
        Self { written, value: Duration::from_secs(total) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// What is wrong with a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a duration: write it like 30s, 5m or 1h30m (units h, m and s)")]
pub struct NotASpan(String);

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(written: &str) -> Result<Self, NotASpan> {
        let bad = || NotASpan(written.chars().take(32).collect());
        let (mut total, mut digits) = (0_u64, String::new());
        for c in written.chars() {
            let unit = match c {
                '0'..='9' => {
                    digits.push(c);
                    continue;
                }
                'h' => 3600,
                'm' => 60,
                's' => 1,
                _ => return Err(bad()),
            };
            let count: u64 = digits.parse().map_err(|_| bad())?;
            total = count.checked_mul(unit).and_then(|n| total.checked_add(n)).ok_or_else(bad)?;
            digits.clear();
        }
        // A century: far above every bound in the schema, and far below what clocks overflow at.
        if written.is_empty() || !digits.is_empty() || total > 100 * 366 * 86_400 {
            return Err(bad());
        }
        Ok(Self { written: written.to_owned(), value: Duration::from_secs(total) })
    }
}

impl TryFrom<String> for Span {
    type Error = NotASpan;

    fn try_from(written: String) -> Result<Self, NotASpan> {
        written.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.written
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^([0-9]+(h|m|s))+$", "maxLength": 16})
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_units_and_keeps_what_was_written() {
        let span: Span = "1h30m".parse().unwrap();
        assert_eq!((span.get().as_secs(), span.to_string().as_str()), (5400, "1h30m"));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for bad in ["", "1d", "30", "m", "1 h", "-5m", "1.5h", "99999999999999h"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn whole_seconds_are_written_in_the_largest_units() {
        for (seconds, written) in [(0, "0s"), (59, "59s"), (3600, "1h"), (5430, "1h30m30s"), (86_400, "24h")] {
            assert_eq!(Span::seconds(seconds).to_string(), written);
        }
    }
}
