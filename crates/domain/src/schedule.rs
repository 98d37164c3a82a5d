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

    #[test]
    fn local_times_resolve_as_worked_out_by_hand() {
        for (local, name, instant) in [
            ("2026-12-24T09:00:00", "Asia/Tokyo", "2026-12-24T00:00:00Z"),
            ("2026-12-24T09:00", "America/New_York", "2026-12-24T14:00:00Z"),
            // Skipped: 02:30 does not exist, the clock goes from 02:00 to 03:00; forward by the gap is 03:30 EDT.
            ("2027-03-14T02:30:00", "America/New_York", "2027-03-14T07:30:00Z"),
            // Twice: 01:30 is first EDT, an hour later EST.
            ("2026-11-01T01:30:00", "America/New_York", "2026-11-01T05:30:00Z"),
            ("2026-12-24T09:00:00", "Asia/Kathmandu", "2026-12-24T03:15:00Z"),
            ("2026-12-24T09:00:00", "Asia/Kolkata", "2026-12-24T03:30:00Z"),
            // A gap of half an hour: 02:00 to 02:30.
            ("2026-10-04T02:15:00", "Australia/Lord_Howe", "2026-10-03T15:45:00Z"),
        ] {
            let resolved = resolve(local_time(local).expect(local), &zone(name).expect(name));
            assert_eq!(resolved, Some(instant.parse().expect(instant)), "{local} {name}");
        }
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
