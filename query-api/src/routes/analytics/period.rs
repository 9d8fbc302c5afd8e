//! The period that figures are asked for.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};
use http_server::Problem;
use read_models::analytics::Period;

/// Hours or days of an answer that lists each of them.
const BUCKETS_MAX: i32 = 1_000;
/// Days of a period that is counted as a whole: a year, and a day where it is a leap year.
const DAYS_MAX: i32 = 366;
/// Days of a period of which the client says no beginning.
const DAYS_DEFAULT: i32 = 30;
/// Hours of one.
const HOURS_DEFAULT: i32 = 24;
/// Years that are taken for times of orders: what lies before or after is a mistake.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2999;
/// Characters of a text that is no time which are told back.
const SHOWN_CHARS: usize = 60;

/// Of what a period consists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    /// It begins and ends wherever the client says.
    Moments,
    Hours,
    Days,
}

/// What a route takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    whole: Whole,
    default: TimeDelta,
    max: TimeDelta,
    /// In words.
    max_told: &'static str,
}

impl Wanted {
    /// A period by the hour.
    pub(super) fn hours() -> Self {
        Wanted {
            whole: Whole::Hours,
            default: TimeDelta::hours(HOURS_DEFAULT.into()),
            max: TimeDelta::hours(BUCKETS_MAX.into()),
            max_told: "1,000 hours",
        }
    }

    /// A period by the day.
    pub(super) fn many_days() -> Self {
        Wanted {
            whole: Whole::Days,
            default: TimeDelta::days(DAYS_DEFAULT.into()),
            max: TimeDelta::days(BUCKETS_MAX.into()),
            max_told: "1,000 days",
        }
    }

    /// A period as a whole.
    pub(super) fn days(whole: Whole) -> Self {
        Wanted {
            whole,
            default: TimeDelta::days(DAYS_DEFAULT.into()),
            max: TimeDelta::days(DAYS_MAX.into()),
            max_told: "366 days",
        }
    }
}

/// The period from `from` until before `to`, by the hours or days that they lie in.
///
/// # Errors
/// `bad-request` for what is no time, for a period that ends before it begins, and for one that is too long.
pub(super) fn period(
    from: Option<&str>,
    to: Option<&str>,
    wanted: Wanted,
) -> Result<Period, Problem> {
    period_at(Utc::now(), from, to, wanted)
}

fn period_at(
    now: DateTime<Utc>,
    from: Option<&str>,
    to: Option<&str>,
    wanted: Wanted,
) -> Result<Period, Problem> {
    let to = to.map(|text| moment("to", text)).transpose()?;
    // Not now, as this machine's clock has it: what was recorded a moment ago by another clock belongs to it.
    let to = to.map_or_else(
        || wanted.whole.running_end(now),
        |to| end_of(to, wanted.whole),
    );
    let from = from.map(|text| moment("from", text)).transpose()?;
    let from = beginning_of(from.unwrap_or(to - wanted.default), wanted.whole);
    if from >= to {
        return Err(Problem::bad_request(format!(
            "from must be before to: they are {} and {}",
            told(from),
            told(to)
        )));
    }
    if to - from > wanted.max {
        return Err(Problem::bad_request(format!(
            "the period from {} to {} is longer than {}",
            told(from),
            told(to),
            wanted.max_told
        )));
    }
    Ok(Period { from, to })
}

