//! Names in a product file: which are allowed, and which one was meant.

/// Longest name.
pub(crate) const MAX_NAME: usize = 48;

/// Names that expressions and answers need for themselves.
const RESERVED_COLUMNS: [&str; 7] = ["bucket", "false", "in", "is", "not", "null", "true"];

/// Names that requests and listings use beside those of columns.
const READ_WORDS: [&str; 10] =
    ["at", "cursor", "from", "k", "limit", "measures", "rows", "step", "stored", "to"];

/// First segments after `/v1/` that are no products.
const RESERVED_PRODUCTS: [&str; 12] = [
    "admin",
    "contracts",
    "exports",
    "internal",
    "jobs",
    "metrics",
    "openapi",
    "products",
    "purge",
    "routing",
    "status",
    "tokens",
];

/// What a name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// A product.
    Product,
    /// A column or measure.
    Column,
    /// A column that readers select by: it shares a query with `from`.
    Selected,
    /// A dataset, view, endpoint or check.
    Other,
}

/// Checks a name; the error says what would be right.
pub(crate) fn check_name(name: &str, usage: Use) -> Result<(), String> {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !begins || !name.bytes().all(letters) || name.len() > MAX_NAME {
        let shown: String = name.chars().take(MAX_NAME).collect();
        return Err(format!(
            "'{}' is no name; write a lower-case letter, then at most {} lower-case letters, digits \
             and '_'",
            shown.escape_debug(),
            MAX_NAME - 1,
        ));
    }
    let reserved: &[&str] = match usage {
        Use::Product => &RESERVED_PRODUCTS,
        Use::Column => &RESERVED_COLUMNS,
        Use::Selected => &READ_WORDS,
        Use::Other => &[],
    };
    if reserved.contains(&name) {
        return Err(format!("'{name}' is reserved; write another name, such as '{name}_'"));
    }
    Ok(())
}

/// Returns `; did you mean 'x'?` for the known name that is closest, or nothing if none is close.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(name, known).map_or_else(String::new, |close| format!("; did you mean '{close}'?"))
}

/// Returns the known name that was probably meant.
pub(crate) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.len() / 3).max(1).min(name.len().saturating_sub(1));
    known
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Number of edits between two names, swapped neighbours counting as one; names that are too long
/// to be one are far apart.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > MAX_NAME || b.len() > MAX_NAME {
        return usize::MAX;
    }
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for row in 1..=a.len() {
        let mut line = vec![row; b.len() + 1];
        for column in 1..=b.len() {
            let cost = usize::from(a[row - 1] != b[column - 1]);
            let mut least =
                (above[column] + 1).min(line[column - 1] + 1).min(above[column - 1] + cost);
            let swapped =
                row > 1 && column > 1 && a[row - 1] == b[column - 2] && a[row - 2] == b[column - 1];
            if swapped {
                least = least.min(before[column - 2] + 1);
            }
            line[column] = least;
        }
        before = std::mem::replace(&mut above, line);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_suggested_if_one_is_close() {
        let known = ["station", "city", "pollutant", "value"];
        assert_eq!(did_you_mean("polutant", known), "; did you mean 'pollutant'?");
        assert_eq!(did_you_mean("ctiy", known), "; did you mean 'city'?");
        assert_eq!(did_you_mean("temperature", known), "");
        assert_eq!(did_you_mean(&"x".repeat(10_000), known), "");
    }

    #[test]
    fn names_are_short_lower_case_words() {
        for good in ["air", "a", "pm25_max", &"a".repeat(MAX_NAME)] {
            assert_eq!(check_name(good, Use::Column), Ok(()), "{good}");
        }
        for bad in ["", "_tenant", "2x", "Air", "a-b", "a b", "é", &"a".repeat(MAX_NAME + 1)] {
            assert!(check_name(bad, Use::Column).is_err(), "{bad}");
        }
        assert!(check_name("bucket", Use::Column).is_err());
        assert!(check_name("bucket", Use::Other).is_ok());
        assert!(check_name("at", Use::Column).is_ok());
        assert!(check_name("at", Use::Selected).is_err());
        assert!(check_name("jobs", Use::Product).is_err());
    }
}
