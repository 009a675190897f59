//! The products that are served, ready for requests; swapped whole when a contract changes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;
use tidegate_core::edge_plan::EdgePlan;
use tidegate_core::path::PathTemplate;
use tidegate_product::contract::{Contract, Endpoint};
use tidegate_product::response;
use tidegate_store::{Store, StoredContract};
use tokio::sync::Semaphore;

use crate::authenticate::Principal;
use crate::authorize;
use crate::error::{Error, Refusal};
use crate::metrics::{RowCounters, Series, metrics};

/// All products, as of the last look at the store.
pub(crate) struct Catalog {
    products: Vec<Arc<Product>>,
    edge_plans: Vec<(String, Bytes)>,
}

/// The catalog that requests read and a reload replaces.
pub(crate) struct SharedCatalog(ArcSwap<Catalog>);

/// A product, ready for requests.
pub(crate) struct Product {
    pub(crate) stored: Arc<StoredContract>,
    /// By position of the dataset.
    pub(crate) rows: Vec<RowCounters>,
    /// Most specific path first, so that the first match is the best one.
    routes: Vec<Arc<Route>>,
}

/// Names and decoded values of a path's captures.
pub(crate) type Captures = Vec<(String, String)>;

/// An endpoint, with everything that its answers have in common.
pub(crate) struct Route {
    /// Position in [`Contract::endpoints`].
    endpoint: usize,
    template: PathTemplate,
    /// First part of the entity tags.
    pub(crate) shape: String,
    pub(crate) cache_control: HeaderValue,
    pub(crate) vary: Option<HeaderValue>,
    pub(crate) permits: Semaphore,
    pub(crate) series: Arc<Series>,
}

// === impl SharedCatalog ===

impl SharedCatalog {
    /// Loads all contracts of the store.
    ///
    /// # Errors
    /// The store can't be read, or one of its contracts can't be served.
    pub(crate) async fn open(store: &dyn Store) -> Result<Self, Error> {
        let catalog = Self(ArcSwap::from_pointee(Catalog::build(Vec::new())?));
        catalog.reload(store).await?;
        Ok(catalog)
    }

    /// Returns the catalog of this moment.
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Catalog>> {
        self.0.load()
    }

    /// Replaces the catalog if another process has applied a contract.
    ///
    /// # Errors
    /// As for [`SharedCatalog::open`]; the catalog stays as it is.
    pub(crate) async fn reload(&self, store: &dyn Store) -> Result<(), Error> {
        let stored = store.contracts().await.map_err(Error::Store)?;
        if self.load().is_of(&stored) {
            return Ok(());
        }
        let names: Vec<_> =
            stored.iter().map(|stored| (stored.contract.name.clone(), stored.version)).collect();
        self.0.store(Arc::new(Catalog::build(stored)?));
        tracing::info!(contracts = ?names, "Contracts loaded.");
        Ok(())
    }
}

// === impl Catalog ===

impl Catalog {
    fn build(stored: Vec<Arc<StoredContract>>) -> Result<Self, Error> {
        let mut edge_plans = vec![encode(&EdgePlan::empty())];
        let of =
            |stored: &Arc<StoredContract>| encode(&tidegate_product::edge_plan(&stored.contract));
        edge_plans.extend(stored.iter().map(of));
        let products = stored.into_iter().map(|stored| Product::build(stored).map(Arc::new));
        Ok(Self { products: products.collect::<Result<_, _>>()?, edge_plans })
    }

    fn is_of(&self, stored: &[Arc<StoredContract>]) -> bool {
        self.products.len() == stored.len()
            && self.products.iter().zip(stored).all(|(product, stored)| {
                Arc::ptr_eq(&product.stored, stored)
                    || (product.stored.version == stored.version
                        && product.stored.contract.name == stored.contract.name)
            })
    }

    /// Returns the product called `name`.
    pub(crate) fn product(&self, name: &str) -> Option<&Arc<Product>> {
        // A handful: comparing them takes less time than hashing the name.
        self.products.iter().find(|product| product.contract().name == name)
    }

    /// Returns the product called `name`, or a refusal that names those the token may know.
    pub(crate) fn find(&self, name: &str, by: &Principal) -> Result<Arc<Product>, Refusal> {
        self.product(name).map(Arc::clone).ok_or_else(|| {
            let known = self.known_to(by);
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Refusal::NotFound(format!("there is no product '{name}'; known are {known}"))
        })
    }

    /// Returns the names of the products that a token may know.
    pub(crate) fn known_to(&self, by: &Principal) -> Vec<&str> {
        let names = self.products.iter().map(|product| product.contract().name.as_str());
        names.filter(|name| authorize::knows(by, name)).collect()
    }

    /// Returns the JSON of the edge plan with this digest.
    pub(crate) fn edge_plan(&self, digest: &str) -> Option<Bytes> {
        self.edge_plans.iter().find(|(known, _)| known == digest).map(|(_, json)| json.clone())
    }
}

// === impl Product ===

impl Product {
    fn build(stored: Arc<StoredContract>) -> Result<Self, Error> {
        let contract = &stored.contract;
        let mut routes = contract
            .endpoints
            .iter()
            .enumerate()
            .map(|(position, endpoint)| Route::build(contract, position, endpoint).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        routes.sort_by_key(|route| std::cmp::Reverse(route.template.specificity()));
        let counters = |name: &str| metrics().row_counters(&contract.name, name);
        let rows = contract.datasets.iter().map(|dataset| counters(&dataset.name)).collect();
        Ok(Self { rows, routes, stored })
    }

    /// Returns the contract.
    pub(crate) fn contract(&self) -> &Contract {
        &self.stored.contract
    }

    /// Returns the endpoint of a route.
    pub(crate) fn endpoint(&self, route: &Route) -> &Endpoint {
        &self.contract().endpoints[route.endpoint]
    }

    /// Returns the route that takes `path`, with its decoded captures.
    pub(crate) fn route(&self, path: &str) -> Option<(&Arc<Route>, Captures)> {
        self.routes
            .iter()
            .find_map(|route| route.template.matches(path).map(|captures| (route, captures)))
    }
}

// === impl Route ===

impl Route {
    fn build(contract: &Contract, position: usize, endpoint: &Endpoint) -> Result<Self, Error> {
        let template = PathTemplate::parse(&endpoint.path).map_err(|error| Error::Contract {
            product: contract.name.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            endpoint: position,
            template,
            shape: response::shape(endpoint),
            cache_control: HeaderValue::try_from(response::cache_control(endpoint))
                .expect("a cache policy must be a field value: it is ASCII"),
            vary: response::vary(endpoint).map(HeaderValue::from_static),
            permits: Semaphore::new(endpoint.concurrency.min(Semaphore::MAX_PERMITS)),
            series: metrics().series(&format!("{}/{}", contract.name, endpoint.name)),
        })
    }
}

fn encode(plan: &EdgePlan) -> (String, Bytes) {
    let json = serde_json::to_vec(plan).expect("a plan must serialize: it holds plain data");
    (plan.digest(), json.into())
}
