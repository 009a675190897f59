//! Endpoints: what clients may read, and how it is cached.

mod answer;
mod path;
mod policy;

use std::time::Duration;

use super::params::{self, Declared};
use super::source::{At, Problems, Section};
use super::{Named, look_up};
use crate::contract::{Binding, Dataset, Endpoint, Field, GroupPart, Page, Source, View};
pub(super) use path::check_paths;

const DEFAULT_MAX_ROWS: usize = 1_000;
const MAX_ROWS: i64 = 100_000;
const DEFAULT_PAGE: Page = Page { size: 100, max: 1_000 };
const DEFAULT_CONCURRENCY: usize = 64;
const MAX_CONCURRENCY: i64 = 10_000;

/// What endpoints can read.
pub(super) struct Sources<'t, 'a> {
    pub(super) product: &'a str,
    pub(super) datasets: &'t Named<'a, Dataset>,
    pub(super) views: &'t Named<'a, View>,
}

/// What one endpoint reads, resolved.
#[derive(Clone, Copy)]
pub(super) struct Target<'t> {
    pub(super) dataset: &'t Dataset,
    pub(super) view: Option<&'t View>,
}

/// An endpoint as written: every key is read before any is judged, so that a key is not called
/// unknown because another one is wrong.
struct Raw<'a> {
    path: Option<At<&'a str>>,
    view: Option<At<&'a str>>,
    dataset: Option<At<&'a str>>,
    params: Option<Section<'a>>,
    select: Option<At<Vec<At<&'a str>>>>,
    order: Option<At<Vec<At<&'a str>>>>,
    filter: Option<At<Vec<At<&'a str>>>>,
    formats: Option<At<Vec<At<&'a str>>>>,
    top: Option<Section<'a>>,
    page: Option<Section<'a>>,
    cache: Option<Section<'a>>,
    max_rows: Option<usize>,
    freshness_slo: Option<At<Duration>>,
    rate: Option<At<&'a str>>,
    concurrency: Option<usize>,
    timeout: Option<At<Duration>>,
    scope: Option<At<&'a str>>,
    at: usize,
}

/// Compiles one endpoint.
pub(super) fn compile(
    name: &str,
    section: Section<'_>,
    sources: &Sources<'_, '_>,
    problems: &mut Problems,
) -> Option<Endpoint> {
    let raw = Raw::read(section, problems);
    if name == crate::edge_plan::OTHER {
        problems.add(raw.at, format!("'{name}' is reserved; write another name"));
    }
    let template = raw.path.and_then(|path| path::check_path(path, sources.product, problems));
    let source = source(&raw, sources, problems);
    let cache_section = raw.cache;
    let rate = raw.rate.and_then(|rate| policy::parse_rate(rate, problems));
    let timeout = policy::timeout(raw.timeout, problems);
    let formats = answer::formats(raw.formats.as_ref(), problems);
    let scope = policy::scope(raw.scope, sources.product, problems);

    let (source, target) = source?;
    let template = template?;
    let top = raw.top.and_then(|top| answer::top_of(top, target, problems));
    let page =
        raw.page.map_or(Some(DEFAULT_PAGE), |page| answer::page_of(page, target, problems))?;
    let declared = Declared {
        at: raw.at,
        path: &template,
        filter: raw.filter.as_ref(),
        top,
        page,
        sections: raw.params.map(|params| params.into_sections(problems)).unwrap_or_default(),
    };
    let (params, bindings) = params::compile(declared, target, problems);
    answer::check_top(top, &bindings, target, raw.at, problems);
    let cache = policy::cache(cache_section, target, &params, &bindings, problems);
    let select = answer::select(raw.select.as_ref(), target, problems);
    answer::check_order(raw.order.as_ref(), target, problems);
    let max_rows = match (target.view, top) {
        (None, _) => page.max,
        (Some(_), Some(top)) => top.k_max,
        (Some(_), None) => raw.max_rows.unwrap_or(DEFAULT_MAX_ROWS),
    };
    Some(Endpoint {
        name: name.to_owned(),
        path: template.as_str().to_owned(),
        params,
        bindings,
        source,
        select,
        top,
        page,
        formats,
        cache,
        scope,
        hash: String::new(),
        timeout,
        concurrency: raw.concurrency.unwrap_or(DEFAULT_CONCURRENCY),
        max_rows,
        rate,
        freshness_slo: raw.freshness_slo.map(|slo| slo.value),
    })
}

