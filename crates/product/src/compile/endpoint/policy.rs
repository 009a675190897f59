//! Who may read an endpoint, how often, and how its answers are cached.

use std::time::Duration;

use tidegate_core::edge_plan::Refresh;
use tidegate_core::param::ParamPlan;

use super::Target;
use crate::compile::source::{At, Problems, Section};
use crate::contract::{Binding, Cache, GroupPart, Rate, is_always_given};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn scope(
    scope: Option<At<&str>>,
    product: &str,
    problems: &mut Problems,
) -> Option<String> {
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

pub(super) fn parse_rate(rate: At<&str>, problems: &mut Problems) -> Option<Rate> {
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

pub(super) fn timeout(timeout: Option<At<Duration>>, problems: &mut Problems) -> Duration {
    let Some(timeout) = timeout else { return DEFAULT_TIMEOUT };
    if timeout.value.is_zero() || timeout.value > MAX_TIMEOUT {
        problems.add(timeout.at, "a timeout is from 1ms to 60s; write timeout = \"800ms\"");
    }
    timeout.value
}

pub(super) fn cache(
    section: Option<Section<'_>>,
    target: Target<'_>,
    params: &[ParamPlan],
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
    let ttl_s = seconds("ttl", "\"30s\"").unwrap_or(0);
    let swr_s = seconds("swr", "\"5m\"").unwrap_or(0);
    let sie_s = seconds("sie", "\"1h\"").unwrap_or(0);
    let refresh = section.text("refresh", "\"worker\"", problems);
    let refresh = refresh.map_or(Refresh::Api, |word| parse_refresh(word, swr_s, problems));
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
    Cache { ttl_s, swr_s, sie_s, refresh }
}

fn parse_refresh(word: At<&str>, swr_s: u32, problems: &mut Problems) -> Refresh {
    match word.value {
        "api" => Refresh::Api,
        "worker" => {
            if swr_s == 0 {
                let message = "workers refresh what is served stale; write swr = \"5m\" beside it";
                problems.add(word.at, message);
            }
            Refresh::Worker
        }
        other => {
            let message =
                format!("'{other}' refreshes nothing; write refresh = \"api\" or \"worker\"");
            problems.add(word.at, message);
            Refresh::Api
        }
    }
}

/// `cache.tags` promises that a change elsewhere leaves a response alone: checks that it can.
fn check_cache_tags(
    tags: &At<Vec<At<&str>>>,
    target: Target<'_>,
    params: &[ParamPlan],
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
            .any(|(param, bound)| *bound == binding && is_always_given(param));
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
