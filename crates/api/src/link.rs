//! Links to the next page (RFC 8288).

use http::{HeaderValue, Uri};
use tidegate_core::param::percent_decode;

/// Name of the parameter that says where a page begins.
const CURSOR: &str = "cursor";

/// Returns `Link` to the page that begins at `cursor`: the same request otherwise.
pub(crate) fn next_page(uri: &Uri, cursor: &str) -> HeaderValue {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let others = pairs.filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        percent_decode(name, true).is_none_or(|name| name != CURSOR)
    });
    let cursor = format!("{CURSOR}={cursor}");
    let query: Vec<&str> = others.chain([cursor.as_str()]).collect();
    HeaderValue::try_from(format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&")))
        .expect("a link must be a field value: it is made from a request's target")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &'static str, expected: &str) {
        assert_eq!(next_page(&Uri::from_static(uri), "Zm9v"), expected);
    }

    #[test]
    fn the_next_page_is_the_same_request_from_the_cursor_on() {
        check("/v1/air/readings", "</v1/air/readings?cursor=Zm9v>; rel=\"next\"");
        check("/r?limit=2&cursor=YQ", "</r?limit=2&cursor=Zm9v>; rel=\"next\"");
        check("/r?%63ursor=YQ&city=s%C3%A3o", "</r?city=s%C3%A3o&cursor=Zm9v>; rel=\"next\"");
    }
}
