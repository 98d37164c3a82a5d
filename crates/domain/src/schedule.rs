//! When an order goes out.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use crate::limits;

/// A local time in a named zone, and the instant that it was resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// As the client wrote it, in whole seconds.
    pub local: DateTime,
    /// IANA name.
    pub timezone: String,
    /// The instant.
    pub send_at: Timestamp,
}

impl Schedule {
    /// The instant by this binary's zone database, which may know other rules than the one that it was resolved
    /// by when the order was placed.
    pub fn resolve_again(&self) -> Result<Timestamp, NotASchedule> {
        resolve(self.local, &zone(&self.timezone)?).ok_or(NotASchedule::NotALocalTime)
    }
}

/// When an order goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendTiming {
    /// As soon as it is placed.
    Immediate,
    /// At a local time.
    Scheduled(Schedule),
}

/// Why a schedule is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotASchedule {
    /// Not `YYYY-MM-DDTHH:MM[:SS]`.
    #[error("must be a local date-time YYYY-MM-DDTHH:MM[:SS] without offset, such as 2026-12-24T09:00:00")]
    NotALocalTime,
    /// Not in the zone database.
    #[error("must be an IANA time zone such as America/New_York")]
    UnknownZone,
    /// Not after now.
    #[error("must be in the future")]
    Past,
    /// More than 366 days ahead.
    #[error("must be at most 366 days ahead")]
    TooFarAhead,
}

/// `YYYY-MM-DDTHH:MM[:SS]`, nothing else.
pub fn local_time(text: &str) -> Result<DateTime, NotASchedule> {
    let shape = |format: &str| {
        text.len() == format.len()
            && text.bytes().zip(format.bytes()).all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                _ => byte == wanted,
            })
    };
    let (format, seconds) = ("0000-00-00T00:00:00", ":00");
    let is_local = shape(format) || format.strip_suffix(seconds).is_some_and(shape);
    // Second 60 is a leap second to some readers and 59 to others: to us it is a mistake.
    if !is_local || text.ends_with(":60") && shape(format) {
        return Err(NotASchedule::NotALocalTime);
    }
    text.parse().map_err(|_| NotASchedule::NotALocalTime)
}

/// The zone of an IANA name in the bundled database, in its canonical spelling of case.
pub fn zone(name: &str) -> Result<TimeZone, NotASchedule> {
    let looks_like_one =
        name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b)) && !name.is_empty();
    if !looks_like_one {
        return Err(NotASchedule::UnknownZone);
    }
    TimeZoneDatabase::bundled().get(name).map_err(|_| NotASchedule::UnknownZone)
}

/// The instant of a local time: one that a clock change skips is moved forward by the gap, one that
/// occurs twice is the first.
pub fn resolve(local: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let offset = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        // With the offset from before the change, both come out as the rule says.
        AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before,
    };
    offset.to_timestamp(local).ok()
}

