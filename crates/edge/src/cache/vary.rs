//! The secondary key: request fields named by `Vary` (RFC 9111 section 4.1).

use std::borrow::Cow;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, HeaderMap, HeaderName, VARY,
};
use tidegate_core::scope::credential_digest;

/// Most fields one response may vary on; one that names more is stored for nobody else anyway.
const MAX_FIELDS: usize = 16;

/// Stands for a field that was not sent; no field's value has a NUL.
const ABSENT: &str = "\0absent";

/// The fields that select a stored response, with the normalised values of the request for which
/// it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selecting(Box<[(HeaderName, Box<str>)]>);

/// Whose business `Authorization` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthorizationField {
    /// The primary key holds the resolved scope: `Vary: Authorization` is satisfied by it.
    InKey,
    /// It selects like any other field.
    Selects,
}

/// `Vary` names more fields than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyFields;

// === impl Selecting ===

impl Selecting {
    /// Takes the values of the fields that the response's `Vary` names from the request.
    pub(crate) fn take(
        response: &HeaderMap,
        request: &HeaderMap,
        authorization: AuthorizationField,
    ) -> Result<Self, TooManyFields> {
        let mut names: Vec<HeaderName> = Vec::new();
        for line in response.get_all(VARY) {
            let members = line.as_bytes().split(|byte| *byte == b',');
            names.extend(
                members.filter_map(|member| HeaderName::from_bytes(member.trim_ascii()).ok()),
            );
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        if authorization == AuthorizationField::InKey {
            names.retain(|name| name != AUTHORIZATION);
        }
        if names.len() > MAX_FIELDS {
            return Err(TooManyFields);
        }
        let fields = names.into_iter().map(|name| {
            let value = normalised(&name, request).into();
            (name, value)
        });
        Ok(Self(fields.collect()))
    }

    /// Says whether the response was made for requests like this one.
    pub(crate) fn matches(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, value)| *normalised(name, request) == **value)
    }

    /// Says whether it was made for requests that send none of the fields: those that workers and
    /// orders for them can make.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.iter().all(|(_, value)| **value == *ABSENT)
    }

    /// Returns the bytes it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        let entry = size_of::<(HeaderName, Box<str>)>();
        self.0.iter().map(|(name, value)| name.as_str().len() + value.len() + entry).sum()
    }
}

/// Writes a field's value so that values with the same meaning have the same text.
fn normalised<'a>(name: &HeaderName, request: &'a HeaderMap) -> Cow<'a, str> {
    let mut lines = request.get_all(name).iter();
    let joined = match (lines.next(), lines.next()) {
        (None, _) => return Cow::Borrowed(ABSENT),
        (Some(line), None) => String::from_utf8_lossy(line.as_bytes()),
        // RFC 9110 section 5.2: lines of one field are members of one list.
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(lines);
            let all: Vec<_> = all.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
            Cow::Owned(all.join(", "))
        }
    };
    if name == ACCEPT_ENCODING || name == ACCEPT_LANGUAGE {
        return Cow::Owned(weighted_list(&joined));
    }
    // Stored responses outlive the request: a credential is kept as its digest only.
    if name == AUTHORIZATION || name == COOKIE {
        return Cow::Owned(credential_digest(&joined));
    }
    // RFC 9110 section 12.5.1: whoever takes anything may as well say nothing.
    if name == ACCEPT && joined.trim() == "*/*" {
        return Cow::Borrowed(ABSENT);
    }
    match joined {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Sorts the members of a list with weights (RFC 9110 section 12.4.2): most wanted first, members
/// that are refused left out, as whitespace, case and order carry no meaning.
fn weighted_list(list: &str) -> String {
    let mut members: Vec<(u16, String)> = list
        .split(',')
        .filter_map(|member| {
            let mut parts = member.split(';');
            let name = parts.next()?.trim().to_ascii_lowercase();
            let weight = parts.find_map(|part| {
                let (key, value) = part.split_once('=')?;
                key.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()))
            });
            let weight = weight.unwrap_or(1_000);
            // "identity;q=0" and "*;q=0" do change what may be sent.
            let matters = weight > 0 || name == "identity" || name == "*";
            (!name.is_empty() && matters).then_some((weight, name))
        })
        .collect();
    members.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    members.dedup();
    let texts = members.iter().map(|(weight, name)| match weight {
        1_000 => name.clone(),
        weight => format!("{name};{weight}"),
    });
    texts.collect::<Vec<_>>().join(",")
}

