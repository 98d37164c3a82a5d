//! A local time, a zone and perhaps the present, a line each: what is accepted lies in the time allowed, shows the
//! local time that was asked for, and resolves to the same instant each time.
#![no_main]

use giftd_domain::limits;
use giftd_domain::schedule::{self, NotASchedule, Schedule};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (local, zone) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let now = lines.next().and_then(|now| now.parse().ok()).unwrap_or_else(present);
    let known_zone = schedule::zone(zone);
    match &known_zone {
        Ok(_) => assert!(!zone.is_empty() && zone.len() <= 64 && zone.is_ascii()),
        Err(problem) => assert_eq!(*problem, NotASchedule::UnknownZone),
    }
    let local_time = match schedule::local_time(local) {
        Ok(local_time) => local_time,
        Err(problem) => return assert_eq!(problem, NotASchedule::NotALocalTime),
    };
    let written = local_time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    assert!(written == local || written == format!("{local}:00"), "{local} is read as {written}");
    let scheduled = schedule::schedule(local_time, zone, now);
    let Ok(known_zone) = known_zone else { return assert_eq!(scheduled, Err(NotASchedule::UnknownZone)) };
    let resolved = schedule::resolve(local_time, &known_zone);
    if let Some(instant) = resolved {
        shows(local_time, &known_zone, instant);
    }
    let furthest = SignedDuration::from_hours(limits::SCHEDULE_AHEAD_DAYS * 24);
    match (scheduled, resolved) {
        (Ok(schedule), Some(instant)) => {
            assert_eq!(schedule, Schedule { local: local_time, timezone: zone.to_owned(), send_at: instant });
            assert!(instant > now && instant.duration_since(now) <= furthest, "{instant} from {now}");
            assert_eq!(schedule.resolve_again(), Ok(instant));
        }
        (Err(NotASchedule::Past), Some(instant)) => assert!(instant <= now),
        (Err(NotASchedule::TooFarAhead), Some(instant)) => assert!(instant.duration_since(now) > furthest),
        (Err(NotASchedule::NotALocalTime), None) => {}
        (scheduled, resolved) => panic!("{scheduled:?}, resolved {resolved:?}"),
    }
});

fn present() -> Timestamp {
    "2026-11-22T18:30:00Z".parse().expect("an instant")
}

/// `instant` is the first that shows `local` in `zone`; of one that is skipped, as much later as the clocks go forward.
fn shows(local: DateTime, zone: &TimeZone, instant: Timestamp) {
    let shown = zone.to_datetime(instant);
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { .. } => assert_eq!(shown, local),
        AmbiguousOffset::Gap { before, after } => {
            let skipped = i64::from(after.seconds()) - i64::from(before.seconds());
            assert!(skipped > 0);
            assert_eq!(shown, local + SignedDuration::from_secs(skipped), "{local} is skipped");
        }
        AmbiguousOffset::Fold { after, .. } => {
            assert_eq!(shown, local, "{local} occurs twice");
            let again = after.to_timestamp(local).expect("near the first");
            assert!(instant < again && zone.to_datetime(again) == local, "{instant} is the second");
        }
    }
}
