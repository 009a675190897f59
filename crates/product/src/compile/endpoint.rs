//! Endpoints: what clients may read, and how it is cached.

use std::time::Duration;

use tidegate_core::path::PathTemplate;

use super::params::{self, Declared};
use super::source::{At, Problems, Section};
use super::{Named, find};
use crate::contract::{
    Binding, Cache, Dataset, Endpoint, Field, Format, GroupPart, Page, Rate, Source, Top, View,
};
use crate::names::did_you_mean;

const DEFAULT_MAX_ROWS: usize = 1_000;
const MAX_ROWS: i64 = 100_000;
const DEFAULT_PAGE: Page = Page { size: 100, max: 1_000 };
const DEFAULT_CONCURRENCY: usize = 64;
const MAX_CONCURRENCY: i64 = 10_000;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// First segments below `/v1/{product}` that the api itself serves.
const RESERVED_SEGMENTS: [&str; 8] =
    ["datasets", "docs", "exports", "freshness", "lineage", "openapi.json", "schema", "views"];

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
    let template = raw.path.and_then(|path| check_path(path, sources.product, problems));
    let source = source(&raw, sources, problems);
    let cache_section = raw.cache;
    let rate = raw.rate.and_then(|rate| parse_rate(rate, problems));
    let timeout = timeout(raw.timeout, problems);
    let formats = formats(raw.formats.as_ref(), problems);
    let scope = scope(raw.scope, sources.product, problems);

    let (source, target) = source?;
    let template = template?;
    let top = raw.top.and_then(|top| top_of(top, target, problems));
    let page = raw.page.map_or(Some(DEFAULT_PAGE), |page| page_of(page, target, problems))?;
    let declared = Declared {
        at: raw.at,
        path: &template,
        filter: raw.filter.as_ref(),
        top,
        page,
        sections: raw.params.map(|params| params.into_sections(problems)).unwrap_or_default(),
    };
    let (params, bindings) = params::compile(declared, target, problems);
    check_top(top, &bindings, target, raw.at, problems);
    let cache = cache(cache_section, target, &params, &bindings, problems);
    let select = select(raw.select.as_ref(), target, problems);
    check_order(raw.order.as_ref(), target, problems);
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

fn look_up<'t, T>(
    name: At<&str>,
    what: &str,
    named: &'t Named<'_, T>,
    problems: &mut Problems,
) -> Option<(usize, &'t T)> {
    find(named, name.value).unwrap_or_else(|()| {
        let suggestion = did_you_mean(name.value, named.iter().map(|(known, _)| known.value));
        problems.add(name.at, format!("there is no {what} '{}'{suggestion}", name.value));
        None
    })
}

fn check_path(path: At<&str>, product: &str, problems: &mut Problems) -> Option<PathTemplate> {
    let first = path.value.trim_start_matches('/').split('/').next().unwrap_or("");
    if path.value.len() > 512 || path.value.contains('*') {
        problems.add(path.at, "a path has at most 512 bytes and no '*'; write another path");
        return None;
    }
    if first.is_empty() || !path.value.starts_with('/') {
        problems.add(path.at, "a path begins with '/' and a segment; write path = \"/worst\"");
        return None;
    }
    if RESERVED_SEGMENTS.contains(&first) {
        let message = format!("paths below '/{first}' are the api's own; write another path");
        problems.add(path.at, message);
    }
    PathTemplate::parse(&format!("/v1/{product}{}", path.value))
        .map_err(|error| {
            problems.add(path.at, format!("{error}; write path = \"/cities/{{city}}\""))
        })
        .ok()
}

/// Refuses two endpoints that take the same paths.
pub(super) fn check_paths(endpoints: &Named<'_, Endpoint>, problems: &mut Problems) {
    let shape = |path: &str| -> Vec<String> {
        let segments = path.split('/');
        let segments = segments.map(|part| if part.starts_with('{') { "{}" } else { part });
        segments.map(str::to_owned).collect()
    };
    let known: Vec<(&At<&str>, &Endpoint)> =
        endpoints.iter().filter_map(|(name, endpoint)| Some((name, endpoint.as_ref()?))).collect();
    for (position, (name, endpoint)) in known.iter().enumerate() {
        let earlier = known.iter().take(position);
        let mut same = earlier.filter(|(_, other)| shape(&other.path) == shape(&endpoint.path));
        if let Some((_, other)) = same.next() {
            let message = format!(
                "'{}' has the path of endpoint '{}'; write another",
                name.value, other.name
            );
            problems.add(name.at, message);
        }
    }
}

