//! By how much a sandbox's clock is moved ahead.

use jiff::fmt::temporal::SpanParser;
use jiff::{SignedDuration, SpanRelativeTo};

use crate::limits;

/// Why a text isn't one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAdvance {
    /// Not an ISO 8601 duration.
    #[error("must be an ISO 8601 duration of weeks, days, hours, minutes and seconds, such as P30DT2H")]
    NotADuration,
    /// It has years or months.
    #[error("must be in weeks, days, hours, minutes and seconds: years and months have no fixed length")]
    NoFixedLength,
    /// It is finer than the clock shows.
    #[error("must be in whole milliseconds")]
    TooFine,
    /// Zero, or back.
    #[error("must be above zero: the clock only moves forward")]
    NotForward,
    /// Too much for one call.
    #[error("must be at most {} days a call", limits::CLOCK_DAYS)]
    TooMuch,
}

impl NotAnAdvance {
    /// Its code in an error's details.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotADuration => "NOT_A_DURATION",
            Self::NoFixedLength => "NO_FIXED_LENGTH",
            Self::TooFine | Self::NotForward | Self::TooMuch => "OUT_OF_RANGE",
        }
    }
}

/// Reads an ISO 8601 duration, `P30DT2H`: above zero, in whole milliseconds, at most [`limits::CLOCK_DAYS`]. A
/// day has 24 hours.
pub fn advance(text: &str) -> Result<SignedDuration, NotAnAdvance> {
    if text.len() > limits::DURATION_CHARACTERS {
        return Err(NotAnAdvance::NotADuration);
    }
    let span = SpanParser::new().parse_span(text).map_err(|_| NotAnAdvance::NotADuration)?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(NotAnAdvance::NoFixedLength);
    }
    // Longer than 64 bits of seconds is too much all the same.
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| NotAnAdvance::TooMuch)?;
    if !duration.is_positive() {
        Err(NotAnAdvance::NotForward)
    } else if duration > SignedDuration::from_hours(limits::CLOCK_DAYS.saturating_mul(24)) {
        Err(NotAnAdvance::TooMuch)
    } else if duration.subsec_nanos() % NANOSECONDS_A_MILLISECOND != 0 {
        Err(NotAnAdvance::TooFine)
    } else {
        Ok(duration)
    }
}

const NANOSECONDS_A_MILLISECOND: i32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advance_is_an_iso_duration() {
        let (minutes, hours) = (SignedDuration::from_mins, SignedDuration::from_hours);
        for (text, expected) in [
            ("P30DT2H", hours(30 * 24 + 2)),
            ("P1D", hours(24)),
            ("P2W", hours(14 * 24)),
            ("P1W1DT1H1M1S", hours(8 * 24 + 1) + SignedDuration::from_secs(61)),
            ("PT90M", minutes(90)),
            ("PT0.5H", minutes(30)),
            ("PT1.5S", SignedDuration::from_millis(1_500)),
            ("PT0,001S", SignedDuration::from_millis(1)),
            ("PT36H", hours(36)),
            ("P400D", hours(400 * 24)),
            ("PT9600H", hours(400 * 24)),
            ("+P1D", hours(24)),
            ("p1dt2h", hours(26)),
            ("P0Y0M1D", hours(24)),
        ] {
            assert_eq!(advance(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_advance_is_told_why() {
        use NotAnAdvance::{NoFixedLength, NotADuration, NotForward, TooFine, TooMuch};
        let long = format!("PT{}1S", "0".repeat(100));
        for (text, expected) in [
            ("", NotADuration),
            ("P", NotADuration),
            ("PT", NotADuration),
            ("P1DT", NotADuration),
            ("30", NotADuration),
            ("30 days", NotADuration),
            ("1d", NotADuration),
            ("30:00", NotADuration),
            ("P1D ", NotADuration),
            (" P1D", NotADuration),
            ("P1H", NotADuration),
            ("PT1D", NotADuration),
            ("P1.5D", NotADuration),
            ("P１D", NotADuration),
            ("P1D\0", NotADuration),
            ("P--1D", NotADuration),
            (long.as_str(), NotADuration),
            ("P1M", NoFixedLength),
            ("P1Y", NoFixedLength),
            ("P1Y2M3D", NoFixedLength),
            ("-P1Y", NoFixedLength),
            ("P0D", NotForward),
            ("PT0S", NotForward),
            ("-P1D", NotForward),
            ("-PT0.001S", NotForward),
            ("P400DT0.001S", TooMuch),
            ("P401D", TooMuch),
            ("PT9600H1S", TooMuch),
            ("P7304484D", TooMuch),
            ("PT0.0001S", TooFine),
            ("PT1.0005S", TooFine),
        ] {
            assert_eq!(advance(text), Err(expected), "{text}");
        }
        assert!(matches!(advance("PT99999999999999999999S"), Err(NotADuration | TooMuch)));
        assert!(matches!(advance("P9223372036854775807D"), Err(NotADuration | TooMuch)));
    }
}
