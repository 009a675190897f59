//! Answers to bytes: JSON, NDJSON and CSV, exact to the digit.

mod listing;
mod value;

pub use listing::groups_ndjson;

use crate::contract::{Contract, Dataset, Endpoint, Field, Format, GroupPart, Source, View};
use crate::fold::Value;
use crate::measure::quantity;
use crate::read::Answer;
use value::{csv_cell, csv_quantity, json_cell, json_quantity, json_text};

/// Writes an answer in one of the endpoint's formats.
pub fn body(contract: &Contract, endpoint: &Endpoint, format: Format, answer: &Answer) -> Vec<u8> {
    match format {
        Format::Json => json(contract, endpoint, answer),
        Format::Ndjson => ndjson(contract, endpoint, answer),
        Format::Csv => csv(contract, endpoint, answer),
    }
}

/// Writes `{"data":[{…}],"next":"…"}`; `next` only if another page follows.
fn json(contract: &Contract, endpoint: &Endpoint, answer: &Answer) -> Vec<u8> {
    let layout = Layout::new(contract, endpoint);
    let mut out = Vec::with_capacity(32 + layout.row_bytes() * answer.table.rows().len());
    out.extend_from_slice(b"{\"data\":[");
    for (position, row) in answer.table.rows().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        layout.object(&mut out, row);
    }
    out.push(b']');
    if let Some(next) = &answer.next {
        out.extend_from_slice(b",\"next\":");
        json_text(&mut out, next);
    }
    out.push(b'}');
    out
}

/// Writes one JSON object a line.
fn ndjson(contract: &Contract, endpoint: &Endpoint, answer: &Answer) -> Vec<u8> {
    let layout = Layout::new(contract, endpoint);
    let mut out = Vec::with_capacity(layout.row_bytes() * answer.table.rows().len());
    for row in answer.table.rows() {
        layout.object(&mut out, row);
        out.push(b'\n');
    }
    out
}

/// Writes RFC 4180 with a header line; a null is an empty field.
fn csv(contract: &Contract, endpoint: &Endpoint, answer: &Answer) -> Vec<u8> {
    let layout = Layout::new(contract, endpoint);
    let mut out = Vec::with_capacity(64 + layout.row_bytes() * answer.table.rows().len());
    let names: Vec<&str> = endpoint.select.iter().map(|field| layout.name(*field)).collect();
    out.extend_from_slice(names.join(",").as_bytes());
    out.extend_from_slice(b"\r\n");
    for row in answer.table.rows() {
        for (position, field) in endpoint.select.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            layout.csv_field(&mut out, *field, row);
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Where the selected fields stand in a row of the table.
struct Layout<'a> {
    dataset: &'a Dataset,
    view: Option<&'a View>,
    /// Each field with what goes before its value: `{"name":` or `,"name":`.
    fields: Vec<(Field, Vec<u8>)>,
}

impl<'a> Layout<'a> {
    fn new(contract: &'a Contract, endpoint: &Endpoint) -> Self {
        let (dataset, view) = match endpoint.source {
            Source::Dataset(dataset) => (&contract.datasets[dataset], None),
            Source::View(view) => {
                let view = &contract.views[view];
                (contract.dataset_of(view), Some(view))
            }
        };
        let mut layout = Self { dataset, view, fields: Vec::new() };
        for (position, field) in endpoint.select.iter().enumerate() {
            let mut before = vec![if position == 0 { b'{' } else { b',' }];
            json_text(&mut before, layout.name(*field));
            before.push(b':');
            layout.fields.push((*field, before));
        }
        layout
    }

    fn row_bytes(&self) -> usize {
        self.fields.iter().map(|(_, before)| before.len() + 12).sum::<usize>() + 2
    }

    fn name(&self, field: Field) -> &'a str {
        match (field, self.view) {
            (Field::Part(GroupPart::Dim(dim)), Some(view)) => {
                &self.dataset.columns[view.group_by[dim]].name
            }
            (Field::Measure(measure), Some(view)) => &view.measures[measure].name,
            (Field::Column(column), _) => &self.dataset.columns[column].name,
            (Field::Part(_) | Field::Measure(_), _) => "bucket",
        }
    }

    fn object(&self, out: &mut Vec<u8>, row: &[Value]) {
        for (field, before) in &self.fields {
            out.extend_from_slice(before);
            match (*field, self.view) {
                (Field::Measure(measure), Some(view)) => {
                    let measure = &view.measures[measure];
                    json_quantity(out, quantity(view, self.dataset, measure, row));
                }
                (field, view) => {
                    let (column, position) = self.place(field, view);
                    json_cell(out, self.dataset.columns[column].kind, &row[position]);
                }
            }
        }
        out.push(b'}');
    }

    fn csv_field(&self, out: &mut Vec<u8>, field: Field, row: &[Value]) {
        match (field, self.view) {
            (Field::Measure(measure), Some(view)) => {
                let measure = &view.measures[measure];
                csv_quantity(out, quantity(view, self.dataset, measure, row));
            }
            (field, view) => {
                let (column, position) = self.place(field, view);
                csv_cell(out, self.dataset.columns[column].kind, &row[position]);
            }
        }
    }

    /// Returns the dataset's column that a field shows, and its position in a row.
    fn place(&self, field: Field, view: Option<&View>) -> (usize, usize) {
        match (field, view) {
            (Field::Part(GroupPart::Dim(dim)), Some(view)) => (view.group_by[dim], dim),
            (Field::Part(GroupPart::Bucket), Some(view)) => {
                let column = view.bucket.map_or(self.dataset.time, |bucket| bucket.column);
                (column, view.position_of(GroupPart::Bucket))
            }
            (Field::Column(column) | Field::Measure(column), _) => (column, column),
            (Field::Part(_), None) => (self.dataset.time, self.dataset.time),
        }
    }
}

#[cfg(test)]
mod tests;
