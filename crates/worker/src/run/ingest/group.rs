//! Which batches share a transaction.

use tidegate_store::Claim;

/// Rows applied in one transaction, unless one batch has more: some 50 ms of work, for which every
/// other writer waits.
const MAX_ROWS: usize = 16_000;

/// Cuts claims into groups, in order.
pub(super) fn form(claims: Vec<Claim>) -> Vec<Vec<Claim>> {
    let sizes: Vec<usize> = claims.iter().map(|claim| claim.rows.len()).collect();
    let mut claims = claims.into_iter();
    cut(&sizes, MAX_ROWS).into_iter().map(|size| claims.by_ref().take(size).collect()).collect()
}

/// Returns how many neighbours to take together so that none of the sums exceeds `most`.
fn cut(sizes: &[usize], most: usize) -> Vec<usize> {
    let mut groups = Vec::new();
    let mut sum = 0usize;
    for &size in sizes {
        match groups.last_mut() {
            Some(count) if sum.saturating_add(size) <= most => {
                *count += 1;
                sum += size;
            }
            _ => {
                groups.push(1);
                sum = size;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sizes: &[usize], expected: &[usize]) {
        assert_eq!(cut(sizes, 100), expected, "{sizes:?}");
    }

    #[test]
    fn groups_are_as_large_as_the_bound_allows() {
        check(&[], &[]);
        check(&[0, 0, 0], &[3]);
        check(&[50, 50, 1], &[2, 1]);
        check(&[60, 60, 40, 10], &[1, 2, 1]);
        check(&[1, 500, 1], &[1, 1, 1]);
        check(&[100, usize::MAX, 100], &[1, 1, 1]);
    }
}