/// The schedule of `local` in the zone named `timezone`, after `now` and at most 366 days ahead.
pub fn schedule(local: DateTime, timezone: &str, now: Timestamp) -> Result<Schedule, NotASchedule> {
    let zone = zone(timezone)?;
    let send_at = resolve(local, &zone).ok_or(NotASchedule::NotALocalTime)?;
    if send_at <= now {
        return Err(NotASchedule::Past);
    }
    if send_at.duration_since(now) > SignedDuration::from_hours(limits::SCHEDULE_AHEAD_DAYS.saturating_mul(24)) {
        return Err(NotASchedule::TooFarAhead);
    }
    Ok(Schedule { local, timezone: timezone.to_owned(), send_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolves(cases: &[(&str, &str, &str)]) {
        for (local, name, instant) in cases {
            let resolved = resolve(local_time(local).expect(local), &zone(name).expect(name));
            assert_eq!(resolved, Some(instant.parse().expect(instant)), "{local} {name}");
        }
    }

    // The tables were worked out by hand from the zones' rules, mostly of years that no later zone database
    // tells differently.

    #[test]
    fn local_times_are_of_their_zone() {
        resolves(&[
            ("2026-12-24T09:00:00", "Asia/Tokyo", "2026-12-24T00:00:00Z"),
            ("2026-12-24T09:00", "America/New_York", "2026-12-24T14:00:00Z"),
            // Summer and winter of both hemispheres.
            ("2025-07-01T09:00:00", "Europe/Berlin", "2025-07-01T07:00:00Z"),
            ("2025-01-01T09:00:00", "Europe/Berlin", "2025-01-01T08:00:00Z"),
            ("2025-07-01T09:00:00", "Australia/Sydney", "2025-06-30T23:00:00Z"),
            ("2025-01-01T09:00:00", "Australia/Sydney", "2024-12-31T22:00:00Z"),
            // Half and quarter hours.
            ("2026-12-24T09:00:00", "Asia/Kolkata", "2026-12-24T03:30:00Z"),
            ("2026-12-24T09:00:00", "Asia/Kathmandu", "2026-12-24T03:15:00Z"),
            ("2025-07-01T09:00:00", "Australia/Adelaide", "2025-06-30T23:30:00Z"),
            ("2025-01-01T09:00:00", "Australia/Adelaide", "2024-12-31T22:30:00Z"),
            ("2025-07-01T09:00:00", "Australia/Eucla", "2025-07-01T00:15:00Z"),
            ("2025-07-01T09:00:00", "Pacific/Chatham", "2025-06-30T20:15:00Z"),
            ("2025-01-01T09:00:00", "Pacific/Chatham", "2024-12-31T19:15:00Z"),
            ("2025-07-01T09:00:00", "Pacific/Marquesas", "2025-07-01T18:30:00Z"),
            // Far from Greenwich, both ways: the same moment on two days.
            ("2026-12-25T00:00:00", "Pacific/Kiritimati", "2026-12-24T10:00:00Z"),
            ("2026-12-23T23:00:00", "Pacific/Pago_Pago", "2026-12-24T10:00:00Z"),
            // No clock changes: the same in summer and winter, and where neighbours change theirs.
            ("2025-03-09T02:30:00", "America/Phoenix", "2025-03-09T09:30:00Z"),
            ("2025-07-01T09:00:00", "America/Phoenix", "2025-07-01T16:00:00Z"),
            ("2025-03-30T02:30:00", "Africa/Nairobi", "2025-03-29T23:30:00Z"),
            ("2025-10-05T02:30:00", "Australia/Brisbane", "2025-10-04T16:30:00Z"),
            ("2025-03-30T02:30:00", "UTC", "2025-03-30T02:30:00Z"),
            // A day that is there in leap years alone.
            ("2028-02-29T00:00:00", "Asia/Tokyo", "2028-02-28T15:00:00Z"),
        ]);
    }

    #[test]
    fn a_local_time_that_a_clock_change_skips_is_moved_forward_by_the_gap() {
        resolves(&[
            // 02:00 EST is 03:00 EDT, so that 02:30 is 03:30 EDT; the seconds around the gap.
            ("2025-03-09T01:59:59", "America/New_York", "2025-03-09T06:59:59Z"),
            ("2025-03-09T02:00:00", "America/New_York", "2025-03-09T07:00:00Z"),
            ("2025-03-09T02:30:00", "America/New_York", "2025-03-09T07:30:00Z"),
            ("2025-03-09T02:59:59", "America/New_York", "2025-03-09T07:59:59Z"),
            ("2025-03-09T03:00:00", "America/New_York", "2025-03-09T07:00:00Z"),
            ("2027-03-14T02:30:00", "America/New_York", "2027-03-14T07:30:00Z"),
            ("2025-03-30T02:30:00", "Europe/Berlin", "2025-03-30T01:30:00Z"),
            ("2025-03-30T01:30:00", "Europe/London", "2025-03-30T01:30:00Z"),
            // The database counts Irish summer time as the standard and winter time as the change.
            ("2025-03-30T01:30:00", "Europe/Dublin", "2025-03-30T01:30:00Z"),
            // Southern spring: 02:00 AEST is 03:00 AEDT.
            ("2025-10-05T02:30:00", "Australia/Sydney", "2025-10-04T16:30:00Z"),
            ("2025-09-28T02:30:00", "Pacific/Auckland", "2025-09-27T14:30:00Z"),
            // With half an hour of offset, with a gap of half an hour (02:00 to 02:30), and with a quarter (02:45
            // to 03:45).
            ("2025-10-05T02:30:00", "Australia/Adelaide", "2025-10-04T17:00:00Z"),
            ("2025-10-05T02:15:00", "Australia/Lord_Howe", "2025-10-04T15:45:00Z"),
            ("2026-10-04T02:15:00", "Australia/Lord_Howe", "2026-10-03T15:45:00Z"),
            ("2025-10-05T02:30:00", "Australia/Lord_Howe", "2025-10-04T15:30:00Z"),
            ("2025-09-28T02:44:59", "Pacific/Chatham", "2025-09-27T13:59:59Z"),
            ("2025-09-28T03:00:00", "Pacific/Chatham", "2025-09-27T14:15:00Z"),
            // A midnight that isn't there.
            ("2025-04-25T00:00:00", "Africa/Cairo", "2025-04-24T22:00:00Z"),
            ("2025-09-07T00:30:00", "America/Santiago", "2025-09-07T04:30:00Z"),
            // A gap of two hours.
            ("2025-03-30T01:30:00", "Antarctica/Troll", "2025-03-30T01:30:00Z"),
            // Back from Ramadan's time.
            ("2025-04-06T02:30:00", "Africa/Casablanca", "2025-04-06T02:30:00Z"),
            // A whole day: Samoa crossed the date line after 29 December 2011, so that the 30th is the 31st.
            ("2011-12-29T23:59:59", "Pacific/Apia", "2011-12-30T09:59:59Z"),
            ("2011-12-30T00:00:00", "Pacific/Apia", "2011-12-30T10:00:00Z"),
            ("2011-12-30T12:00:00", "Pacific/Apia", "2011-12-30T22:00:00Z"),
            ("2011-12-31T00:00:00", "Pacific/Apia", "2011-12-30T10:00:00Z"),
        ]);
    }

    #[test]
    fn of_a_local_time_that_occurs_twice_the_first_counts() {
        resolves(&[
            // 02:00 EDT is 01:00 EST; the seconds around.
            ("2025-11-02T00:59:59", "America/New_York", "2025-11-02T04:59:59Z"),
            ("2025-11-02T01:00:00", "America/New_York", "2025-11-02T05:00:00Z"),
            ("2025-11-02T01:30:00", "America/New_York", "2025-11-02T05:30:00Z"),
            ("2025-11-02T01:59:59", "America/New_York", "2025-11-02T05:59:59Z"),
            ("2025-11-02T02:00:00", "America/New_York", "2025-11-02T07:00:00Z"),
            ("2026-11-01T01:30:00", "America/New_York", "2026-11-01T05:30:00Z"),
            ("2025-10-26T02:30:00", "Europe/Berlin", "2025-10-26T00:30:00Z"),
            ("2025-10-26T01:30:00", "Europe/London", "2025-10-26T00:30:00Z"),
            ("2025-10-26T01:30:00", "Europe/Dublin", "2025-10-26T00:30:00Z"),
            // Southern autumn.
            ("2025-04-06T02:30:00", "Australia/Sydney", "2025-04-05T15:30:00Z"),
            ("2025-04-06T02:30:00", "Australia/Adelaide", "2025-04-05T16:00:00Z"),
            ("2025-04-06T01:45:00", "Australia/Lord_Howe", "2025-04-05T14:45:00Z"),
            ("2025-04-06T03:00:00", "Pacific/Chatham", "2025-04-05T13:15:00Z"),
            // The last hour of a day.
            ("2025-10-30T23:30:00", "Africa/Cairo", "2025-10-30T20:30:00Z"),
            // Into Ramadan's time.
            ("2025-02-23T02:30:00", "Africa/Casablanca", "2025-02-23T01:30:00Z"),
            // Without a change of summer time: Venezuela's standard time moved half an hour back.
            ("2007-12-09T02:45:00", "America/Caracas", "2007-12-09T06:45:00Z"),
        ]);
    }

    #[test]
    fn old_names_of_zones_are_names_of_zones() {
        for (old, now) in [
            ("US/Eastern", "America/New_York"),
            ("Asia/Calcutta", "Asia/Kolkata"),
            ("Asia/Katmandu", "Asia/Kathmandu"),
            ("Asia/Saigon", "Asia/Ho_Chi_Minh"),
            ("Europe/Kiev", "Europe/Kyiv"),
            ("Australia/ACT", "Australia/Sydney"),
            ("NZ-CHAT", "Pacific/Chatham"),
            ("Japan", "Asia/Tokyo"),
            ("Etc/UTC", "UTC"),
            ("GMT", "UTC"),
            ("america/new_york", "America/New_York"),
        ] {
            for local in ["2025-03-09T02:30:00", "2025-07-01T09:00:00", "2025-11-02T01:30:00"] {
                let at = |name: &str| resolve(local_time(local).expect(local), &zone(name).expect(name));
                assert_eq!(at(old), at(now), "{local} {old}");
            }
        }
        // POSIX turns the sign around: five hours behind Greenwich.
        resolves(&[("2025-07-01T09:00:00", "Etc/GMT+5", "2025-07-01T14:00:00Z")]);
    }

    #[test]
    fn a_schedule_is_resolved_again_by_todays_rules() {
        let schedule = |timezone: &str| Schedule {
            local: local_time("2026-12-24T09:00:00").expect("a local time"),
            timezone: timezone.to_owned(),
            // As if Japan had had summer time when it was placed.
            send_at: "2026-12-23T23:00:00Z".parse().expect("an instant"),
        };
        assert_eq!(schedule("Asia/Tokyo").resolve_again(), Ok("2026-12-24T00:00:00Z".parse().expect("an instant")));
        assert_eq!(schedule("Mars/Base").resolve_again(), Err(NotASchedule::UnknownZone));
    }

    #[test]
    fn only_a_plain_local_time_is_one() {
        for wrong in [
            "2026-12-24",
            "2026-12-24T09",
            "2026-12-24T09:00:00Z",
            "2026-12-24T09:00:00+01:00",
            "2026-12-24 09:00",
            "2026-13-01T00:00",
            "2026-02-30T00:00",
            "2026-12-24T24:00",
            "2026-12-24T09:00:60",
            "2026-12-24T09:00:00.5",
            "",
            "2026-12-24t09:00",
            "２026-12-24T09:00",
        ] {
            assert_eq!(local_time(wrong), Err(NotASchedule::NotALocalTime), "{wrong}");
        }
        for wrong in ["", "Mars/Base", "+01:00", "America/New_York\0", "../etc/passwd", "Etc/GMT+99"] {
            assert_eq!(zone(wrong).err(), Some(NotASchedule::UnknownZone), "{wrong}");
        }
    }

    #[test]
    fn a_schedule_lies_after_now_and_at_most_366_days_ahead() {
        let now: Timestamp = "2026-11-22T18:00:00Z".parse().expect("an instant");
        let at = |local: &str| schedule(local_time(local).expect(local), "UTC", now);
        assert_eq!(at("2026-11-22T18:00:00"), Err(NotASchedule::Past));
        assert!(at("2026-11-22T18:00:01").is_ok());
        assert!(at("2027-11-23T18:00:00").is_ok());
        assert_eq!(at("2027-11-23T18:00:01"), Err(NotASchedule::TooFarAhead));
    }
}