/// Reads a weight of at most three decimals; what is none counts as 1.
fn thousandths(text: &str) -> u16 {
    let Some((whole, fraction)) = text.split_once('.') else {
        return if text == "0" { 0 } else { 1_000 };
    };
    let padded: String = fraction.chars().chain("000".chars()).take(3).collect();
    if whole != "0" { 1_000 } else { padded.parse().unwrap_or(1_000) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[track_caller]
    fn check(vary: &str, stored: &[(&str, &str)], asked: &[(&str, &str)], expected: bool) {
        let response = headers(&[("vary", vary)]);
        let selects = AuthorizationField::Selects;
        let selecting = Selecting::take(&response, &headers(stored), selects).unwrap();
        assert_eq!(selecting.matches(&headers(asked)), expected, "{vary} {stored:?} {asked:?}");
    }

    #[test]
    fn every_named_field_must_match_and_absent_is_a_value() {
        check("x-a", &[("x-a", "1")], &[("x-a", "1"), ("x-b", "2")], true);
        check("x-a", &[("x-a", "1")], &[("x-a", "2")], false);
        check("X-A, x-b", &[("x-a", "1")], &[("x-a", "1")], true);
        check("x-a, x-b", &[("x-a", "1")], &[("x-a", "1"), ("x-b", "")], false);
        check("x-a", &[("x-a", "1"), ("x-a", "2")], &[("x-a", "1, 2")], true);
        check("", &[("x-a", "1")], &[], true);
    }

    #[test]
    fn order_case_and_whitespace_of_negotiation_lists_do_not_matter() {
        let name = "accept-encoding";
        check(name, &[(name, "gzip, br")], &[(name, "BR,gzip")], true);
        check(name, &[(name, "gzip;q=1.0, br")], &[(name, "br,gzip")], true);
        check(name, &[(name, "gzip;q=0.5, br")], &[(name, "br , gzip; q=0.500")], true);
        check(name, &[(name, "gzip, deflate;q=0")], &[(name, "gzip")], true);
        check(name, &[(name, "gzip;q=0.5, br")], &[(name, "br;q=0.5, gzip")], false);
        check(name, &[(name, "gzip, identity;q=0")], &[(name, "gzip")], false);
        let name = "accept-language";
        check(name, &[(name, "en-GB, de;q=0.8")], &[(name, "de;q=0.8,en-gb")], true);
        check(name, &[(name, "en, de;q=0.8")], &[(name, "en, de;q=0.7")], false);
    }

    #[test]
    fn whoever_takes_anything_may_as_well_say_nothing() {
        check("accept", &[], &[("accept", " */* ")], true);
        check("accept", &[("accept", "*/*")], &[], true);
        check("accept", &[("accept", "text/csv")], &[("accept", "*/*")], false);
        check("accept", &[("accept", "*/*;q=0.5, text/csv")], &[], false);
        let made_for = |accept| {
            let response = headers(&[("vary", "accept, authorization")]);
            let request = headers(&[("accept", accept), ("authorization", "Bearer a")]);
            Selecting::take(&response, &request, AuthorizationField::InKey).unwrap()
        };
        assert!(made_for("*/*").is_plain());
        assert!(!made_for("text/csv").is_plain());
    }

    #[test]
    fn a_credential_selects_but_is_not_kept() {
        let response = headers(&[("vary", "authorization, cookie")]);
        let request = headers(&[("authorization", "Bearer secret"), ("cookie", "id=secret")]);
        let take = |rule| Selecting::take(&response, &request, rule).unwrap();
        let selecting = take(AuthorizationField::Selects);
        assert!(!format!("{selecting:?}").contains("secret"));
        assert!(selecting.matches(&request));
        let other = headers(&[("authorization", "Bearer other"), ("cookie", "id=secret")]);
        assert!(!selecting.matches(&other));
        assert!(take(AuthorizationField::InKey).matches(&other));
    }

    #[test]
    fn the_number_of_fields_is_bounded() {
        let names: Vec<String> = (0..=MAX_FIELDS).map(|number| format!("x-{number}")).collect();
        let response = headers(&[("vary", &names.join(","))]);
        let taken = Selecting::take(&response, &HeaderMap::new(), AuthorizationField::Selects);
        assert_eq!(taken, Err(TooManyFields));
    }
}
