//! Look-ups of one type each: a value of another type is a problem that says what to write.

use std::time::Duration;

use tidegate_core::clock::parse_span;
use toml::Spanned;
use toml::de::DeValue;

use super::{At, Problems, Section};

/// Longest span that is taken: 100 years.
const MAX_SPAN: Duration = Duration::from_secs(36_525 * 86_400);

impl<'a> Section<'a> {
    pub(in crate::compile) fn text(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
    ) -> Option<At<&'a str>> {
        let entry = self.take(key)?;
        let DeValue::String(text) = entry.value else {
            self.wrong(entry, &format!("a string: {key} = {example}"), problems);
            return None;
        };
        Some(At { at: entry.value_at, value: text })
    }

    pub(in crate::compile) fn required_text(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
    ) -> Option<At<&'a str>> {
        if !self.has(key) {
            self.known.push(key);
            self.missing(key, example, problems);
            return None;
        }
        self.text(key, example, problems)
    }

    pub(in crate::compile) fn boolean(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<bool>> {
        let entry = self.take(key)?;
        let DeValue::Boolean(value) = entry.value else {
            self.wrong(entry, "true or false", problems);
            return None;
        };
        Some(At { at: entry.value_at, value: *value })
    }

    /// Reads a whole number within limits.
    pub(in crate::compile) fn integer(
        &mut self,
        key: &'static str,
        limits: (i64, i64),
        problems: &mut Problems,
    ) -> Option<At<i64>> {
        let entry = self.take(key)?;
        let (min, max) = limits;
        let number = match entry.value {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        if let Some(value) = number.filter(|number| (min..=max).contains(number)) {
            return Some(At { at: entry.value_at, value });
        }
        let wanted = match (min, max) {
            (i64::MIN, i64::MAX) => "a whole number".to_owned(),
            _ => format!("a whole number from {min} to {max}"),
        };
        if number.is_some() {
            problems.add(entry.value_at, format!("'{key}' is out of range; write {wanted}"));
        } else {
            self.wrong(entry, &wanted, problems);
        }
        None
    }

    /// Reads a whole number within limits as a length or count.
    pub(in crate::compile) fn count(
        &mut self,
        key: &'static str,
        limits: (i64, i64),
        problems: &mut Problems,
    ) -> Option<usize> {
        let number = self.integer(key, limits, problems)?;
        usize::try_from(number.value).ok()
    }

    /// Reads the digits of a number, which may have a point.
    pub(in crate::compile) fn digits(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<&'a str>> {
        let entry = self.take(key)?;
        let digits = match entry.value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => {
                self.wrong(entry, "a number", problems);
                return None;
            }
        };
        Some(At { at: entry.value_at, value: digits.strip_prefix('+').unwrap_or(digits) })
    }

    /// Reads a string, whole number or boolean as the text a request would have.
    pub(in crate::compile) fn scalar(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<String>> {
        let entry = self.take(key)?;
        let value = match entry.value {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Boolean(value) => value.to_string(),
            _ => {
                self.wrong(entry, "a string or a whole number", problems);
                return None;
            }
        };
        Some(At { at: entry.value_at, value })
    }

    /// Reads a span such as `"30s"`.
    pub(in crate::compile) fn span(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
    ) -> Option<At<Duration>> {
        let text = self.text(key, example, problems)?;
        let Some(value) = parse_span(text.value).filter(|span| *span <= MAX_SPAN) else {
            problems.add(
                text.at,
                format!("'{}' is no span; write {key} = {example} (ms, s, m, h or d)", text.value),
            );
            return None;
        };
        Some(At { at: text.at, value })
    }

    /// Reads a list of strings.
    pub(in crate::compile) fn texts(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
    ) -> Option<At<Vec<At<&'a str>>>> {
        let entry = self.take(key)?;
        let list = match entry.value {
            DeValue::Array(list) => list.iter().map(text_of).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        if list.is_none() {
            self.wrong(entry, &format!("a list of strings: {key} = {example}"), problems);
        }
        list.map(|value| At { at: entry.value_at, value })
    }
}

fn text_of<'a>(item: &'a Spanned<DeValue<'a>>) -> Option<At<&'a str>> {
    match item.get_ref() {
        DeValue::String(text) => Some(At { at: item.span().start, value: text }),
        _ => None,
    }
}
