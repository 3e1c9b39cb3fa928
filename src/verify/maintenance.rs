//! Maintenance windows: cron lines of five fields in a time zone, and how long each lasts. Knows calendars, and neither
//! objects nor the clock.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

use super::schedule::later;
use crate::{
    api::{Reason, v1alpha1::MaintenanceWindow},
    mail::Diagnosis,
};

/// The windows of one object, read.
#[derive(Clone, Debug, Default)]
pub struct Windows(Vec<Window>);

#[derive(Clone, Debug)]
struct Window {
    start: Cron,
    zone: TimeZone,
    duration: std::time::Duration,
}

impl Windows {
    /// Reads windows.
    ///
    /// # Errors
    /// `ScheduleInvalid` with the place of the first line or time zone that cannot be read.
    pub fn read(written: &[MaintenanceWindow]) -> Result<Self, Diagnosis> {
        let read = |(at, window): (usize, &MaintenanceWindow)| {
            let invalid = |field: &str, value: &str, fault: &str| {
                let fault = format!("maintenance[{at}].{field} {value:?}: {fault}");
                Diagnosis::new(Reason::ScheduleInvalid).detail(fault.clone()).fact("fault", fault)
            };
            let start = five_fields(&window.start).map_err(|fault| invalid("start", &window.start, &fault))?;
            let name = window.time_zone.as_deref().unwrap_or("UTC");
            let zone = zone(name).ok_or_else(|| invalid("timeZone", name, "no such IANA time zone"))?;
            Ok(Window { start, zone, duration: window.duration.get() })
        };
        written.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// When the windows that are open now have closed; none if none is open. A window holds its first moment and not
    /// its last.
    #[must_use]
    pub fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.iter().filter_map(|window| window.end_of_last(now)).filter(|end| *end > now).max()
    }

    /// The next time that a window opens.
    #[must_use]
    pub fn next_start(&self, now: Timestamp) -> Option<Timestamp> {
        self.0
            .iter()
            .filter_map(|window| window.start.find_next_occurrence(&now.to_zoned(window.zone.clone()), false).ok())
            .map(|start| start.timestamp())
            .min()
    }
}

impl Window {
    /// The end of the window that began last. An earlier one ended before it, as all last equally long.
    fn end_of_last(&self, now: Timestamp) -> Option<Timestamp> {
        let start = self.start.find_previous_occurrence(&now.to_zoned(self.zone.clone()), true).ok()?;
        Some(later(start.timestamp(), self.duration))
    }
}

/// A time zone of the machine, whose rules may be newer than ours; else our own, as an image may bring few zones or none.
fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).or_else(|_| TimeZoneDatabase::bundled().get(name)).ok()
}

