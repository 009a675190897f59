//! Parameters of an endpoint: those that are declared, and those that follow from the rest.

mod kind;

use tidegate_core::clock::Timestamp;
use tidegate_core::param::{ParamKind, ParamPlan};
use tidegate_core::path::PathTemplate;

use super::dataset::find_column;
use super::endpoint::Target;
use super::source::{At, Problems, Section};
use crate::contract::{Binding, GroupPart, Page, Top};
use crate::names::{Use, check_name, did_you_mean};
use crate::read::MAX_CURSOR_BYTES;
use kind::{is_multiple, kind_of, misfit, number, of_column, time};

/// What an endpoint declares that parameters come from.
pub(super) struct Declared<'r, 'a> {
    pub(super) at: usize,
    pub(super) path: &'r PathTemplate,
    pub(super) filter: Option<&'r At<Vec<At<&'a str>>>>,
    pub(super) top: Option<Top>,
    pub(super) page: Page,
    pub(super) sections: Vec<(At<&'a str>, Section<'a>)>,
}

/// A parameter on its way.
struct Param {
    plan: ParamPlan,
    binding: Binding,
}

/// Compiles the parameters: those of the path first, in its order, then the declared ones, then
/// those that follow from `filter`, `top` and `page`.
pub(super) fn compile(
    declared: Declared<'_, '_>,
    target: Target<'_>,
    problems: &mut Problems,
) -> (Vec<ParamPlan>, Vec<Binding>) {
    let Declared { at, path, filter, top, page, sections } = declared;
    let captures: Vec<&str> = path.captures().collect();
    let allowed = Allowed { target, captures: &captures, filter, top, page };
    let mut params: Vec<Param> = sections
        .into_iter()
        .filter_map(|(name, section)| allowed.declared(name, section, problems))
        .collect();
    for name in &captures {
        allowed.capture(name, at, &mut params, problems);
    }
    allowed.follow(&mut params, problems);
    check_together(&params, at, problems);
    let place = |param: &Param| captures.iter().position(|name| *name == param.plan.name);
    // The sort is stable: what is not in the path keeps its order.
    params.sort_by_key(|param| place(param).unwrap_or(captures.len()));
    params.into_iter().map(|param| (param.plan, param.binding)).unzip()
}

/// What parameters an endpoint may have.
struct Allowed<'r, 'a> {
    target: Target<'r>,
    captures: &'r [&'r str],
    filter: Option<&'r At<Vec<At<&'a str>>>>,
    top: Option<Top>,
    page: Page,
}

impl Allowed<'_, '_> {
    /// Returns what a parameter of this name does.
    fn binding(&self, name: &str) -> Option<Binding> {
        let Some(view) = self.target.view else {
            let filtered = |name: &str| {
                let filter = self.filter.iter().flat_map(|filter| &filter.value);
                filter.clone().any(|column| column.value == name)
            };
            let time = &self.target.dataset.columns[self.target.dataset.time].name;
            return match name {
                "from" if filtered(time) => Some(Binding::From),
                "to" if filtered(time) => Some(Binding::To),
                "limit" => Some(Binding::Limit),
                _ if filtered(name) || self.captures.contains(&name) => {
                    self.target.dataset.column(name).map(Binding::Column)
                }
                _ => None,
            };
        };
        let bucket = view.bucket.is_some();
        match name {
            "from" if bucket => Some(Binding::From),
            "to" if bucket => Some(Binding::To),
            "at" if bucket => Some(Binding::Part(GroupPart::Bucket)),
            "step" if bucket => Some(Binding::Step),
            "k" if self.top.is_some() => Some(Binding::K),
            name => self.target.dim(name).map(|dim| Binding::Part(GroupPart::Dim(dim))),
        }
    }

    /// Returns the names that parameters may have, for advice.
    fn names(&self) -> Vec<String> {
        let columns = self.target.dataset.columns.iter().map(|column| column.name.as_str());
        let words = ["from", "to", "at", "step", "k", "limit"];
        let names = columns.chain(words).filter(|name| self.binding(name).is_some());
        names.map(str::to_owned).collect()
    }

    fn declared(
        &self,
        name: At<&str>,
        section: Section<'_>,
        problems: &mut Problems,
    ) -> Option<Param> {
        let Some(binding) = self.binding(name.value) else {
            let known = self.names();
            let suggestion = did_you_mean(name.value, known.iter().map(String::as_str));
            let shown: String = name.value.chars().take(64).collect();
            let message = format!(
                "parameter '{}' has nothing to select by{suggestion}; known are {}",
                shown.escape_debug(),
                known.join(", ")
            );
            problems.add(name.at, message);
            return None;
        };
        let in_path = self.captures.contains(&name.value);
        let plan = self.plan(name, section, binding, in_path, problems)?;
        self.check_kind(&plan, binding, name.at, problems);
        Some(Param { plan, binding })
    }

