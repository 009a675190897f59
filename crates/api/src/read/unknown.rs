//! Paths that nothing is served at: says what there is, to those who may know.

use http::HeaderMap;
use tokio::time::Instant;

use crate::app::App;
use crate::authorize;
use crate::catalog::Product;
use crate::error::Refusal;

/// Returns the product that a path is about.
pub(super) fn product_of(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/")?.split('/').next().filter(|name| !name.is_empty())
}

/// Refuses a path that nothing is served at.
pub(super) async fn refuse(
    app: &App,
    headers: &HeaderMap,
    path: &str,
    product: Option<&Product>,
) -> Refusal {
    let nothing = || Refusal::NotFound("nothing is served at this path".to_owned());
    let Some(name) = product_of(path) else { return nothing() };
    // Without a valid token nobody learns more; a wrong one is not this path's affair.
    let Ok(principal) = app.credentials.authenticate(headers, Instant::now()).await else {
        return nothing();
    };
    if let Some(product) = product.filter(|_| authorize::knows(&principal, name)) {
        let contract = product.contract();
        let paths: Vec<_> = contract.endpoints.iter().map(|known| known.path.as_str()).collect();
        return Refusal::NotFound(format!(
            "product '{name}' serves nothing at this path; its endpoints are {}",
            paths.join(", ")
        ));
    }
    let catalog = app.catalog.load();
    let known = catalog.known_to(&principal);
    if known.is_empty() {
        return nothing();
    }
    Refusal::NotFound(format!(
        "nothing is served at this path; products that this token knows are {}",
        known.join(", ")
    ))
}
