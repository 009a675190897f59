//! `Cache-Control` (RFC 9111 section 5.2), as sent by origins and by clients.

use std::borrow::Cow;

use http::header::{CACHE_CONTROL, HeaderMap, HeaderName};

/// Beyond this, a number of seconds means "forever" (RFC 9111 section 1.2.2).
const MAX_DELTA_SECONDS: u32 = 1 << 31;

/// What an origin says of its response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseControl {
    pub(crate) no_store: bool,
    pub(crate) must_understand: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) no_cache: Fields,
    pub(crate) private: Fields,
    pub(crate) max_age: Option<Delta>,
    pub(crate) s_maxage: Option<Delta>,
    pub(crate) stale_while_revalidate: Option<Delta>,
    pub(crate) stale_if_error: Option<Delta>,
}

/// What a client asks of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestControl {
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
    /// It wants an answer of the origin: `no-cache` or `max-age=0`.
    pub(crate) revalidate: bool,
}

/// A number of seconds as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delta {
    Seconds(u32),
    /// Not a number: RFC 9111 section 4.2.1 encourages to treat the response as stale.
    Invalid,
}

/// What `no-cache` or `private` applies to (RFC 9111 sections 5.2.2.4 and 5.2.2.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fields {
    /// The directive was not sent.
    #[default]
    Absent,
    /// The whole response.
    All,
    /// Only these fields.
    Named(Vec<HeaderName>),
}

// === impl ResponseControl ===

impl ResponseControl {
    /// Reads every `Cache-Control` line. Of a directive sent twice, the first counts
    /// (RFC 9111 section 4.2.1).
    pub(crate) fn parse(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        each_directive(headers, |name, value| control.take(name, value));
        control
    }

    fn take(&mut self, name: &str, value: Option<&str>) {
        let first = |delta: &mut Option<Delta>| {
            delta.get_or_insert_with(|| Delta::parse(value));
        };
        match name.to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "must-understand" => self.must_understand = true,
            "public" => self.public = true,
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            "no-cache" => self.no_cache.add(value),
            "private" => self.private.add(value),
            "max-age" => first(&mut self.max_age),
            "s-maxage" => first(&mut self.s_maxage),
            "stale-while-revalidate" => first(&mut self.stale_while_revalidate),
            "stale-if-error" => first(&mut self.stale_if_error),
            // An unknown directive is ignored (RFC 9111 section 5.2.3).
            _ => {}
        }
    }
}

// === impl RequestControl ===

impl RequestControl {
    /// Reads every `Cache-Control` line of a request.
    pub(crate) fn parse(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        each_directive(headers, |name, value| {
            if name.eq_ignore_ascii_case("no-store") {
                control.no_store = true;
            } else if name.eq_ignore_ascii_case("only-if-cached") {
                control.only_if_cached = true;
            } else if name.eq_ignore_ascii_case("no-cache")
                || (name.eq_ignore_ascii_case("max-age")
                    && Delta::parse(value) == Delta::Seconds(0))
            {
                control.revalidate = true;
            }
        });
        control
    }
}

// === impl Delta ===

impl Delta {
    fn parse(value: Option<&str>) -> Self {
        let Some(text) = value.filter(|text| !text.is_empty()) else { return Self::Invalid };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Invalid;
        }
        // Only overflow is left to fail.
        Self::Seconds(text.parse().unwrap_or(MAX_DELTA_SECONDS).min(MAX_DELTA_SECONDS))
    }

    /// Returns the seconds, zero for what is no number.
    pub(crate) fn seconds(self) -> u32 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::Invalid => 0,
        }
    }
}

// === impl Fields ===

impl Fields {
    fn add(&mut self, value: Option<&str>) {
        let names: Vec<HeaderName> = value
            .unwrap_or_default()
            .split(',')
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        match self {
            Self::All => {}
            Self::Named(known) if !names.is_empty() => known.extend(names),
            Self::Absent if !names.is_empty() => *self = Self::Named(names),
            // An argument without a field name is read as none: the stricter meaning.
            Self::Absent | Self::Named(_) => *self = Self::All,
        }
    }

    /// Returns the fields it names.
    pub(crate) fn named(&self) -> &[HeaderName] {
        match self {
            Self::Named(names) => names,
            Self::Absent | Self::All => &[],
        }
    }
}

fn each_directive(headers: &HeaderMap, mut found: impl FnMut(&str, Option<&str>)) {
    for line in headers.get_all(CACHE_CONTROL) {
        parse_line(&String::from_utf8_lossy(line.as_bytes()), &mut found);
    }
}

