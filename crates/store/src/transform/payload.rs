//! A batch's rows and line numbers as bytes, compressed.

use tidegate_product::contract::Dataset;
use tidegate_product::rows::Rows;

use crate::StoreError;

/// The lowest level: the cells are encoded small before, and accepting must be quick.
const LEVEL: i32 = 1;

/// Most bytes a payload takes once decompressed. What is stored is ours, but may be damaged.
const MAX_BYTES: usize = 1 << 30;

/// Bytes of one line number's step.
const STEP_BYTES: usize = size_of::<u32>();

/// Packs rows, and the line of each if some lines are missing.
pub(crate) fn pack(rows: &Rows, lines: &[u32]) -> Result<Vec<u8>, StoreError> {
    let cells = rows.encode();
    let count = u32::try_from(lines.len()).map_err(|_| damaged("too many lines"))?;
    let mut bytes = Vec::with_capacity(cells.len() + STEP_BYTES * (lines.len() + 1));
    bytes.extend_from_slice(&count.to_le_bytes());
    let mut before = 0u32;
    for &line in lines {
        // Steps are mostly 1 and compress to nothing.
        bytes.extend_from_slice(&line.wrapping_sub(before).to_le_bytes());
        before = line;
    }
    bytes.extend_from_slice(&cells);
    zstd::bulk::compress(&bytes, LEVEL).map_err(|error| damaged(&error.to_string()))
}

/// Unpacks what [`pack`] made for the same dataset.
pub(crate) fn unpack(dataset: &Dataset, packed: &[u8]) -> Result<(Rows, Vec<u32>), StoreError> {
    let bytes =
        zstd::bulk::decompress(packed, MAX_BYTES).map_err(|error| damaged(&error.to_string()))?;
    let (count, rest) = bytes.split_first_chunk().ok_or_else(|| damaged("it is cut off"))?;
    let steps = usize::try_from(u32::from_le_bytes(*count))
        .ok()
        .and_then(|count| count.checked_mul(STEP_BYTES))
        .ok_or_else(|| damaged("it has too many lines"))?;
    let (steps, cells) =
        rest.split_at_checked(steps).ok_or_else(|| damaged("its lines are cut off"))?;
    let mut line = 0u32;
    let lines = steps.as_chunks::<STEP_BYTES>().0.iter().map(|step| {
        line = line.wrapping_add(u32::from_le_bytes(*step));
        line
    });
    let lines: Vec<u32> = lines.collect();
    let rows = Rows::decode(dataset, cells).map_err(|error| damaged(&error.to_string()))?;
    if !lines.is_empty() && lines.len() != rows.len() {
        return Err(damaged("it has not one line for each row"));
    }
    Ok((rows, lines))
}

fn damaged(reason: &str) -> StoreError {
    StoreError::Corrupt { what: "payload", reason: reason.to_owned() }
}
