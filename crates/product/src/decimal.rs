//! Exact decimals: text to scaled integers and back, never through a float.

/// Most digits of a decimal column.
pub(crate) const MAX_PRECISION: u8 = 18;

/// An exponent beyond every number of digits that a body can hold.
const FAR: i64 = 1 << 40;

/// Why a text is no decimal of a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecimalError {
    /// Not a number.
    NotANumber,
    /// More digits after the point than the scale has; trailing zeros don't count.
    Scale,
    /// Does not fit into 64 bits.
    Range,
}

/// Reads a decimal number, with JSON's exponents, as an integer scaled by ten to the `scale`.
pub(crate) fn parse(text: &str, scale: u8) -> Result<i64, DecimalError> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, bytes),
    };
    let mut value = 0u64;
    let mut seen = 0usize;
    let mut after_point: Option<usize> = None;
    let mut rest = digits;
    while let Some((byte, tail)) = rest.split_first() {
        match byte {
            b'0'..=b'9' => {
                let next =
                    value.checked_mul(10).and_then(|v| v.checked_add(u64::from(byte - b'0')));
                let Some(next) = next else {
                    return parse_long(digits, negative, scale);
                };
                value = next;
                seen += 1;
                after_point = after_point.map(|count| count + 1);
            }
            b'.' if after_point.is_none() && seen > 0 => after_point = Some(0),
            b'e' | b'E' => return parse_long(digits, negative, scale),
            _ => return Err(DecimalError::NotANumber),
        }
        rest = tail;
    }
    let fraction = after_point.unwrap_or(0);
    if seen == 0 || after_point == Some(0) {
        return Err(DecimalError::NotANumber);
    }
    let shift = i32::from(scale) - i32::try_from(fraction).unwrap_or(i32::MAX);
    shifted(i128::from(value), shift, negative)
}

/// The rare forms: exponents, and more digits than fit.
fn parse_long(digits: &[u8], negative: bool, scale: u8) -> Result<i64, DecimalError> {
    let text = std::str::from_utf8(digits).map_err(|_| DecimalError::NotANumber)?;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if !is_digits(whole) || !is_digits(fraction) || !is_digits(unsigned) {
        return Err(DecimalError::NotANumber);
    }
    let fraction = fraction.trim_end_matches('0');
    let significant = [whole, fraction].concat();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    // An exponent that does not fit is beyond any that matters.
    let far = if exponent.starts_with('-') { -FAR } else { FAR };
    let exponent = exponent.parse::<i64>().unwrap_or(far).clamp(-FAR, FAR);
    let trimmed = significant.trim_end_matches('0');
    let zeros = count(significant.len() - trimmed.len());
    let shift = exponent + i64::from(scale) + zeros - count(fraction.len());
    let lost = if shift < 0 { DecimalError::Scale } else { DecimalError::Range };
    let value: i128 = trimmed.parse().map_err(|_| lost)?;
    shifted(value, i32::try_from(shift).map_err(|_| lost)?, negative)
}

/// Multiplies by a power of ten, or divides if nothing is lost.
fn shifted(value: i128, shift: i32, negative: bool) -> Result<i64, DecimalError> {
    if value == 0 {
        return Ok(0);
    }
    let power = 10i128.checked_pow(shift.unsigned_abs());
    let scaled = if shift >= 0 {
        power.and_then(|power| value.checked_mul(power)).ok_or(DecimalError::Range)?
    } else {
        let exact = power.filter(|power| value % power == 0).map(|power| value / power);
        exact.ok_or(DecimalError::Scale)?
    };
    let scaled = if negative { -scaled } else { scaled };
    i64::try_from(scaled).map_err(|_| DecimalError::Range)
}

fn count(digits: usize) -> i64 {
    i64::try_from(digits).unwrap_or(FAR)
}

/// Appends a scaled integer with exactly `scale` digits after the point.
pub(crate) fn write(out: &mut Vec<u8>, value: i128, scale: u8) {
    let mut digits = [0u8; 48];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    let least = usize::from(scale) + 1;
    while rest > 0 || digits.len() - at < least {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    if value < 0 {
        out.push(b'-');
    }
    let (whole, fraction) = digits[at..].split_at(digits.len() - at - usize::from(scale));
    out.extend_from_slice(whole);
    if scale > 0 {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

/// Returns a scaled integer as text.
pub(crate) fn text(value: i64, scale: u8) -> String {
    let mut out = Vec::new();
    write(&mut out, i128::from(value), scale);
    String::from_utf8(out).expect("digits must be UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, scale: u8, expected: Result<i64, DecimalError>) {
        assert_eq!(parse(input, scale), expected, "{input} at scale {scale}");
    }

    #[test]
    fn decimals_are_read_exactly() {
        check("12.34", 2, Ok(1234));
        check("12", 2, Ok(1200));
        check("-0.01", 2, Ok(-1));
        check("-0", 2, Ok(0));
        check("0.1", 18, Ok(100_000_000_000_000_000));
        check("12.3400", 2, Ok(1234));
        check("12.345", 2, Err(DecimalError::Scale));
        check("9223372036854775807", 0, Ok(i64::MAX));
        check("-9223372036854775808", 0, Ok(i64::MIN));
        check("9223372036854775808", 0, Err(DecimalError::Range));
        check("92233720368547758.08", 2, Err(DecimalError::Range));
        check("0.00000000000000000000000000000000000001", 2, Err(DecimalError::Scale));
        check("1.0000000000000000000000000000000000000000", 2, Ok(100));
    }

    #[test]
    fn exponents_shift_the_point() {
        check("1e2", 0, Ok(100));
        check("1.5E+1", 1, Ok(150));
        check("1234e-2", 2, Ok(1234));
        check("1e-3", 2, Err(DecimalError::Scale));
        check("1e999999999999", 2, Err(DecimalError::Range));
        check("1e-999999999999", 2, Err(DecimalError::Scale));
        check("0e999999999999", 2, Ok(0));
        check("100000000000000000000000000000000000000000000000e-46", 0, Ok(10));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "1.", ".5", "1..2", "1.2.3", "+1", " 1", "0x1", "e", "1e", "NaN"]
        {
            check(text, 2, Err(DecimalError::NotANumber));
        }
    }

    #[test]
    fn decimals_are_written_with_every_digit_of_their_scale() {
        for (value, scale, expected) in [
            (1234, 2, "12.34"),
            (-1, 2, "-0.01"),
            (0, 2, "0.00"),
            (5, 0, "5"),
            (i64::MIN, 18, "-9.223372036854775808"),
        ] {
            assert_eq!(text(value, scale), expected);
        }
    }
}