// === impl Raw ===

impl<'a> Raw<'a> {
    fn read(mut section: Section<'a>, problems: &mut Problems) -> Self {
        let raw = Self {
            path: section.required_text("path", "\"/cities/{city}\"", problems),
            view: section.text("view", "\"city_hour\"", problems),
            dataset: section.text("dataset", "\"readings\"", problems),
            params: section.section("params", problems),
            select: section.texts("select", "[\"bucket\", \"n\"]", problems),
            order: section.texts("order", "[\"bucket\"]", problems),
            filter: section.texts("filter", "[\"city\"]", problems),
            formats: section.texts("formats", "[\"json\"]", problems),
            top: section.section("top", problems),
            page: section.section("page", problems),
            cache: section.section("cache", problems),
            max_rows: section.count("max_rows", (1, MAX_ROWS), problems),
            freshness_slo: section.span("freshness_slo", "\"10s\"", problems),
            rate: section.text("rate", "\"100/s\"", problems),
            concurrency: section.count("concurrency", (1, MAX_CONCURRENCY), problems),
            timeout: section.span("timeout", "\"800ms\"", problems),
            scope: section.text("scope", "\"read:air\"", problems),
            at: section.at(),
        };
        section.unsupported(&["token_filter"], problems);
        section.finish(problems);
        raw
    }
}

// === impl Target ===

impl<'t> Target<'t> {
    /// Returns the dimension of a name.
    pub(super) fn dim(self, name: &str) -> Option<usize> {
        let dims = &self.view?.group_by;
        dims.iter().position(|column| self.dataset.columns[*column].name == name)
    }

    /// Returns the column that a binding compares with.
    pub(super) fn column_of(self, binding: Binding) -> Option<usize> {
        match binding {
            Binding::Part(GroupPart::Dim(dim)) => self.view?.group_by.get(dim).copied(),
            Binding::Column(column) => Some(column),
            _ => None,
        }
    }

    /// Returns every field a response may have, by name, in the order of a response that does not
    /// select.
    fn fields(self) -> Vec<(&'t str, Field)> {
        let columns = &self.dataset.columns;
        let Some(view) = self.view else {
            let fields = columns.iter().enumerate();
            return fields.map(|(at, column)| (column.name.as_str(), Field::Column(at))).collect();
        };
        let dims = view.group_by.iter().enumerate();
        let dims = dims.map(|(dim, column)| {
            (columns[*column].name.as_str(), Field::Part(GroupPart::Dim(dim)))
        });
        let bucket = view.bucket.map(|_| ("bucket", Field::Part(GroupPart::Bucket)));
        let measures = view.measures.iter().enumerate();
        let measures = measures.map(|(at, measure)| (measure.name.as_str(), Field::Measure(at)));
        dims.chain(bucket).chain(measures).collect()
    }
}

fn source<'t>(
    raw: &Raw<'_>,
    sources: &Sources<'t, '_>,
    problems: &mut Problems,
) -> Option<(Source, Target<'t>)> {
    match (raw.view, raw.dataset) {
        (Some(name), None) => {
            let (position, view) = look_up(name, "view", sources.views, problems)?;
            // A view that compiled has a dataset that did.
            let dataset = sources.datasets.get(view.dataset)?.1.as_ref()?;
            Some((Source::View(position), Target { dataset, view: Some(view) }))
        }
        (None, Some(name)) => {
            let (position, dataset) = look_up(name, "dataset", sources.datasets, problems)?;
            Some((Source::Dataset(position), Target { dataset, view: None }))
        }
        (Some(_), Some(dataset)) => {
            problems.add(dataset.at, "an endpoint reads a view or a dataset; remove one of them");
            None
        }
        (None, None) => {
            problems
                .add(raw.at, "the endpoint reads nothing; write view = \"…\" or dataset = \"…\"");
            None
        }
    }
}
