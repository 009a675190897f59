//! RFC 3339 times, with a fast path for the form that nearly every row has.

use tidegate_core::clock::Timestamp;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Reads an RFC 3339 time; finer than microseconds is cut off.
pub(crate) fn parse(text: &str) -> Option<i64> {
    // Whatever the fast path does not take, right or wrong, is decided by the full parser.
    parse_utc(text.as_bytes()).or_else(|| Timestamp::parse_rfc3339(text).map(|at| at.0))
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.fraction]Z` with up to six digits of fraction.
fn parse_utc(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_at_checked(19)?;
    let head: &[u8; 19] = head.try_into().ok()?;
    if [head[4], head[7], head[10], head[13], head[16]] != *b"--T::" {
        return None;
    }
    let two = |at: usize| -> Option<i64> {
        let (tens, ones) = (digit(head[at])?, digit(head[at + 1])?);
        Some(tens * 10 + ones)
    };
    let year = two(0)? * 100 + two(2)?;
    let (month, day) = (two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if hour > 23 || minute > 59 || second > 59 || day < 1 || day > days_in_month(year, month)? {
        return None;
    }
    let fraction = fraction(tail)?;
    let seconds = hour * 3_600 + minute * 60 + second;
    Some(days_from_civil(year, month, day) * MICROS_PER_DAY + seconds * 1_000_000 + fraction)
}

fn fraction(tail: &[u8]) -> Option<i64> {
    match tail {
        b"Z" => Some(0),
        [b'.', digits @ .., b'Z'] if (1..=6).contains(&digits.len()) => {
            let mut micros = 0;
            for place in 0..6 {
                let digit = digits.get(place).map_or(Some(0), |byte| digit(*byte))?;
                micros = micros * 10 + digit;
            }
            Some(micros)
        }
        _ => None,
    }
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

fn days_in_month(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, for years from 0.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is a year's last.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_fast_path_agrees_with_the_full_parser(
            micros in -62_135_596_800_000_000i64..253_402_300_799_999_999,
            noise in any::<u8>(),
            place in 0usize..27,
        ) {
            let text = Timestamp(micros).to_rfc3339();
            prop_assert_eq!(parse_utc(text.as_bytes()), Some(micros));
            // One byte changed: both take it with one meaning, or the fast path leaves it.
            let mut changed = text.into_bytes();
            if let Some(byte) = changed.get_mut(place) {
                *byte = noise & 0x7f;
            }
            let changed = String::from_utf8(changed).unwrap();
            if let Some(fast) = parse_utc(changed.as_bytes()) {
                prop_assert_eq!(Some(Timestamp(fast)), Timestamp::parse_rfc3339(&changed));
            }
        }
    }

    #[test]
    fn other_forms_of_rfc_3339_are_read_too() {
        let noon = parse("2026-11-22T12:00:00Z");
        assert!(noon.is_some());
        assert_eq!(parse("2026-11-22T13:00:00+01:00"), noon);
        assert_eq!(parse("2026-11-22t12:00:00z"), noon);
        assert_eq!(parse("2026-11-22T12:00:00.000000000Z"), noon);
        for bad in ["", "2026-11-22", "2026-02-30T00:00:00Z", "2026-11-22T24:00:00Z", "1763806500"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
