//! Distinct lines at the limit of the machine, for lines of up to 16 bytes.
//!
//! A line is one number of 16 bytes. Lines are first set apart by their hash, into so many parts that the table of one lies
//! in the cache; then the parts are gone through one by one, and what their tables hold is written.

use super::input::Input;
use rayon::prelude::*;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use windrow_datasets::text::split;

/// Parts, as a number of bits.
const PARTS: u32 = 10;

/// Parts whose lines go to one file.
const PER_FILE: usize = 16;

/// Writes each line of a file or of all files below a folder once, to files in the folder `output`, which must not exist.
/// Gives the numbers of lines and of distinct ones.
///
/// # Errors
/// What the file system says, and a line of more than 16 bytes or with a byte that is zero.
pub fn run(input: &Path, output: &Path, threads: usize) -> io::Result<(u64, u64)> {
    let pool = super::pool(threads)?;
    let input = Input::open(input)?;
    fs::create_dir(output)?;
    pool.install(|| {
        let start = || (vec![Vec::new(); 1 << PARTS], true);
        let parsed = input.lines_by_thread(threads, start, |(parts, whole), text| {
            *whole &= set_apart(text, parts);
        })?;
        if !parsed.iter().all(|(_, whole)| *whole) {
            let wrong = "a line has more than 16 bytes, or one that is zero";
            return Err(io::Error::other(wrong));
        }
        let parsed: Vec<_> = parsed.into_iter().map(|(parts, _)| parts).collect();
        let lines = parsed.iter().flatten().map(|part| part.len() as u64).sum();
        let files = (0..(1 << PARTS) / PER_FILE).into_par_iter();
        let distinct = files.map_init(Vec::new, |table, file| {
            let mut out = Vec::with_capacity(1 << 20);
            let mut distinct = 0;
            for part in file * PER_FILE..(file + 1) * PER_FILE {
                distinct +=
                    write(parsed.iter().map(|parts| parts[part].as_slice()), table, &mut out);
            }
            File::create(output.join(format!("part-{file:05}.txt")))?.write_all(&out)?;
            io::Result::Ok(distinct)
        });
        Ok((lines, distinct.sum::<io::Result<u64>>()?))
    })
}

/// Two numbers, since one of 16 bytes takes twice as long to multiply.
type Line = [u64; 2];

#[inline(always)]
fn hash(line: Line) -> u64 {
    let product =
        u128::from(line[0] ^ 0x2d35_8dcc_aa6c_78a5) * u128::from(line[1] ^ 0x8bb8_4b93_962e_acc9);
    (product as u64 ^ (product >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Adds each line to its part; whether all of them are short enough.
fn set_apart(text: &[u8], parts: &mut [Vec<Line>]) -> bool {
    let (mut start, mut whole) = (0, true);
    for end in memchr::memchr_iter(b'\n', text).chain([text.len()]) {
        let len = end - start;
        if len > 0 {
            whole &= len <= 16 && text[end - 1] != 0;
            let line = split::load(text, start, len.min(16));
            let line = [line as u64, (line >> 64) as u64];
            parts[(hash(line) >> (64 - PARTS)) as usize].push(line);
        }
        start = end + 1;
    }
    whole
}

/// Appends the distinct lines of a part, and gives their number.
fn write<'a>(
    lists: impl Iterator<Item = &'a [Line]> + Clone,
    table: &mut Vec<Line>,
    out: &mut Vec<u8>,
) -> u64 {
    const AHEAD: usize = 16;
    let lines: usize = lists.clone().map(<[_]>::len).sum();
    let slots = (2 * lines).next_power_of_two().max(16);
    table.clear();
    table.resize(slots, [0; 2]);
    let shift = 64 - slots.trailing_zeros();
    let place = |line| ((hash(line) << PARTS) >> shift) as usize;
    let mut distinct = 0;
    for list in lists {
        for (number, line) in list.iter().enumerate() {
            if let Some(line) = list.get(number + AHEAD) {
                super::prefetch(&table[place(*line)]);
            }
            let mut at = place(*line);
            // An empty line is none, so that a slot of zeros is empty.
            while table[at] != [0; 2] && table[at] != *line {
                at = (at + 1) & (slots - 1);
            }
            if table[at] == [0; 2] {
                table[at] = *line;
                distinct += 1;
                let text = u128::from(line[0]) | u128::from(line[1]) << 64;
                let len = 16 - text.leading_zeros() as usize / 8;
                let end = out.len() + len;
                out.extend_from_slice(&text.to_le_bytes());
                out.truncate(end);
                out.push(b'\n');
            }
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_line_once() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("input");
        let lines: Vec<_> = (0..50_000u64).map(|n| format!("{:x}", n * n % 70_001)).collect();
        fs::write(&input, lines.join("\n") + "\n\n0123456789abcdef\n0123456789abcdef").unwrap();
        let output = folder.path().join("output");
        let (all, distinct) = run(&input, &output, 2).unwrap();
        let mut files = Vec::new();
        crate::limits::input::list(&output, &mut files).unwrap();
        let text: String = files.iter().map(|(p, _)| fs::read_to_string(p).unwrap()).collect();
        let expected: BTreeSet<_> =
            lines.iter().map(String::as_str).chain(["0123456789abcdef"]).collect();
        assert_eq!((all, distinct), (50_002, expected.len() as u64));
        assert_eq!(text.lines().count(), expected.len());
        assert_eq!(text.lines().collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn lines_that_do_not_fit_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("input");
        for (number, text) in ["0123456789abcdef0\n", "a\0\n"].iter().enumerate() {
            fs::write(&input, text).unwrap();
            assert!(run(&input, &folder.path().join(number.to_string()), 1).is_err());
        }
    }
}
