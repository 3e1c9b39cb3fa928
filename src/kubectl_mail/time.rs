//! Times as people write and read them.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// A duration such as 90s, 1h30m or 2d; a day has 24 hours.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a duration: write it like 90s, 1h30m or 2d");
    let span: Span = text.parse().map_err(|_| bad())?;
    let signed: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| bad())?;
    Duration::try_from(signed).map_err(|_| bad())
}

/// How long ago it was, as kubectl tells it: 45s, 5m30s, 12m, 3h20m, 26h, 3d4h, 40d, 2y30d. What is yet to come is 0s old.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let (whole, parts) = match seconds {
        0..=119 => return format!("{seconds}s"),
        s if s < 10 * MINUTE => ((MINUTE, "m"), Some((1, "s"))),
        s if s < 3 * HOUR => ((MINUTE, "m"), None),
        s if s < 8 * HOUR => ((HOUR, "h"), Some((MINUTE, "m"))),
        s if s < 2 * DAY => ((HOUR, "h"), None),
        s if s < 8 * DAY => ((DAY, "d"), Some((HOUR, "h"))),
        s if s < 2 * YEAR => ((DAY, "d"), None),
        s if s < 8 * YEAR => ((YEAR, "y"), Some((DAY, "d"))),
        _ => ((YEAR, "y"), None),
    };
    let rest = parts.map(|(size, unit)| (seconds % whole.0 / size, unit)).filter(|(count, _)| *count > 0);
    let rest = rest.map(|(count, unit)| format!("{count}{unit}")).unwrap_or_default();
    format!("{}{}{rest}", seconds / whole.0, whole.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_as_kubectl_tells_it() {
        for (seconds, told) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (330, "5m30s"),
            (3700, "61m"),
            (3 * 3600, "3h"),
            (12_000, "3h20m"),
            (18_600, "5h10m"),
            (100_000, "27h"),
            (275_000, "3d4h"),
            (40 * 86_400, "40d"),
            (760 * 86_400, "2y30d"),
            (9 * 365 * 86_400, "9y"),
            (-5, "0s"),
        ] {
            assert_eq!(age(Timestamp::UNIX_EPOCH, Timestamp::from_second(seconds).unwrap()), told);
        }
    }

    #[test]
    fn a_duration_may_have_days() {
        for (text, seconds) in [("90s", 90), ("1h30m", 5400), ("2d", 172_800), ("1w", 604_800)] {
            assert_eq!(duration(text).unwrap().as_secs(), seconds);
        }
        for bad in ["", "soon", "-5m", "30", "1 month"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