fn select(
    names: Option<&At<Vec<At<&str>>>>,
    target: Target<'_>,
    problems: &mut Problems,
) -> Vec<Field> {
    let fields = target.fields();
    let Some(names) = names else { return fields.into_iter().map(|(_, field)| field).collect() };
    if names.value.is_empty() {
        problems.add(names.at, "select names at least one field; remove it to have all");
    }
    let mut selected = Vec::new();
    for name in &names.value {
        let Some((_, field)) = fields.iter().find(|(known, _)| *known == name.value) else {
            let suggestion = did_you_mean(name.value, fields.iter().map(|(known, _)| *known));
            let known: Vec<&str> = fields.iter().map(|(known, _)| *known).collect();
            let message = format!(
                "there is no field '{}'{suggestion}; known are {}",
                name.value,
                known.join(", ")
            );
            problems.add(name.at, message);
            continue;
        };
        if selected.contains(field) {
            problems.add(name.at, format!("'{}' stands twice; remove one", name.value));
        }
        selected.push(*field);
    }
    selected
}

/// Checks that the declared order is the one in which rows are read: there is no other.
fn check_order(names: Option<&At<Vec<At<&str>>>>, target: Target<'_>, problems: &mut Problems) {
    let Some(names) = names else { return };
    let columns = &target.dataset.columns;
    let order: Vec<&str> = match target.view {
        Some(view) => {
            let dims = view.group_by.iter().map(|column| columns[*column].name.as_str());
            view.bucket.map(|_| "bucket").into_iter().chain(dims).collect()
        }
        None => {
            let key = target.dataset.key.iter().filter(|column| **column != target.dataset.time);
            let places = std::iter::once(&target.dataset.time).chain(key);
            places.map(|column| columns[*column].name.as_str()).collect()
        }
    };
    let wanted: Vec<&str> = names.value.iter().map(|name| name.value).collect();
    if !order.starts_with(&wanted) {
        let list: Vec<String> = order.iter().map(|name| format!("\"{name}\"")).collect();
        let message =
            format!("rows come in the order [{}]; write this or its beginning", list.join(", "));
        problems.add(names.at, message);
    }
}

fn top_of(mut section: Section<'_>, target: Target<'_>, problems: &mut Problems) -> Option<Top> {
    let by = section.required_text("by", "\"avg\"", problems);
    let k = section.count("k", (1, MAX_ROWS), problems);
    let k_max = section.count("k_max", (1, MAX_ROWS), problems);
    let at = section.at();
    section.finish(problems);
    let Some(view) = target.view else {
        problems.add(at, "'top' is for views; remove it, or read a view");
        return None;
    };
    let by = by?;
    let position = view.measures.iter().position(|measure| measure.name == by.value);
    if position.is_none() {
        let names = view.measures.iter().map(|measure| measure.name.as_str());
        let suggestion = did_you_mean(by.value, names);
        let message = format!("view '{}' has no measure '{}'{suggestion}", view.name, by.value);
        problems.add(by.at, message);
    }
    let k = k.unwrap_or(10);
    let k_max = k_max.unwrap_or(k);
    if k > k_max {
        problems.add(at, format!("'k' is larger than 'k_max'; write k_max = {k}"));
    }
    Some(Top { by: position?, k, k_max })
}

/// A top of every bucket there ever was would read all of them.
fn check_top(
    top: Option<Top>,
    bindings: &[Binding],
    target: Target<'_>,
    at: usize,
    problems: &mut Problems,
) {
    let buckets = target.view.is_some_and(|view| view.bucket.is_some());
    let one_bucket = bindings.contains(&Binding::Part(GroupPart::Bucket));
    if top.is_some() && buckets && !one_bucket {
        problems.add(
            at,
            "'top' compares the groups of one bucket; write params.at = { type = \"timestamp\", \
             default = \"now\" }",
        );
    }
}

fn page_of(mut section: Section<'_>, target: Target<'_>, problems: &mut Problems) -> Option<Page> {
    let size = section.count("size", (1, MAX_ROWS), problems);
    let max = section.count("max", (1, MAX_ROWS), problems);
    let at = section.at();
    section.finish(problems);
    if target.view.is_some() {
        problems.add(at, "'page' is for datasets; remove it, and set max_rows");
        return None;
    }
    let size = size.unwrap_or(DEFAULT_PAGE.size);
    let max = max.unwrap_or(DEFAULT_PAGE.max.max(size));
    if size > max {
        problems.add(at, format!("'size' is larger than 'max'; write max = {size}"));
    }
    Some(Page { size, max })
}

fn formats(names: Option<&At<Vec<At<&str>>>>, problems: &mut Problems) -> Vec<Format> {
    let Some(names) = names else { return vec![Format::Json] };
    let mut formats = Vec::new();
    for name in &names.value {
        match Format::ALL.into_iter().find(|format| format.word() == name.value) {
            Some(format) if formats.contains(&format) => {
                problems.add(name.at, format!("'{}' stands twice; remove one", name.value));
            }
            Some(format) => formats.push(format),
            None => problems.add(
                name.at,
                format!("there is no format '{}'; write json, ndjson or csv", name.value),
            ),
        }
    }
    if names.value.is_empty() {
        problems.add(names.at, "formats names at least one; write formats = [\"json\"]");
    }
    formats
}

