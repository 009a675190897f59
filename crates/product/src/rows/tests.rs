//! Rows keep what they are given, as bytes too.

use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, proptest};
use tidegate_core::clock::Timestamp;

use crate::error::DecodeError;
use crate::fixture::{air, air_with, reading, rows};
use crate::rows::{Cell, Rows};

fn lines() -> impl Strategy<Value = Vec<String>> {
    let row = ("[a-z]{1,9}", "[ a-zé]{0,9}", 0i64..200_000, 0u32..80_000_000, any::<bool>());
    let row = row.prop_map(|(id, city, value, seconds, note)| {
        let at = Timestamp((1_763_000_000 + i64::from(seconds / 3)) * 1_000_000).to_rfc3339();
        let value = format!("{}.{:02}", value / 100, value % 100);
        let row = reading(&id, &city, "pm10", &at, &value);
        if note { row.replace('}', ",\"note\":\"ü\"}") } else { row }
    });
    proptest::collection::vec(row, 0..30)
}

#[test]
fn bytes_of_another_shape_are_refused() {
    let contract = air();
    let dataset = &contract.datasets[0];
    let bytes =
        rows(dataset, &[reading("r", "oslo", "pm25", "2026-11-22T10:00:00Z", "1")]).encode();
    let decode = |bytes: &[u8]| Rows::decode(dataset, bytes).unwrap_err();
    assert_eq!(decode(&[]), DecodeError::Truncated);
    assert_eq!(decode(&[9]), DecodeError::Version(9));
    assert_eq!(
        decode(&[1, 255, 255, 255, 255, 255, 255, 255, 255, 127, 7]),
        DecodeError::Truncated
    );
    assert_eq!(decode(&[bytes.as_slice(), &[0]].concat()), DecodeError::Damaged);
    let other = air_with(
        "value = { type = \"decimal\", precision = 8, scale = 2",
        "value = { type = \"float\"",
    );
    assert_eq!(Rows::decode(&other.datasets[0], &bytes), Err(DecodeError::Column(5)));
}

#[test]
fn a_column_added_later_leaves_hashes_as_they_are() {
    let row = [reading("r", "oslo", "pm25", "2026-11-22T10:00:00Z", "1")];
    let hash = |contract: &crate::contract::Contract| {
        let dataset = &contract.datasets[0];
        rows(dataset, &row).hash(dataset, 0)
    };
    let wider = air_with("note = {", "unit = { type = \"string\", nullable = true }\nnote = {");
    assert_eq!(hash(&air()), hash(&wider));
}

#[test]
fn hashes_are_the_same_in_every_release() {
    let contract = air();
    let dataset = &contract.datasets[0];
    let row = rows(dataset, &[reading("r", "oslo", "pm25", "2026-11-22T10:00:00Z", "1")]);
    assert_eq!(row.hash(dataset, 0), 2_336_193_429_471_591_542);
}

#[test]
fn keys_and_times_are_at_hand() {
    let contract = air();
    let dataset = &contract.datasets[0];
    let row = rows(dataset, &[reading("r", "oslo", "pm25", "2026-11-22T10:00:00Z", "1")]);
    assert_eq!(row.key(dataset, 0).collect::<Vec<_>>(), [Cell::Text("r")]);
    assert_eq!(row.time(dataset, 0), 1_795_341_600_000_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn rows_come_back_from_their_bytes(lines in lines()) {
        let contract = air();
        let dataset = &contract.datasets[0];
        let rows = rows(dataset, &lines);
        let bytes = rows.encode();
        prop_assert_eq!(Rows::decode(dataset, &bytes), Ok(rows));
    }

    #[test]
    fn damaged_bytes_are_refused_or_are_rows(
        lines in lines(),
        damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..4),
        cut in any::<u16>(),
    ) {
        let contract = air();
        let dataset = &contract.datasets[0];
        let mut bytes = rows(dataset, &lines).encode();
        for (at, byte) in damage {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(usize::from(cut) % (bytes.len() * 2).max(1));
        if let Ok(rows) = Rows::decode(dataset, &bytes) {
            for row in 0..rows.len() {
                rows.hash(dataset, row);
            }
        }
    }
}
