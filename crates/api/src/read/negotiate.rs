//! Which format a client gets (RFC 9110 section 12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;
use tidegate_product::contract::Format;

use crate::error::Refusal;

/// Picks the served format that the client likes best; of those it likes alike, the first.
pub(super) fn negotiate(headers: &HeaderMap, served: &[Format]) -> Result<Format, Refusal> {
    let mut best: Option<(u16, Format)> = None;
    if !headers.contains_key(ACCEPT) {
        best = served.first().map(|format| (1_000, *format));
    }
    for format in served {
        let quality = quality(headers, format.media_type());
        if quality > best.map_or(0, |(quality, _)| quality) {
            best = Some((quality, *format));
        }
    }
    best.map(|(_, format)| format).ok_or_else(|| {
        let types: Vec<_> = served.iter().map(|format| format.media_type()).collect();
        Refusal::NotAcceptable(types.join(", "))
    })
}

/// Returns in thousandths how much the client likes a media type: the most specific range counts.
fn quality(headers: &HeaderMap, media_type: &str) -> u16 {
    let kind = media_type.split_once('/').map_or("", |(kind, _)| kind);
    let fields = headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok());
    let ranges = fields.flat_map(|field| field.split(',')).filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next()?;
        let specificity = if name.eq_ignore_ascii_case(media_type) {
            2
        } else if name.strip_suffix("/*").is_some_and(|range| range.eq_ignore_ascii_case(kind)) {
            1
        } else if name == "*/*" {
            0
        } else {
            return None;
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        Some((specificity, weight.map_or(1_000, thousandths)))
    });
    ranges.max_by_key(|(specificity, _)| *specificity).map_or(0, |(_, quality)| quality)
}

/// Reads a weight such as `0.8`; what is none counts as zero.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || fraction.len() > 3 {
        return 0;
    }
    format!("{whole}{fraction:0<3}").parse().map_or(0, |quality: u16| quality.min(1_000))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(accept: Option<&'static str>, expected: Option<Format>) {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        let picked = negotiate(&headers, &[Format::Json, Format::Csv]).ok();
        assert_eq!(picked, expected, "{accept:?}");
    }

    #[test]
    fn the_format_that_the_client_likes_best_is_served() {
        check(None, Some(Format::Json));
        check(Some("*/*"), Some(Format::Json));
        check(Some("text/csv"), Some(Format::Csv));
        check(Some("TEXT/*"), Some(Format::Csv));
        check(Some("text/csv;q=0.5, application/json;q=0.4"), Some(Format::Csv));
        check(Some("application/json;q=0, */*"), Some(Format::Csv));
        check(Some("text/html,*/*;q=0.8"), Some(Format::Json));
        check(Some("application/x-ndjson"), None);
        check(Some("application/json;q=0"), None);
        check(Some(""), None);
        check(Some("application/json;q=high"), None);
    }
}
