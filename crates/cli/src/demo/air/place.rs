//! Where is measured: cities, their stations, and the pollutants of each station.

/// Cities, in the form that the product keeps.
pub(crate) const CITIES: [&str; 40] = [
    "amsterdam",
    "athens",
    "barcelona",
    "belgrade",
    "berlin",
    "bern",
    "bratislava",
    "brussels",
    "bucharest",
    "budapest",
    "copenhagen",
    "dublin",
    "edinburgh",
    "frankfurt",
    "geneva",
    "hamburg",
    "helsinki",
    "istanbul",
    "kyiv",
    "lisbon",
    "ljubljana",
    "london",
    "lyon",
    "madrid",
    "marseille",
    "milan",
    "munich",
    "naples",
    "oslo",
    "paris",
    "porto",
    "prague",
    "reykjavik",
    "riga",
    "rome",
    "sarajevo",
    "sofia",
    "stockholm",
    "vienna",
    "warsaw",
];

/// Pollutants, in the order of a station's rows.
pub(crate) const POLLUTANTS: [&str; 4] = ["pm25", "pm10", "no2", "o3"];

/// Stations of one city.
pub(crate) const STATIONS_PER_CITY: u16 = 25;

/// Stations of all cities.
pub(crate) const STATIONS: u16 = 40 * STATIONS_PER_CITY;

/// Pairs of a station and a pollutant; each gives one reading an hour.
pub(crate) const SERIES: u16 = STATIONS * 4;

/// Milliseconds between the readings of two neighbouring stations: one round takes an hour.
const MILLIS_PER_STATION: u32 = 3_600_000 / STATIONS as u32;

/// A pair of a station and a pollutant, counted in the order in which an hour is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Series(pub u16);

/// A station, counted likewise: neighbours are in different cities, so each batch meets them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Station(pub u16);

// === impl Series ===

impl Series {
    /// Returns where it is measured.
    pub(crate) fn station(self) -> Station {
        Station(self.0 / 4)
    }

    /// Returns what is measured: a position in [`POLLUTANTS`].
    pub(crate) fn pollutant(self) -> usize {
        usize::from(self.0 % 4)
    }
}

// === impl Station ===

impl Station {
    /// Returns the position of its city in [`CITIES`].
    pub(crate) fn city(self) -> usize {
        usize::from(self.0) % CITIES.len()
    }

    /// Returns its name, such as `oslo-07`.
    pub(crate) fn name(self) -> String {
        format!("{}-{:02}", CITIES[self.city()], usize::from(self.0) / CITIES.len() + 1)
    }

    /// Returns when in each hour it is read, in milliseconds.
    pub(crate) fn millis(self) -> u32 {
        u32::from(self.0) * MILLIS_PER_STATION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_station_has_a_name_of_its_own_and_an_instant_within_the_hour() {
        let mut names: Vec<_> = (0..STATIONS).map(|at| Station(at).name()).collect();
        assert!(names.iter().all(|name| name.len() <= 16), "the product's limit");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), usize::from(STATIONS));
        assert!(Station(STATIONS - 1).millis() < 3_600_000);
    }
}
