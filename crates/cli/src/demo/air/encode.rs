//! From a delivery to a line of NDJSON, written byte by byte: the generator shares its machine with
//! the servers it measures.

use super::place::{CITIES, POLLUTANTS, STATIONS, Station};
use super::plan::{Hour, Plan, RUN_LEN};
use super::reading::Reading;
use super::stream::{Delivery, Fault, Manner};

/// Characters of `2026-11-22T10:`.
const HOUR_LEN: usize = 14;

/// Stations that send a note with their rows.
const NOTED: u16 = 50;

/// Stations that write their city in another way; the product lowers and trims it.
const UNTIDY: u16 = 9;

/// Writes rows of one run.
#[derive(Debug)]
pub(crate) struct Encoder {
    run: [u8; RUN_LEN],
    stations: Vec<Fixed>,
    hour: Hour,
    hour_text: [u8; HOUR_LEN],
}

/// The parts of a station's rows that never change.
#[derive(Debug)]
struct Fixed {
    /// From after the id to before the pollutant.
    names: Vec<u8>,
    /// From the minute to before the value.
    clock: Vec<u8>,
    /// From after the value to the end of the line.
    end: &'static [u8],
}

// === impl Encoder ===

impl Encoder {
    /// Makes an encoder for a plan's rows.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            run: plan.run(),
            stations: (0..STATIONS).map(|at| Fixed::new(Station(at))).collect(),
            hour: plan.start,
            hour_text: hour_text(plan.start),
        }
    }

    /// Appends one line.
    pub(crate) fn row(&mut self, line: &mut Vec<u8>, delivery: &Delivery) {
        match delivery.manner {
            Manner::OnTime | Manner::Late | Manner::Repeated => self.good(line, &delivery.reading),
            Manner::Broken(fault) => {
                line.extend_from_slice(self.broken(&delivery.reading, fault).as_bytes());
                line.push(b'\n');
            }
        }
    }

    fn good(&mut self, line: &mut Vec<u8>, reading: &Reading) {
        // Late and repeated readings are few: only the stream's own hour is worth keeping.
        let hour_text = if reading.hour == self.hour {
            self.hour_text
        } else {
            let text = hour_text(reading.hour);
            if reading.hour > self.hour {
                (self.hour, self.hour_text) = (reading.hour, text);
            }
            text
        };
        line.extend_from_slice(br#"{"reading_id":""#);
        self.id(line, reading);
        let station = &self.stations[usize::from(reading.series.station().0)];
        line.extend_from_slice(&station.names);
        line.extend_from_slice(POLLUTANTS[reading.series.pollutant()].as_bytes());
        line.extend_from_slice(br#"","ts":""#);
        line.extend_from_slice(&hour_text);
        line.extend_from_slice(&station.clock);
        hundredths(line, reading.value);
        line.extend_from_slice(station.end);
    }

    /// The hour comes first: ids grow with time, which keeps their index's tail hot.
    fn id(&self, line: &mut Vec<u8>, reading: &Reading) {
        hex::<6>(line, reading.hour.0);
        line.push(b'-');
        hex::<3>(line, u32::from(reading.series.0));
        line.push(b'-');
        line.extend_from_slice(&self.run);
    }

    /// A row with a fault has an id of its own, so it can't stand in for a good row.
    fn broken(&self, reading: &Reading, fault: Fault) -> String {
        let mut id = Vec::with_capacity(24);
        self.id(&mut id, reading);
        let id = format!("{}-x", String::from_utf8_lossy(&id));
        let station = reading.series.station();
        let (name, city) = (station.name(), CITIES[station.city()]);
        let pollutant = POLLUTANTS[reading.series.pollutant()];
        let ts = reading.hour.to_rfc3339();
        match fault {
            Fault::UnknownField => row(&id, &name, city, pollutant, &ts, r#"1.00,"colour":"red""#),
            Fault::WrongType => row(&id, &name, city, pollutant, &ts, r#""plenty""#),
            Fault::TooLarge => row(&id, &name, city, "pm10", &ts, "2000.01"),
            Fault::Negative => row(&id, &name, city, pollutant, &ts, "-0.01"),
            Fault::UnknownPollutant => row(&id, &name, city, "noise", &ts, "1.00"),
            Fault::OzoneCheck => row(&id, &name, city, "o3", &ts, "800.01"),
            Fault::BadId => row(&format!("{id} !"), &name, city, pollutant, &ts, "1.00"),
            Fault::BadTime => row(&id, &name, city, pollutant, "yesterday", "1.00"),
            Fault::Future => row(&id, &name, city, pollutant, "2199-01-01T00:00:00Z", "1.00"),
            Fault::TooLate => row(&id, &name, city, pollutant, "2001-01-01T00:00:00Z", "1.00"),
            Fault::Truncated => format!(r#"{{"reading_id":"{id}","station":"{name}","ci"#),
            Fault::MissingField => format!(
                r#"{{"reading_id":"{id}","city":"{city}","pollutant":"{pollutant}","ts":"{ts}","value":1.00}}"#
            ),
            Fault::Null => format!(
                r#"{{"reading_id":"{id}","station":"{name}","city":null,"pollutant":"{pollutant}","ts":"{ts}","value":1.00}}"#
            ),
        }
    }
}

fn row(id: &str, station: &str, city: &str, pollutant: &str, ts: &str, value: &str) -> String {
    format!(
        r#"{{"reading_id":"{id}","station":"{station}","city":"{city}","pollutant":"{pollutant}","ts":"{ts}","value":{value}}}"#
    )
}

// === impl Fixed ===

impl Fixed {
    fn new(station: Station) -> Self {
        let city = CITIES[station.city()];
        let city = if station.0 % UNTIDY == 1 {
            format!(" {} ", city.to_ascii_uppercase())
        } else {
            city.to_owned()
        };
        let names = format!(r#"","station":"{}","city":"{city}","pollutant":""#, station.name());
        let millis = station.millis();
        let (minute, second) = (millis / 60_000, millis / 1000 % 60);
        let clock = format!(r#"{minute:02}:{second:02}.{:03}Z","value":"#, millis % 1000);
        let end: &[u8] = match station.0 % NOTED {
            1 => b",\"note\":\"on a roof, 12 m\"}\n",
            2 => b",\"note\":null}\n",
            _ => b"}\n",
        };
        Self { names: names.into_bytes(), clock: clock.into_bytes(), end }
    }
}

fn hour_text(hour: Hour) -> [u8; HOUR_LEN] {
    let text = hour.to_rfc3339();
    text.as_bytes().first_chunk().copied().expect("a time must begin with its hour")
}

fn hex<const DIGITS: usize>(line: &mut Vec<u8>, number: u32) {
    let digits: [u8; DIGITS] = std::array::from_fn(|at| {
        let digit = (number >> (4 * (DIGITS - 1 - at))) & 15;
        b"0123456789abcdef"[digit as usize]
    });
    line.extend_from_slice(&digits);
}

/// Writes a value of at most 21 474 836.47, not negative.
fn hundredths(line: &mut Vec<u8>, value: i64) {
    let mut number = u32::try_from(value).expect("a value must be within the product's range");
    let mut digits = [b'0'; 11];
    let mut first = digits.len();
    while number > 0 || first > 7 {
        if first == digits.len() - 2 {
            first -= 1;
            digits[first] = b'.';
        }
        first -= 1;
        // A digit fits a byte.
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    line.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_two_digits_after_the_point() {
        for (value, expected) in [
            (0, "0.00"),
            (7, "0.07"),
            (10, "0.10"),
            (100, "1.00"),
            (123_456, "1234.56"),
            (200_000, "2000.00"),
        ] {
            let mut line = Vec::new();
            hundredths(&mut line, value);
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }
}
