//! Exact decimal text: no float ever stands between what was stored and what is compared.

/// Reads a decimal as an integer scaled by ten to the `scale`; `None` if it is no plain decimal or
/// has more digits after the point than that.
pub(crate) fn parse(text: &str, scale: usize) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) || fraction.len() > scale {
        return None;
    }
    let zeros = scale - fraction.len();
    let mut scaled: i64 = 0;
    for digit in whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', zeros)) {
        scaled = scaled.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(if is_negative { -scaled } else { scaled })
}

/// Writes an integer scaled by ten to the `scale` as a decimal.
pub(crate) fn text(scaled: i64, scale: usize) -> String {
    let digits = format!("{:0>width$}", scaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if scaled < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Returns `sum / rows` with two more digits than the sum has, halves rounded away from zero.
pub(crate) fn average(sum: i64, rows: i64) -> i64 {
    let (scaled, rows) = (i128::from(sum) * 100, i128::from(rows));
    let half = if scaled < 0 { -rows / 2 } else { rows / 2 };
    i64::try_from((scaled + half) / rows).expect("an average lies between its values")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        for (text, expected) in
            [("12.34", Some(1234)), ("12", Some(1200)), ("-0.5", Some(-50)), ("0.00", Some(0))]
        {
            assert_eq!(parse(text, 2), expected, "{text}");
        }
        for bad in ["", "-", ".5", "1.234", "1e3", "+1", "1.-2", "99999999999999999999"] {
            assert_eq!(parse(bad, 2), None, "{bad}");
        }
    }

    #[test]
    fn text_is_the_inverse_of_parse() {
        for (scaled, expected) in [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (123_456, "1234.56")] {
            assert_eq!(text(scaled, 2), expected);
            assert_eq!(parse(expected, 2), Some(scaled));
        }
        assert_eq!(text(7, 0), "7");
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        for (sum, rows, expected) in
            [(1, 8, 13), (-1, 8, -13), (1, 3, 33), (2, 3, 67), (100, 1, 10_000), (1, 200, 1)]
        {
            assert_eq!(average(sum, rows), expected, "{sum}/{rows}");
        }
    }
}
