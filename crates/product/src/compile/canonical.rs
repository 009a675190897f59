//! Hashes of a contract's parts, made from what they mean and not from how they are written.

use std::fmt::Write as _;

use tidegate_core::edge_plan::Refresh;
use xxhash_rust::xxh3::xxh3_64;

use crate::contract::{
    Bucket, Cache, Column, Contract, Dataset, Endpoint, Field, Formula, GroupPart, Measure, Source,
    Stored, View,
};

/// Fills in view builds, endpoint hashes and the contract's hash, in this order: each is made from
/// the ones before.
pub(super) fn add_hashes(contract: &mut Contract) {
    let Contract { datasets, views, endpoints, .. } = contract;
    for view in views.iter_mut() {
        let hash = xxh3_64(view_text(view, &datasets[view.dataset]).as_bytes());
        view.build = format!("{:08x}", hash >> 32);
    }
    for endpoint in endpoints.iter_mut() {
        let text = match endpoint.source {
            Source::View(view) => {
                let view = &views[view];
                let dataset = &datasets[view.dataset];
                let fields = fields_text(endpoint, dataset, Some(view));
                endpoint_text(endpoint) + &fields + &view_text(view, dataset)
            }
            Source::Dataset(dataset) => {
                let dataset = &datasets[dataset];
                endpoint_text(endpoint) + &fields_text(endpoint, dataset, None)
            }
        };
        endpoint.hash = format!("{:016x}", xxh3_64(text.as_bytes()));
    }
    contract.hash = format!("{:016x}", xxh3_64(contract_text(contract).as_bytes()));
}

/// The whole contract; its parts in the order of their names.
fn contract_text(contract: &Contract) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(contract.datasets.iter().map(dataset_text));
    parts.extend(contract.views.iter().map(|view| view_text(view, contract.dataset_of(view))));
    parts.extend(contract.endpoints.iter().map(|endpoint| {
        let Endpoint { name, hash, timeout, concurrency, rate, freshness_slo, .. } = endpoint;
        let cache = cache_text(endpoint.cache);
        format!(
            "endpoint {name} {hash} {cache} {timeout:?} {concurrency} {rate:?} {freshness_slo:?}\n"
        )
    }));
    parts.sort_unstable();
    format!("product {} {}\n{}", contract.name, contract.version, parts.concat())
}

/// The cache policy; what is the default adds nothing, so that contracts that were stored before
/// there was a choice keep their hash.
fn cache_text(cache: Cache) -> String {
    let Cache { ttl_s, swr_s, sie_s, refresh } = cache;
    let refresh = match refresh {
        Refresh::Api => "",
        Refresh::Worker => ", refresh: worker",
    };
    format!("Cache {{ ttl_s: {ttl_s}, swr_s: {swr_s}, sie_s: {sie_s}{refresh} }}")
}

fn dataset_text(dataset: &Dataset) -> String {
    let Dataset { name, retention, replay, late_after, on_error, .. } = dataset;
    let columns = &dataset.columns;
    let mut lines: Vec<String> = columns.iter().map(column_text).collect();
    lines.extend(
        dataset.transforms.iter().map(|(column, expr)| {
            format!("transform {} {}\n", columns[*column].name, expr.canonical)
        }),
    );
    lines.extend(
        dataset
            .checks
            .iter()
            .map(|check| format!("check {} {}\n", check.name, check.expr.canonical)),
    );
    lines.sort_unstable();
    let key: Vec<&str> = dataset.key.iter().map(|column| columns[*column].name.as_str()).collect();
    let time = &columns[dataset.time].name;
    let (rows, bytes) = (dataset.max_batch_rows, dataset.max_body_bytes);
    format!(
        "dataset {name} {key:?} {time} {retention:?} {replay:?} {late_after:?} {on_error:?} {rows} \
         {bytes}\n{}",
        lines.concat()
    )
}

fn column_text(column: &Column) -> String {
    let Column { name, kind, nullable, rule, .. } = column;
    format!("column {name} {kind:?} {nullable} {rule:?}\n")
}