    fn plan(
        &self,
        name: At<&str>,
        mut section: Section<'_>,
        binding: Binding,
        in_path: bool,
        problems: &mut Problems,
    ) -> Option<ParamPlan> {
        let kind = section.required_text("type", "\"string\"", problems)?;
        let column = self.target.column_of(binding).map(|at| &self.target.dataset.columns[at]);
        let kind = kind_of(kind, column, &mut section, problems)?;
        let required = section.boolean("required", problems);
        let default = section.scalar("default", problems);
        section.finish(problems);
        if let Some(default) = &default {
            // A default is written in the syntax of a request.
            if let Err(reason) = kind.parse(&default.value, Timestamp(0)) {
                problems.add(default.at, format!("the default of '{}' {reason}", name.value));
            }
            if in_path {
                problems.add(default.at, "a parameter of the path is always given; remove default");
            }
            if required.is_some_and(|required| required.value) {
                problems.add(default.at, "a required parameter has no default; remove one of them");
            }
        }
        Some(ParamPlan {
            name: name.value.to_owned(),
            kind,
            required: in_path || required.is_some_and(|required| required.value),
            default: default.map(|default| default.value),
        })
    }

    /// Checks that the parameter's type can do what the parameter is for.
    fn check_kind(&self, plan: &ParamPlan, binding: Binding, at: usize, problems: &mut Problems) {
        let column = self.target.column_of(binding).map(|at| &self.target.dataset.columns[at]);
        let wanted = match (binding, &plan.kind) {
            (Binding::From | Binding::To | Binding::Part(GroupPart::Bucket), kind) => {
                (!matches!(kind, ParamKind::Timestamp { .. })).then(|| "timestamp".to_owned())
            }
            (Binding::K, ParamKind::Int { min, max }) => self.top.and_then(|top| {
                let most = i64::try_from(top.k_max).unwrap_or(i64::MAX);
                (*min < 1 || *max > most).then(|| format!("int with min = 1 and max = {most}"))
            }),
            (Binding::Limit, ParamKind::Int { min, max }) => {
                let most = i64::try_from(self.page.max).unwrap_or(i64::MAX);
                (*min < 1 || *max > most).then(|| format!("int with min = 1 and max = {most}"))
            }
            (Binding::K | Binding::Limit, _) => Some("int".to_owned()),
            (Binding::Step, ParamKind::Enum { values }) => {
                let every = self.target.view.and_then(|view| view.bucket).map_or(1, |b| b.every_us);
                let fits = values.iter().all(|value| is_multiple(value, every));
                (!fits).then(|| {
                    "enum of multiples of the view's bucket, such as values = [\"1h\", \"1d\"]"
                        .to_owned()
                })
            }
            (Binding::Step, _) => Some("enum".to_owned()),
            (Binding::Part(GroupPart::Dim(_)) | Binding::Column(_), kind) => {
                column.and_then(|column| misfit(column, kind))
            }
            (Binding::Cursor, _) => None,
        };
        if let Some(wanted) = wanted {
            problems.add(at, format!("parameter '{}' must be of type {wanted}", plan.name));
        }
    }

    /// Makes a parameter for a name in the path that is not declared.
    fn capture(&self, name: &str, at: usize, params: &mut Vec<Param>, problems: &mut Problems) {
        if params.iter().any(|param| param.plan.name == name) {
            return;
        }
        let binding = self.binding(name);
        let column = binding.and_then(|binding| self.target.column_of(binding));
        let made = column.and_then(|column| {
            let column = &self.target.dataset.columns[column];
            Some(Param { plan: of_column(column, true)?, binding: binding? })
        });
        match made {
            Some(param) => params.push(param),
            None => {
                let known = self.names().join(", ");
                let message = format!(
                    "the path has '{{{name}}}', which is nothing to select by; known are {known}"
                );
                problems.add(at, message);
            }
        }
    }

    /// Adds what follows from `filter`, `top` and `page`.
    fn follow(&self, params: &mut Vec<Param>, problems: &mut Problems) {
        let mut add = |plan: ParamPlan, binding: Binding| {
            if !params.iter().any(|param| param.binding == binding) {
                params.push(Param { plan, binding });
            }
        };
        if self.target.view.is_some() {
            if let Some(filter) = self.filter {
                problems.add(filter.at, "'filter' is for datasets; write params.NAME for a view");
            }
            if let Some(top) = self.top {
                add(number("k", top.k, top.k_max), Binding::K);
            }
            return;
        }
        let dataset = self.target.dataset;
        for name in self.filter.iter().flat_map(|filter| &filter.value) {
            let Some(position) = find_column(*name, &dataset.columns, problems) else { continue };
            if position == dataset.time {
                add(time("from"), Binding::From);
                add(time("to"), Binding::To);
            } else if let Err(problem) = check_name(name.value, Use::Selected) {
                problems.add(name.at, problem);
            } else if let Some(plan) = of_column(&dataset.columns[position], false) {
                add(plan, Binding::Column(position));
            } else {
                let message = format!(
                    "rows can't be filtered by '{}'; write columns of type string, enum, uuid, int \
                     or bool, or the time column",
                    name.value
                );
                problems.add(name.at, message);
            }
        }
        add(number("limit", self.page.size, self.page.max), Binding::Limit);
        let kind = ParamKind::String { max_len: MAX_CURSOR_BYTES };
        let plan = ParamPlan { name: "cursor".to_owned(), kind, required: false, default: None };
        add(plan, Binding::Cursor);
    }
}

/// Refuses parameters that contradict each other.
fn check_together(params: &[Param], at: usize, problems: &mut Problems) {
    let has = |binding: Binding| params.iter().any(|param| param.binding == binding);
    let one_bucket = has(Binding::Part(GroupPart::Bucket));
    for (binding, name) in [(Binding::From, "from"), (Binding::To, "to"), (Binding::Step, "step")] {
        if one_bucket && has(binding) {
            problems.add(at, format!("'at' selects one bucket; remove params.at or params.{name}"));
        }
    }
}