fn told(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// A parameter as a moment. In UTC it may lie in another year than it says.
fn moment(name: &str, text: &str) -> Result<DateTime<Utc>, Problem> {
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let midnight = || date().map(|date| date.and_time(NaiveTime::MIN).and_utc());
    let moment = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
    let Some(at) = moment.ok().or_else(midnight) else {
        let text: String = text.chars().take(SHOWN_CHARS).collect();
        return Err(Problem::bad_request(format!(
            "{name}: {text:?} is neither a time, as 2026-11-23T12:00:00Z, nor a date, as 2026-11-23"
        )));
    };
    if !YEARS.contains(&at.year()) {
        let (first, last) = (YEARS.start(), YEARS.end());
        return Err(Problem::bad_request(format!(
            "{name}: the year must be between {first} and {last}"
        )));
    }
    Ok(at)
}

impl Whole {
    /// When the hour has ended, or the day, that it is now.
    fn running_end(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let (whole, length) = match self {
            Whole::Hours => (Whole::Hours, TimeDelta::hours(1)),
            Whole::Moments | Whole::Days => (Whole::Days, TimeDelta::days(1)),
        };
        beginning_of(now, whole) + length
    }

    fn seconds(self) -> Option<i64> {
        match self {
            Whole::Moments => None,
            Whole::Hours => Some(3_600),
            Whole::Days => Some(86_400),
        }
    }
}

fn beginning_of(at: DateTime<Utc>, whole: Whole) -> DateTime<Utc> {
    let Some(seconds) = whole.seconds() else {
        return at;
    };
    let beginning = at.timestamp().div_euclid(seconds) * seconds;
    DateTime::from_timestamp(beginning, 0).unwrap_or(at)
}

fn end_of(at: DateTime<Utc>, whole: Whole) -> DateTime<Utc> {
    let beginning = beginning_of(at, whole);
    match whole.seconds() {
        Some(seconds) if beginning < at => beginning + TimeDelta::seconds(seconds),
        Some(_) | None => beginning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn asked(from: Option<&str>, to: Option<&str>, wanted: Wanted) -> Result<Period, String> {
        period_at(at("2026-11-23T05:17:30Z"), from, to, wanted)
            .map_err(|problem| problem.document(None).detail)
    }

    fn taken(from: &str, to: &str) -> Result<Period, String> {
        let (from, to) = (at(from), at(to));
        Ok(Period { from, to })
    }

    #[test]
    fn without_a_period_it_is_the_last_one_to_the_end_of_the_running_hour_or_day() {
        let hours = asked(None, None, Wanted::hours());
        assert_eq!(hours, taken("2026-11-22T06:00:00Z", "2026-11-23T06:00:00Z"));
        let days = asked(None, None, Wanted::many_days());
        assert_eq!(days, taken("2026-10-25T00:00:00Z", "2026-11-24T00:00:00Z"));
        let moments = asked(None, None, Wanted::days(Whole::Moments));
        assert_eq!(moments, days);
        let sharp = at("2026-11-23T00:00:00Z");
        let hours = period_at(sharp, None, None, Wanted::hours()).unwrap();
        assert_eq!(hours.to, at("2026-11-23T01:00:00Z"));
    }

    #[test]
    fn whole_hours_and_days_count() {
        let (from, to) = (
            Some("2026-11-20T10:20:00+02:00"),
            Some("2026-11-21T09:00:00.5Z"),
        );
        let hours = asked(from, to, Wanted::hours());
        assert_eq!(hours, taken("2026-11-20T08:00:00Z", "2026-11-21T10:00:00Z"));
        let days = asked(from, Some("2026-11-22"), Wanted::days(Whole::Days));
        assert_eq!(days, taken("2026-11-20T00:00:00Z", "2026-11-22T00:00:00Z"));
        let moments = asked(from, to, Wanted::days(Whole::Moments));
        assert_eq!(
            moments,
            taken("2026-11-20T08:20:00Z", "2026-11-21T09:00:00.5Z")
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |from, to, wanted, what: &str| {
            let detail = asked(from, to, wanted).unwrap_err();
            assert!(detail.contains(what), "{detail}");
        };
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-11-23T25:00:00Z",
            "+99999-01-01T",
        ] {
            said(Some(text), None, Wanted::hours(), "from: ");
            said(None, Some(text), Wanted::hours(), "neither a time");
        }
        for text in [
            "0000-01-01",
            "1969-12-31",
            "3000-01-01",
            "1970-01-01T00:00:00+14:00",
        ] {
            said(None, Some(text), Wanted::hours(), "to: the year must be");
        }
        let same = Some("2026-11-20");
        said(same, same, Wanted::hours(), "from must be before to");
        said(
            Some("2026-11-24"),
            None,
            Wanted::hours(),
            "2026-11-23T06:00:00Z",
        );
        let year = Some("2025-01-01");
        said(
            year,
            Some("2025-02-11T16:00:01Z"),
            Wanted::hours(),
            "longer than 1,000 hours",
        );
        assert!(asked(year, Some("2025-02-11T16:00:00Z"), Wanted::hours()).is_ok());
        let days = Wanted::days(Whole::Moments);
        said(
            year,
            Some("2026-01-02T00:00:01Z"),
            days,
            "longer than 366 days",
        );
        assert!(asked(Some("1970-01-01"), Some("1970-01-02"), days).is_ok());
        assert!(asked(None, Some("1970-01-01"), days).is_ok());
        assert!(
            asked(
                Some("2999-12-31T23:59:59Z"),
                Some("2999-12-31T23:59:59.999Z"),
                Wanted::hours()
            )
            .is_ok()
        );
    }
}
