//! By which tags a response can be purged.

use tidegate_core::param::ParamValue;
use tidegate_core::tag;

use super::{column_value, dim_text};
use crate::contract::{Binding, Contract, Endpoint, GroupPart, Source, View};

/// Returns the tags of a response, for one tenant.
///
/// Every response has the product's tag and the endpoint's. One made from a dataset's rows has the
/// dataset's. One made from a view has
///
/// - if a parameter binds *every* tag dimension of the view to one value: the fine tag of these
///   values, and the view's wide tag, by which all such responses are purged at once. All groups
///   it shows have these values, so a change of any of them purges the fine tag or the wide one.
/// - otherwise the view's coarse tag, which every change of the view purges.
///
/// A narrowed response does not carry the coarse tag: a change of one city would purge all of them.
/// [`fold::touched_tags`](crate::fold::touched_tags) is the other half of this rule.
pub fn tags(
    contract: &Contract,
    endpoint: &Endpoint,
    values: &[Option<ParamValue>],
    tenant: &str,
) -> Vec<String> {
    let product = contract.name.as_str();
    let mut tags =
        vec![tag::product(tenant, product), tag::endpoint(tenant, product, &endpoint.name)];
    match endpoint.source {
        Source::Dataset(dataset) => {
            tags.push(tag::dataset(tenant, product, &contract.datasets[dataset].name));
        }
        Source::View(view) => {
            let view = &contract.views[view];
            match narrowed(contract, view, endpoint, values) {
                Some(dims) => {
                    let dims = dims.iter().map(|(name, text)| (*name, text.as_str()));
                    tags.push(tag::group(tenant, product, &view.name, dims));
                    tags.push(tag::view_narrowed(tenant, product, &view.name));
                }
                None => tags.push(tag::view(tenant, product, &view.name)),
            }
        }
    }
    tags
}

/// Returns the values of the tag dimensions if all of them are bound.
fn narrowed<'a>(
    contract: &'a Contract,
    view: &View,
    endpoint: &Endpoint,
    values: &[Option<ParamValue>],
) -> Option<Vec<(&'a str, String)>> {
    if view.tags.is_empty() {
        return None;
    }
    let dataset = contract.dataset_of(view);
    view.tags
        .iter()
        .map(|dim| {
            let wanted = Binding::Part(GroupPart::Dim(*dim));
            let position = endpoint.bindings.iter().position(|binding| *binding == wanted)?;
            let column = &dataset.columns[view.group_by[*dim]];
            let value = column_value(column.kind, values.get(position)?.as_ref()?);
            Some((column.name.as_str(), dim_text(column.kind, &value).into_owned()))
        })
        .collect()
}