/// Reads a cron line: five fields, as the schema's text promises; no seconds, no years, no `@daily`.
fn five_fields(line: &str) -> Result<Cron, String> {
    if line.split_whitespace().count() != 5 {
        return Err("five fields are needed: minute, hour, day of month, month, day of week".to_owned());
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(line).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(lines: &[(&str, &str, &str)]) -> Windows {
        Windows::read(&written(lines)).unwrap()
    }

    fn written(lines: &[(&str, &str, &str)]) -> Vec<MaintenanceWindow> {
        let window = |(start, duration, zone): &(&str, &str, &str)| MaintenanceWindow {
            start: (*start).to_owned(),
            duration: duration.parse().unwrap(),
            time_zone: Some((*zone).to_owned()).filter(|zone| !zone.is_empty()),
        };
        lines.iter().map(window).collect()
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn a_window_holds_its_first_moment_and_not_its_last() {
        let windows = windows(&[("0 22 * * SAT", "4h", "")]);
        for (now, until) in [
            ("2026-11-21T21:59:59Z", None),
            ("2026-11-21T22:00:00Z", Some("2026-11-22T02:00:00Z")),
            ("2026-11-22T01:59:59.9Z", Some("2026-11-22T02:00:00Z")),
            ("2026-11-22T02:00:00Z", None),
        ] {
            assert_eq!(windows.open_until(at(now)), until.map(at), "{now}");
        }
    }

    #[test]
    fn the_next_window_is_known_before_it_opens() {
        let windows = windows(&[("0 22 * * SAT", "4h", ""), ("30 3 1 * *", "10m", "")]);
        assert_eq!(windows.next_start(at("2026-11-21T22:00:00Z")), Some(at("2026-11-28T22:00:00Z")));
        assert_eq!(windows.next_start(at("2026-11-29T00:00:00Z")), Some(at("2026-12-01T03:30:00Z")));
        assert_eq!(Windows::default().next_start(at("2026-11-29T00:00:00Z")), None);
    }

    #[test]
    fn of_windows_that_overlap_the_last_end_counts() {
        let windows = windows(&[("0 22 * * *", "1h", ""), ("30 22 * * *", "2h", "")]);
        assert_eq!(windows.open_until(at("2026-11-21T22:45:00Z")), Some(at("2026-11-22T00:30:00Z")));
    }

    #[test]
    fn a_window_keeps_its_wall_clock_time_over_a_change_of_clocks() {
        let windows = windows(&[("0 22 * * *", "1h", "Europe/Berlin")]);
        // Summer time ends on 2026-10-25: 22:00 is 20:00Z before and 21:00Z after.
        assert_eq!(windows.open_until(at("2026-10-24T20:30:00Z")), Some(at("2026-10-24T21:00:00Z")));
        assert_eq!(windows.open_until(at("2026-10-25T20:30:00Z")), None);
        assert_eq!(windows.open_until(at("2026-10-25T21:30:00Z")), Some(at("2026-10-25T22:00:00Z")));
    }

    #[test]
    fn time_zones_are_known_without_any_on_the_machine() {
        let (ours, new_year) = (TimeZoneDatabase::bundled(), at("2026-01-01T00:00:00Z"));
        for (name, offset) in [("Europe/Zurich", 1), ("America/St_Johns", -3), ("Asia/Kathmandu", 5), ("Etc/UTC", 0)] {
            let zone = ours.get(name).unwrap();
            assert_eq!(zone.to_offset(new_year).seconds() / 3600, offset, "{name}");
        }
    }

    #[test]
    fn a_window_that_a_change_of_clocks_skips_opens_all_the_same() {
        // On 2026-03-29 Berlin has no 02:30; the clock goes from 02:00 to 03:00 at 01:00Z.
        let windows = windows(&[("30 2 * * *", "1h", "Europe/Berlin")]);
        let start = windows.next_start(at("2026-03-28T12:00:00Z")).unwrap();
        assert!((at("2026-03-29T01:00:00Z")..=at("2026-03-29T01:30:00Z")).contains(&start), "{start}");
        assert!(windows.open_until(start).is_some());
    }

    #[test]
    fn a_window_lasts_as_long_as_it_says_over_the_hour_that_comes_twice() {
        let windows = windows(&[("30 1 * * *", "2h", "Europe/Berlin")]);
        assert_eq!(windows.open_until(at("2026-10-25T00:00:00Z")), Some(at("2026-10-25T01:30:00Z")));
    }

    #[test]
    fn a_line_or_zone_that_cannot_be_read_is_named_with_its_place() {
        for (line, zone, place) in [
            ("0 22 * *", "", "maintenance[1].start"),
            ("0 0 22 * * SAT", "", "maintenance[1].start"),
            ("61 22 * * *", "", "maintenance[1].start"),
            ("@weekly  x", "", "maintenance[1].start"),
            ("0 22 * * SAT", "Europe/Berlim", "maintenance[1].timeZone"),
        ] {
            let error = Windows::read(&written(&[("0 1 * * *", "1h", ""), (line, "1h", zone)])).unwrap_err();
            assert_eq!(error.reason, Reason::ScheduleInvalid);
            assert!(error.message().contains(place) && error.hint().contains(place), "{error}");
        }
    }

    #[test]
    fn a_line_that_never_comes_opens_no_window() {
        let windows = windows(&[("0 0 30 2 *", "1h", "")]);
        assert_eq!(
            (windows.open_until(at("2026-11-21T00:00:00Z")), windows.next_start(at("2026-11-21T00:00:00Z"))),
            (None, None)
        );
    }
}