/// A view's definition with the types of the columns it is made from, not their limits: those
/// change which rows come in, not what is done with them.
fn view_text(view: &View, dataset: &Dataset) -> String {
    let name = |column: &usize| dataset.columns[*column].name.as_str();
    let group_by: Vec<&str> = view.group_by.iter().map(name).collect();
    let tags: Vec<&str> = view.tags.iter().map(|dim| name(&view.group_by[*dim])).collect();
    let bucket = view.bucket.map(|Bucket { column, every_us }| (name(&column), every_us));
    let filter = view.filter.as_ref().map(|filter| filter.canonical.as_str());
    let mut measures: Vec<String> =
        view.measures.iter().map(|measure| measure_text(measure, view, dataset)).collect();
    measures.sort_unstable();
    let mut used: Vec<usize> = view.group_by.clone();
    used.extend(view.bucket.map(|bucket| bucket.column));
    used.extend(view.stored.iter().map(|stored| stored.column()));
    used.extend(view.filter.iter().flat_map(|filter| &filter.columns));
    let mut types: Vec<String> = used
        .iter()
        .map(|column| {
            let Column { name, kind, nullable, .. } = &dataset.columns[*column];
            format!("{name} {kind:?} {nullable}\n")
        })
        .collect();
    types.sort_unstable();
    types.dedup();
    format!(
        "view {} {} {group_by:?} {bucket:?} {filter:?} {tags:?} {measures:?}\n{}",
        view.name,
        dataset.name,
        types.concat()
    )
}

fn measure_text(measure: &Measure, view: &View, dataset: &Dataset) -> String {
    let stored = |position: usize| {
        let aggregate: Stored = view.stored[position];
        format!("{}({})", aggregate.word(), dataset.columns[aggregate.column()].name)
    };
    let formula = match measure.formula {
        Formula::Rows => "rows".to_owned(),
        Formula::Stored(position) => stored(position),
        Formula::Ratio { sum, count } => {
            format!("{}/{}", stored(sum), count.map_or_else(|| "rows".to_owned(), stored))
        }
    };
    format!("{}={formula}", measure.name)
}

/// What of an endpoint decides how a response looks: not its cache policy and limits of load.
fn endpoint_text(endpoint: &Endpoint) -> String {
    let Endpoint { name, path, params, top, page, formats, scope, max_rows, .. } = endpoint;
    let top = top.map(|top| (top.k, top.k_max));
    let mut text =
        format!("endpoint {name} {path} {top:?} {page:?} {formats:?} {scope:?} {max_rows}\n");
    for param in params {
        // Writing to a string does not fail.
        writeln!(text, "{param:?}").unwrap_or(());
    }
    text
}

/// The selected fields by name, with the types of columns.
fn fields_text(endpoint: &Endpoint, dataset: &Dataset, view: Option<&View>) -> String {
    let column = |position: usize| {
        let Column { name, kind, nullable, .. } = &dataset.columns[position];
        format!("{name} {kind:?} {nullable}")
    };
    let mut text = String::new();
    for field in &endpoint.select {
        let field = match (field, view) {
            (Field::Part(GroupPart::Dim(dim)), Some(view)) => column(view.group_by[*dim]),
            (Field::Measure(measure), Some(view)) => view.measures[*measure].name.clone(),
            (Field::Column(position), _) => column(*position),
            (Field::Part(_) | Field::Measure(_), _) => "bucket".to_owned(),
        };
        writeln!(text, "field {field}").unwrap_or(());
    }
    if let (Some(top), Some(view)) = (endpoint.top, view) {
        writeln!(text, "top {}", view.measures[top.by].name).unwrap_or(());
    }
    if view.is_none() {
        let places = std::iter::once(&dataset.time).chain(&dataset.key);
        for position in places {
            writeln!(text, "order {}", column(*position)).unwrap_or(());
        }
        writeln!(text, "dataset {}", dataset.name).unwrap_or(());
    }
    text
}
