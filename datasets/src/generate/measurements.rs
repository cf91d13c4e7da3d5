//! Temperatures of stations, as in the One Billion Row Challenge.

use std::{io::Write, ops::Range};

use super::{Generator, Random, stations::STATIONS};

/// Lines `station;temperature`: one of [413 stations](STATIONS), a temperature with one digit behind the point, spread
/// by about 10 degrees around the station's mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurements {
    /// The number of lines.
    pub records: u64,
    /// Which lines.
    pub seed: u64,
}

impl Generator for Measurements {
    fn pieces(&self) -> u64 {
        self.records
    }

    fn piece_bytes(&self) -> u64 {
        14
    }

    fn fill(&self, pieces: Range<u64>, out: &mut Vec<u8>) {
        let stations = &STATIONS[..];
        for record in pieces.start..pieces.end.min(self.records) {
            let mut random = Random::of(self.seed, record);
            let station = stations[random.below(stations.len() as u64) as usize];
            let tenths = station.mean * 10 + deviation(random.next());
            let (sign, size) = (if tenths < 0 { "-" } else { "" }, tenths.unsigned_abs());
            writeln!(out, "{};{sign}{}.{}", station.name, size / 10, size % 10)
                .expect("a vector takes all bytes");
        }
    }
}

/// Tenths of degrees around zero, nearly normal with a standard deviation of 10 degrees: the sum of four evenly spread
/// numbers. Integers only: floats would not be the same everywhere.
fn deviation(random: u64) -> i32 {
    let sum: i32 = (0..4).map(|part| (random >> (16 * part)) as u16 as i32).sum();
    // The mean of the sum is 131,070, its standard deviation 37,837.
    (sum - 131_070) * 100 / 37_837
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_they_should_be() {
        let mut out = Vec::new();
        Measurements { records: 20_000, seed: 9 }.fill(0..20_000, &mut out);
        let text = String::from_utf8(out).unwrap();
        let mut deviations = Vec::new();
        for line in text.lines() {
            let (name, temperature) = line.split_once(';').unwrap();
            let station = STATIONS.iter().find(|station| station.name == name).unwrap();
            assert_eq!(temperature.split_once('.').unwrap().1.len(), 1);
            deviations.push(temperature.parse::<f64>().unwrap() - f64::from(station.mean));
        }
        assert_eq!(deviations.len(), 20_000);
        let mean = deviations.iter().sum::<f64>() / 20_000.0;
        let spread = (deviations.iter().map(|one| one * one).sum::<f64>() / 20_000.0).sqrt();
        assert!(mean.abs() < 0.3 && (spread - 10.0).abs() < 0.3, "mean {mean}, spread {spread}");
        assert!(text.contains(";-0.") || text.contains(";0."));
    }
}
