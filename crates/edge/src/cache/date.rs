//! HTTP dates (RFC 9110 section 5.6.7): all three formats are read, the preferred one is written.

use tidegate_core::clock::{MICROS_PER_SECOND, Timestamp};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

const SECONDS_PER_DAY: i64 = 86_400;

/// A date of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: u8,
    /// 1 to 31.
    pub(crate) day: u8,
}

/// Parses a date in any of the three formats and any letter case.
///
/// `now` places the two-digit year of the obsolete RFC 850 format.
pub(crate) fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.as_bytes();
    let seconds = imf(text).or_else(|| rfc850(text, now)).or_else(|| asctime(text))?;
    Some(Timestamp(seconds.checked_mul(MICROS_PER_SECOND)?))
}

/// Writes the preferred format, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn format(at: Timestamp) -> String {
    let days = at.seconds().div_euclid(SECONDS_PER_DAY);
    let second = at.seconds().rem_euclid(SECONDS_PER_DAY);
    let Civil { year, month, day } = Civil::from_days(days);
    // The epoch was a Thursday.
    let weekday = WEEKDAYS[usize::try_from((days + 3).rem_euclid(7)).unwrap_or(0)];
    let weekday = weekday.split_at(3).0;
    let month = MONTHS[usize::from(month - 1)];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf(text: &[u8]) -> Option<i64> {
    if text.len() != 29 || !weekday_starts_with(&text[..3]) {
        return None;
    }
    let fixed = [(3, b','), (4, b' '), (7, b' '), (11, b' '), (16, b' ')];
    if fixed.iter().any(|(at, byte)| text[*at] != *byte) || !zone(&text[25..]) {
        return None;
    }
    let date = (digits(&text[12..16])?, month(&text[8..11])?, digits(&text[5..7])?);
    seconds(date, clock(&text[17..25])?)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(text: &[u8], now: Timestamp) -> Option<i64> {
    let comma = text.iter().position(|byte| *byte == b',')?;
    let (weekday, rest) = text.split_at(comma);
    if !WEEKDAYS.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(weekday))
        || rest.len() != 24
        || !rest.starts_with(b", ")
        || [rest[4], rest[8]] != [b'-', b'-']
        || rest[11] != b' '
        || !zone(&rest[20..])
    {
        return None;
    }
    let (month, day) = (month(&rest[5..8])?, digits(&rest[2..4])?);
    let clock = clock(&rest[12..20])?;
    let this_year = Civil::from_days(now.seconds().div_euclid(SECONDS_PER_DAY)).year;
    let year = this_year - this_year.rem_euclid(100) + digits(&rest[9..11])?;
    // More than 50 years ahead means the most recent past year with these digits.
    let fifty_years = 50 * 31_556_952;
    match seconds((year, month, day), clock)? {
        at if at > now.seconds() + fifty_years => seconds((year - 100, month, day), clock),
        at => Some(at),
    }
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &[u8]) -> Option<i64> {
    if text.len() != 24 || !weekday_starts_with(&text[..3]) {
        return None;
    }
    if [3, 7, 10, 19].iter().any(|at| text[*at] != b' ') {
        return None;
    }
    let day = match text[8] {
        b' ' => digits(&text[9..10])?,
        _ => digits(&text[8..10])?,
    };
    let date = (digits(&text[20..24])?, month(&text[4..7])?, day);
    seconds(date, clock(&text[11..19])?)
}

fn weekday_starts_with(short: &[u8]) -> bool {
    WEEKDAYS.iter().any(|name| name.as_bytes()[..3].eq_ignore_ascii_case(short))
}

fn zone(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b" GMT")
}

fn month(text: &[u8]) -> Option<u8> {
    let position = MONTHS.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(text))?;
    u8::try_from(position + 1).ok()
}

fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// `08:49:37`, with room for a leap second.
fn clock(text: &[u8]) -> Option<i64> {
    let [_, _, b':', _, _, b':', _, _] = text else { return None };
    let (hour, minute, second) = (digits(&text[..2])?, digits(&text[3..5])?, digits(&text[6..])?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

fn seconds((year, month, day): (i64, u8, i64), clock: i64) -> Option<i64> {
    let civil = Civil { year, month, day: u8::try_from(day).ok()? };
    let days = civil.to_days();
    // A day that its month does not have comes back as another one.
    (Civil::from_days(days) == civil).then_some(days * SECONDS_PER_DAY + clock)
}

// === impl Civil ===

impl Civil {
    /// Returns the date `days` after 1970-01-01, by the era arithmetic of the Gregorian calendar.
    pub(crate) fn from_days(days: i64) -> Self {
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Years are counted from March, so that the leap day is the last one.
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let small = |number: i64| u8::try_from(number).unwrap_or(1);
        Self { year, month: small(month), day: small(day) }
    }

    fn to_days(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = self.year - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let shifted_month = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_763_806_500_000_000);
    const EXAMPLE: i64 = 784_111_777;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(parse(text, NOW).map(Timestamp::seconds), expected, "{text}");
    }

    #[test]
    fn the_three_formats_of_rfc_9110_5_6_7_name_one_time_in_any_letter_case() {
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(EXAMPLE));
        check("sun, 06 nov 1994 08:49:37 gmt", Some(EXAMPLE));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(EXAMPLE));
        check("SUNDAY, 06-NOV-94 08:49:37 GMT", Some(EXAMPLE));
        check("Sun Nov  6 08:49:37 1994", Some(EXAMPLE));
    }

    #[test]
    fn a_two_digit_year_more_than_fifty_years_ahead_lies_in_the_past() {
        check("Monday, 01-Jan-70 00:00:00 GMT", Some(3_155_760_000));
        check("Monday, 01-Jan-90 00:00:00 GMT", Some(631_152_000));
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        for text in [
            "",
            "0",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06  Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994  08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Nix, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn writing_is_the_inverse_of_reading() {
        for seconds in [0, EXAMPLE, 951_782_400, 1_709_164_800, 4_102_444_799] {
            let at = Timestamp(seconds * MICROS_PER_SECOND);
            assert_eq!(parse(&format(at), NOW), Some(at), "{}", format(at));
        }
        assert_eq!(format(Timestamp(EXAMPLE * MICROS_PER_SECOND)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
