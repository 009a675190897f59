//! What control knows of the product: its name, and the digest of the plan that edges follow.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use tidegate_core::edge_plan::EdgePlan;

use crate::Error;

/// Most bytes of a product file.
const MAX_BYTES: u64 = 1 << 20;

/// Where the product's source lies.
#[derive(Clone, Debug)]
pub(crate) struct ProductFile {
    path: PathBuf,
}

/// A product as compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Governed {
    /// The file's content; `None` as long as there is no file.
    pub(crate) source: Option<String>,
    /// The product's name.
    pub(crate) product: Option<String>,
    /// Digest of the edge plan.
    pub(crate) edge_plan: String,
}

// === impl ProductFile ===

impl ProductFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads and compiles the file.
    pub(crate) fn load(&self) -> Result<Governed, Error> {
        self.compile(self.read()?)
    }

    /// Reads the file; `None` if there is none.
    pub(crate) fn read(&self) -> Result<Option<String>, Error> {
        read_bounded(&self.path).map_err(|error| {
            Error::Product(format!("{} can't be read: {error}", self.path.display()))
        })
    }

    /// Compiles what was read.
    pub(crate) fn compile(&self, source: Option<String>) -> Result<Governed, Error> {
        let Some(text) = source else {
            return Ok(Governed { source, product: None, edge_plan: EdgePlan::empty().digest() });
        };
        let contract = tidegate_product::compile(&self.path.display().to_string(), &text).map_err(
            |problems| {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Error::Product(problems.join("; "))
            },
        )?;
        let edge_plan = tidegate_product::edge_plan(&contract).digest();
        Ok(Governed { source: Some(text), product: Some(contract.name), edge_plan })
    }
}

fn read_bounded(path: &Path) -> std::io::Result<Option<String>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
    }
    Ok(Some(text))
}