/// Splits a line into `name[=value]`, where a value is a token or a quoted string: recipients
/// accept both forms for every directive (RFC 9111 section 5.2).
fn parse_line(line: &str, found: &mut impl FnMut(&str, Option<&str>)) {
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return;
        }
        let end = rest.find(['=', ',', ' ', '\t']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let after = match after.strip_prefix('=') {
            None => {
                found(name, None);
                after
            }
            Some(value) => match value.strip_prefix('"') {
                Some(quoted) => {
                    let (text, after) = unquote(quoted);
                    found(name, Some(&text));
                    after
                }
                None => {
                    let end = value.find(',').unwrap_or(value.len());
                    let (value, after) = value.split_at(end);
                    found(name, Some(value.trim()));
                    after
                }
            },
        };
        rest = after.split_once(',').map_or("", |(_, next)| next);
    }
}

/// Reads a quoted string whose opening quote is gone; returns its text and what follows it.
fn unquote(text: &str) -> (Cow<'_, str>, &str) {
    let mut unescaped = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\']) {
        let (plain, marked) = rest.split_at(at);
        unescaped.push_str(plain);
        let mut chars = marked.chars();
        if chars.next() == Some('"') {
            return (Cow::Owned(unescaped), chars.as_str());
        }
        unescaped.extend(chars.next());
        rest = chars.as_str();
    }
    // The closing quote is missing: everything belongs to the value.
    (Cow::Borrowed(text), "")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(lines: &[&str]) -> ResponseControl {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(line).unwrap());
        }
        ResponseControl::parse(&headers)
    }

    #[track_caller]
    fn max_age(lines: &[&str], expected: Option<Delta>) {
        assert_eq!(parse(lines).max_age, expected, "{lines:?}");
    }

    #[test]
    fn seconds_are_digits_in_either_form_and_saturate() {
        max_age(&["max-age=60"], Some(Delta::Seconds(60)));
        max_age(&["MAX-AGE=\"60\""], Some(Delta::Seconds(60)));
        max_age(&["max-age=99999999999999999999"], Some(Delta::Seconds(1 << 31)));
        for invalid in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=a"] {
            max_age(&[invalid], Some(Delta::Invalid));
        }
        max_age(&["max-agee=60", "x=\"max-age=5\""], None);
    }

    #[test]
    fn of_a_directive_sent_twice_the_first_counts() {
        max_age(&["max-age=1, max-age=2"], Some(Delta::Seconds(1)));
        max_age(&["max-age=1", "max-age=2"], Some(Delta::Seconds(1)));
    }

    #[test]
    fn quoted_text_hides_commas_and_directives() {
        let control = parse(&["ext=\"no-store, a\\\"b\", max-age=5"]);
        assert_eq!((control.no_store, control.max_age), (false, Some(Delta::Seconds(5))));
    }

    #[test]
    fn no_cache_and_private_may_name_fields() {
        let named = |names: &[&str]| {
            Fields::Named(names.iter().map(|name| name.parse().unwrap()).collect())
        };
        let cases = [
            ("no-cache", Fields::All),
            ("no-cache=\"set-cookie, x-a\"", named(&["set-cookie", "x-a"])),
            ("no-cache=x-a", named(&["x-a"])),
            ("no-cache=\"\"", Fields::All),
            ("no-cache=\"x-a\", no-cache", Fields::All),
            ("no-cache=\"x-a\", no-cache=\"x-b\"", named(&["x-a", "x-b"])),
            ("max-age=1", Fields::Absent),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(&[line]).no_cache, expected, "{line}");
            let private = line.replace("no-cache", "private");
            assert_eq!(parse(&[&private]).private, expected, "{private}");
        }
    }

    #[test]
    fn junk_between_directives_does_not_hide_them() {
        let control = parse(&[",, ;=, no-store ;x, public,", "must-understand"]);
        assert!(control.no_store && control.public && control.must_understand);
    }

    #[test]
    fn clients_ask_for_what_is_stored_or_for_the_origin() {
        let parse = |line: &'static str| {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(line))]);
            RequestControl::parse(&headers)
        };
        let none = RequestControl::default();
        assert_eq!(parse("only-if-cached"), RequestControl { only_if_cached: true, ..none });
        assert_eq!(parse("no-store"), RequestControl { no_store: true, ..none });
        assert_eq!(parse("no-cache"), RequestControl { revalidate: true, ..none });
        assert_eq!(parse("max-age=0"), RequestControl { revalidate: true, ..none });
        assert_eq!(parse("max-age=10"), none);
    }
}