fn scope(scope: Option<At<&str>>, product: &str, problems: &mut Problems) -> Option<String> {
    let Some(scope) = scope else { return Some(format!("read:{product}")) };
    if scope.value == "public" {
        return None;
    }
    let word =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let is_word = |text: &str| !text.is_empty() && text.len() <= 64 && text.bytes().all(word);
    if !scope.value.split_once(':').is_some_and(|(verb, noun)| is_word(verb) && is_word(noun)) {
        let message = format!(
            "'{}' is no scope; write scope = \"public\" or scope = \"read:{product}\"",
            scope.value
        );
        problems.add(scope.at, message);
    }
    Some(scope.value.to_owned())
}

fn parse_rate(rate: At<&str>, problems: &mut Problems) -> Option<Rate> {
    let parsed = rate.value.split_once('/').and_then(|(requests, unit)| {
        let per = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return None,
        };
        let requests = requests.parse::<u32>().ok().filter(|requests| *requests > 0)?;
        Some(Rate { requests, per: Duration::from_secs(per) })
    });
    if parsed.is_none() {
        problems.add(rate.at, format!("'{}' is no rate; write rate = \"100/s\"", rate.value));
    }
    parsed
}

fn timeout(timeout: Option<At<Duration>>, problems: &mut Problems) -> Duration {
    let Some(timeout) = timeout else { return DEFAULT_TIMEOUT };
    if timeout.value.is_zero() || timeout.value > MAX_TIMEOUT {
        problems.add(timeout.at, "a timeout is from 1ms to 60s; write timeout = \"800ms\"");
    }
    timeout.value
}

fn cache(
    section: Option<Section<'_>>,
    target: Target<'_>,
    params: &[tidegate_core::param::ParamPlan],
    bindings: &[Binding],
    problems: &mut Problems,
) -> Cache {
    let Some(mut section) = section else { return Cache::default() };
    let mut seconds = |key: &'static str, example: &str| {
        let span = section.span(key, example, problems)?;
        if span.value.subsec_micros() != 0 {
            problems.add(span.at, format!("'{key}' is in whole seconds; write {key} = {example}"));
        }
        u32::try_from(span.value.as_secs()).ok()
    };
    let cache = Cache {
        ttl_s: seconds("ttl", "\"30s\"").unwrap_or(0),
        swr_s: seconds("swr", "\"5m\"").unwrap_or(0),
        sie_s: seconds("sie", "\"1h\"").unwrap_or(0),
    };
    let tags = section.texts("tags", "[\"city\"]", problems);
    let vary = section.texts("vary_scope", "[\"tenant\"]", problems);
    section.finish(problems);
    for name in vary.iter().flat_map(|vary| &vary.value) {
        if name.value != "tenant" {
            let message = format!(
                "responses can't vary by '{}' in this build; write vary_scope = [\"tenant\"]",
                name.value
            );
            problems.add(name.at, message);
        }
    }
    if let Some(tags) = tags {
        check_cache_tags(&tags, target, params, bindings, problems);
    }
    cache
}

/// `cache.tags` promises that a change elsewhere leaves a response alone: checks that it can.
fn check_cache_tags(
    tags: &At<Vec<At<&str>>>,
    target: Target<'_>,
    params: &[tidegate_core::param::ParamPlan],
    bindings: &[Binding],
    problems: &mut Problems,
) {
    let Some(view) = target.view else {
        problems.add(tags.at, "a dataset has no tags; remove cache.tags");
        return;
    };
    let columns = &target.dataset.columns;
    let name_of = |dim: &usize| columns[view.group_by[*dim]].name.as_str();
    let mut names: Vec<&str> = tags.value.iter().map(|tag| tag.value).collect();
    names.sort_unstable();
    let mut wanted: Vec<&str> = view.tags.iter().map(name_of).collect();
    wanted.sort_unstable();
    if names != wanted {
        let message = format!(
            "view '{}' is tagged by [{}]; write cache.tags with just these, or change the view's tags",
            view.name,
            wanted.join(", ")
        );
        problems.add(tags.at, message);
        return;
    }
    for dim in &view.tags {
        let binding = Binding::Part(GroupPart::Dim(*dim));
        let bound = params
            .iter()
            .zip(bindings)
            .any(|(param, bound)| *bound == binding && crate::contract::is_always_given(param));
        if !bound {
            let name = name_of(dim);
            let message = format!(
                "cache.tags needs a value of '{name}' in every request; write params.{name} with \
                 required = true or a default"
            );
            problems.add(tags.at, message);
        }
    }
}
