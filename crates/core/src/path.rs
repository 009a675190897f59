//! Path templates such as `/v1/air/cities/{city}/series`.

use serde::{Deserialize, Serialize};

use crate::param::percent_decode;

/// A checked path template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathTemplate {
    text: String,
    segments: Vec<Segment>,
    prefix: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Capture(String),
}

/// Why a path template was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathTemplateError {
    /// It does not begin with a slash.
    #[error("path '{0}' must begin with '/'")]
    NotAbsolute(String),
    /// A segment is empty or mixes text and braces.
    #[error("path segment '{0}' must be plain text or one {{name}}")]
    Segment(String),
    /// A name stands twice.
    #[error("path parameter '{0}' stands twice")]
    Repeated(String),
}

// === impl PathTemplate ===

impl PathTemplate {
    /// Parses a template; a trailing `/*` matches any rest, and `/*` alone matches every path.
    ///
    /// # Errors
    /// Says which segment is wrong.
    pub fn parse(text: &str) -> Result<Self, PathTemplateError> {
        let not_absolute = || PathTemplateError::NotAbsolute(text.to_owned());
        let (body, prefix) = match text.strip_suffix("/*") {
            Some(body) => (body, true),
            None => (text, false),
        };
        let mut segments = Vec::new();
        if !(prefix && body.is_empty()) {
            let rest = body.strip_prefix('/').ok_or_else(not_absolute)?;
            if !rest.is_empty() || prefix {
                for segment in rest.split('/') {
                    segments.push(Segment::parse(segment)?);
                }
            }
        }
        let mut names: Vec<&str> = segments.iter().filter_map(Segment::name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(PathTemplateError::Repeated(pair[0].to_owned()));
        }
        Ok(Self { text: text.to_owned(), segments, prefix })
    }

    /// Returns the template's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the names in braces, in order.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }

    /// Matches a request path; returns the decoded captures, or `None` if it does not match.
    pub fn matches(&self, path: &str) -> Option<Vec<(String, String)>> {
        let mut captures = Vec::new();
        let mut rest = path.strip_prefix('/')?;
        let mut exhausted = self.segments.is_empty() && rest.is_empty();
        for (position, segment) in self.segments.iter().enumerate() {
            if exhausted && position > 0 {
                return None;
            }
            let (part, after) = match rest.split_once('/') {
                Some((part, after)) => (part, Some(after)),
                None => (rest, None),
            };
            match segment {
                Segment::Literal(text) if text == part => {}
                Segment::Literal(_) => return None,
                Segment::Capture(_) if part.is_empty() => return None,
                Segment::Capture(name) => {
                    captures.push((name.clone(), percent_decode(part, false)?));
                }
            }
            exhausted = after.is_none();
            rest = after.unwrap_or("");
        }
        (exhausted || self.prefix).then_some(captures)
    }

    /// Orders templates so that the more specific one is tried first: more segments, then more
    /// literal ones, then exact before prefix.
    pub fn specificity(&self) -> (usize, usize, bool) {
        let literals = self.segments.iter().filter(|part| part.name().is_none()).count();
        (self.segments.len(), literals, !self.prefix)
    }
}

impl TryFrom<String> for PathTemplate {
    type Error = PathTemplateError;

    fn try_from(text: String) -> Result<Self, PathTemplateError> {
        Self::parse(&text)
    }
}

impl From<PathTemplate> for String {
    fn from(template: PathTemplate) -> Self {
        template.text
    }
}

// === impl Segment ===

impl Segment {
    fn parse(text: &str) -> Result<Self, PathTemplateError> {
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Ok(Self::Capture(name.to_owned()));
        }
        if text.is_empty() || text.contains(['{', '}', '*', '?', '#', '%']) {
            return Err(PathTemplateError::Segment(text.to_owned()));
        }
        Ok(Self::Literal(text.to_owned()))
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Capture(name) => Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, path: &str, expected: Option<&[(&str, &str)]>) {
        let captures = PathTemplate::parse(template).unwrap().matches(path);
        let captures: Option<Vec<(&str, &str)>> = captures.as_ref().map(|pairs| {
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
        });
        assert_eq!(captures.as_deref(), expected, "{template} {path}");
    }

    #[test]
    fn templates_match_whole_segments() {
        check("/cities/{city}/series", "/cities/oslo/series", Some(&[("city", "oslo")]));
        check("/cities/{city}/series", "/cities/s%C3%A3o/series", Some(&[("city", "são")]));
        check("/cities/{city}/series", "/cities//series", None);
        check("/cities/{city}/series", "/cities/oslo", None);
        check("/cities/{city}/series", "/cities/oslo/series/", None);
        check("/cities/{city}", "/cities/oslo/series", None);
        check("/", "/", Some(&[]));
        check("/", "/a", None);
    }

    #[test]
    fn a_star_matches_any_rest() {
        check("/*", "/", Some(&[]));
        check("/*", "/a/b", Some(&[]));
        check("/v1/*", "/v1", Some(&[]));
        check("/v1/*", "/v1/a/b", Some(&[]));
        check("/v1/*", "/v2/a", None);
        check("/v1/*", "/v10", None);
    }

    #[test]
    fn broken_templates_say_which_segment() {
        assert_eq!(
            PathTemplate::parse("/a/{b}c").unwrap_err().to_string(),
            "path segment '{b}c' must be plain text or one {name}"
        );
        assert!(PathTemplate::parse("a").is_err());
        assert!(PathTemplate::parse("/{a}/{a}").is_err());
        assert!(PathTemplate::parse("/a//b").is_err());
    }
}
