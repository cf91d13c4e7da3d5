//! The least, mean and greatest temperature of stations.

use crate::{Flow, Job, Result};
use bytes::Bytes;
use clap::Args;
use serde::{Deserialize, Serialize};
use windrow_datasets::location::Location;

/// Reads lines `station;temperature`, with one digit behind the point, and writes `station;min;mean;max` by station, as in the
/// One Billion Row Challenge. Means are rounded, halves up.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Measurements {
    /// Text: files, folders, patterns
    #[arg(long, required = true, num_args = 1.., value_name = "LOCATION")]
    pub input: Vec<Location>,
    /// The folder to write to
    #[arg(long, value_name = "LOCATION")]
    pub output: Location,
}

/// The station, and tenths of a degree.
///
/// # Panics
/// If it is no measurement: the job's failure names the line then.
#[inline]
fn measurement(line: &[u8]) -> (&[u8], i64) {
    split(line).unwrap_or_else(|| {
        let line = String::from_utf8_lossy(line);
        panic!("{line:?} is no measurement: `station;temperature`, with one digit behind the point")
    })
}

#[inline]
fn split(line: &[u8]) -> Option<(&[u8], i64)> {
    // From the end: a temperature has a digit, a point, and one to three digits before it.
    let [.., ones, b'.', tenths] = *line else { return None };
    let mut value = i64::from(digit(tenths)?) + 10 * i64::from(digit(ones)?);
    let mut at = line.len().checked_sub(4)?;
    if let Some(tens) = digit(*line.get(at)?) {
        value += 100 * i64::from(tens);
        at = at.checked_sub(1)?;
        if let Some(hundreds) = digit(*line.get(at)?) {
            value += 1000 * i64::from(hundreds);
            at = at.checked_sub(1)?;
        }
    }
    if line[at] == b'-' {
        value = -value;
        at = at.checked_sub(1)?;
    }
    (line[at] == b';').then(|| (&line[..at], value))
}

#[inline]
fn digit(byte: u8) -> Option<u8> {
    let digit = byte.wrapping_sub(b'0');
    (digit < 10).then_some(digit)
}

/// Tenths as people write them.
fn degrees(tenths: i64) -> String {
    let sign = if tenths < 0 { "-" } else { "" };
    format!("{sign}{}.{}", tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10)
}

impl Job for Measurements {
    const NAME: &str = "measurements";

    fn plan(&self, flow: &Flow) -> Result<()> {
        flow.read_lines_as::<Bytes>(&self.input)
            .map_to::<(Bytes, i64)>(measurement)
            .aggregate_by(|c| c.0, |c| (c.1.min(), c.1.sum(), c.count(), c.1.max()))
            .sort_by_key()
            .map(|(station, (least, sum, count, greatest))| {
                let (sum, count) = (sum as i128, i128::from(count));
                let mean = (2 * sum + count).div_euclid(2 * count) as i64;
                let (least, mean, greatest) = (degrees(least), degrees(mean), degrees(greatest));
                Bytes::from([station, format!(";{least};{mean};{greatest}").as_bytes()].concat())
            })
            .write_text(&self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_measurements_or_not() {
        assert_eq!(split(b"a;b;1.0"), Some((&b"a;b"[..], 10)));
        assert_eq!(split("S\u{e3}o;-99.9".as_bytes()), Some(("S\u{e3}o".as_bytes(), -999)));
        assert_eq!(split(b";-0.5"), Some((&b""[..], -5)));
        assert_eq!(split(b"x;123.4"), Some((&b"x"[..], 1234)));
        for bad in
            ["", "1.0", "x;1", "x;.5", "x;1.", "x;1,0", "x;+1.0", "x;1234.5", "x-1.0", "x;--1.0"]
        {
            assert_eq!(split(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(
            (degrees(-5), degrees(1234), degrees(0)),
            ("-0.5".into(), "123.4".into(), "0.0".into())
        );
    }
}
