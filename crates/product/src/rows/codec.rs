//! Rows as bytes: column by column, small before and smaller after compression.
//!
//! Layout: version byte, number of rows, number of columns; then for each column its type, whether
//! a bitmap of nulls follows, the bitmap, and its cells. Numbers are variable-length; integers are
//! differences to the row before, so that times which grow take two or three bytes.

use super::{Cells, Rows};
use crate::contract::{Column, Dataset};
use crate::error::DecodeError;

const VERSION: u8 = 1;
const TEXT: u8 = 0;
const INT: u8 = 1;
const FLOAT: u8 = 2;

impl Rows {
    /// Writes the rows as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.len * self.columns.len() * 4);
        out.push(VERSION);
        put_number(&mut out, self.len as u64);
        put_number(&mut out, self.columns.len() as u64);
        for cells in &self.columns {
            put_cells(&mut out, cells);
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote for the same dataset; the bytes are not trusted.
    ///
    /// # Errors
    /// They are damaged, or those of another dataset.
    pub fn decode(dataset: &Dataset, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(bytes);
        match input.byte()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let len = input.number()?;
        let width = input.number()?;
        if width != dataset.columns.len() as u64 {
            return Err(DecodeError::Damaged);
        }
        // Every cell takes a byte at least, so a length that lies allocates nothing.
        let len = usize::try_from(len).map_err(|_| DecodeError::Truncated)?;
        if len.saturating_mul(dataset.columns.len()) > input.0.len() {
            return Err(DecodeError::Truncated);
        }
        let columns = dataset.columns.iter().enumerate();
        let columns = columns
            .map(|(position, column)| {
                let cells = get_cells(&mut input, len, column, position)?;
                let fits = column.nullable || cells.nulls().is_empty();
                fits.then_some(cells).ok_or(DecodeError::Column(position))
            })
            .collect::<Result<Vec<Cells>, DecodeError>>()?;
        if input.0.is_empty() { Ok(Self { columns, len }) } else { Err(DecodeError::Damaged) }
    }
}

fn put_cells(out: &mut Vec<u8>, cells: &Cells) {
    let word = match cells {
        Cells::Text { .. } => TEXT,
        Cells::Int { .. } => INT,
        Cells::Float { .. } => FLOAT,
    };
    out.push(word);
    out.push(u8::from(!cells.nulls().is_empty()));
    for eight in cells.nulls().chunks(8) {
        let bits = eight.iter().enumerate().map(|(bit, null)| u8::from(*null) << bit);
        out.push(bits.fold(0, |byte, bit| byte | bit));
    }
    match cells {
        Cells::Text { text, ends, .. } => {
            let mut start = 0;
            for end in ends {
                put_number(out, u64::from(end - start));
                start = *end;
            }
            out.extend_from_slice(text.as_bytes());
        }
        Cells::Int { values, .. } => {
            let mut before = 0i64;
            for value in values {
                let step = value.wrapping_sub(before);
                put_number(out, zigzag(step));
                before = *value;
            }
        }
        Cells::Float { values, .. } => {
            for value in values {
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
        }
    }
}

fn get_cells(
    input: &mut Input<'_>,
    len: usize,
    column: &Column,
    position: usize,
) -> Result<Cells, DecodeError> {
    let word = input.byte()?;
    let nulls = match input.byte()? {
        0 => Vec::new(),
        1 => {
            let bits = input.take(len.div_ceil(8))?;
            (0..len).map(|row| bits[row / 8] >> (row % 8) & 1 == 1).collect()
        }
        _ => return Err(DecodeError::Damaged),
    };
    match (word, Cells::of(column.kind)) {
        (TEXT, Cells::Text { .. }) => get_text(input, len, nulls),
        (INT, Cells::Int { .. }) => {
            let mut before = 0i64;
            let mut values = Vec::with_capacity(len);
            for _ in 0..len {
                before = before.wrapping_add(unzigzag(input.number()?));
                values.push(before);
            }
            Ok(Cells::Int { values, nulls })
        }
        (FLOAT, Cells::Float { .. }) => {
            let (bytes, _) = input.take(len.saturating_mul(8))?.as_chunks::<8>();
            let values = bytes.iter().map(|bytes| f64::from_bits(u64::from_le_bytes(*bytes)));
            Ok(Cells::Float { values: values.collect(), nulls })
        }
        _ => Err(DecodeError::Column(position)),
    }
}

fn get_text(input: &mut Input<'_>, len: usize, nulls: Vec<bool>) -> Result<Cells, DecodeError> {
    let mut ends = Vec::with_capacity(len);
    let mut end = 0u32;
    for _ in 0..len {
        let cell = u32::try_from(input.number()?).map_err(|_| DecodeError::Truncated)?;
        end = end.checked_add(cell).ok_or(DecodeError::Truncated)?;
        ends.push(end);
    }
    let text = std::str::from_utf8(input.take(end as usize)?).map_err(|_| DecodeError::Damaged)?;
    if ends.iter().any(|end| !text.is_char_boundary(*end as usize)) {
        return Err(DecodeError::Damaged);
    }
    Ok(Cells::Text { text: text.to_owned(), ends, nulls })
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Small numbers of either sign become small unsigned ones.
fn zigzag(number: i64) -> u64 {
    u64::from_ne_bytes(((number << 1) ^ (number >> 63)).to_ne_bytes())
}

fn unzigzag(number: u64) -> i64 {
    i64::from_ne_bytes(((number >> 1) ^ (number & 1).wrapping_neg()).to_ne_bytes())
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Damaged);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DecodeError::Damaged)
    }
}
