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

/// Without a branch on what differs from line to line: whether there are two digits, or a sign, is anybody's guess.
#[inline]
fn split(line: &[u8]) -> Option<(&[u8], i64)> {
    // The last bytes as one number, the last one lowest.
    let end = u64::from_be_bytes(line.last_chunk().copied().unwrap_or_else(|| padded(line)));
    let byte = |at: u32| (end >> (8 * at)) as u8;
    let digit = |at: u32| i64::from(byte(at).wrapping_sub(b'0'));
    let (tenths, ones, tens, hundreds) = (digit(0), digit(2), digit(3), digit(4));
    let has_tens = tens < 10;
    let has_hundreds = has_tens & (hundreds < 10);
    let mut value = tenths + 10 * ones;
    value += if has_tens { 100 * tens } else { 0 };
    value += if has_hundreds { 1000 * hundreds } else { 0 };
    let before = 3 + u32::from(has_tens) + u32::from(has_hundreds);
    let is_negative = byte(before) == b'-';
    let separator = before + u32::from(is_negative);
    let is_one = (tenths < 10) & (byte(1) == b'.') & (ones < 10) & (byte(separator) == b';');
    let value = if is_negative { -value } else { value };
    is_one.then(|| (&line[..line.len() - separator as usize - 1], value))
}

/// A line of fewer than 8 bytes, behind bytes that are in no measurement.
#[cold]
fn padded(line: &[u8]) -> [u8; 8] {
    let mut padded = [0; 8];
    padded[8 - line.len()..].copy_from_slice(line);
    padded
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
