//! Least, mean and greatest temperature of stations, at the limit of the machine.
//!
//! The input is mapped, and threads take claims of some megabytes of it. A claim is gone through by three cursors at
//! once, so that the processor has something to do while one of them waits for what it has looked up. A name ends where
//! 16 bytes at a time are compared with a semicolon; a temperature is parsed without a branch, from 8 bytes. Names of up
//! to 16 bytes are compared as two words.

use super::input::list;
use memmap2::Mmap;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The size of a claim.
const CLAIM: usize = 4 << 20;

/// Cursors in a claim.
const CURSORS: usize = 3;

/// Bytes that may be looked at behind the begin of a line: lines that have fewer behind them are parsed one by one.
const LOOK: usize = 160;

/// Slots of a thread's table; a power of two, far above the number of stations there may be.
const SLOTS: usize = 1 << 16;

/// What was measured at a station, in tenths of degrees.
#[derive(Clone, Copy)]
struct Seen {
    least: i64,
    greatest: i64,
    sum: i64,
    count: i64,
}

impl Seen {
    const NONE: Seen = Seen { least: i64::MAX, greatest: i64::MIN, sum: 0, count: 0 };

    #[inline(always)]
    fn add(&mut self, tenths: i64) {
        self.least = self.least.min(tenths);
        self.greatest = self.greatest.max(tenths);
        self.sum += tenths;
        self.count += 1;
    }

    fn merge(&mut self, other: &Seen) {
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
        self.sum += other.sum;
        self.count += other.count;
    }
}

#[derive(Clone, Copy)]
struct Slot<'m> {
    /// The first 16 bytes, zeros behind them.
    start: [u64; 2],
    name: &'m [u8],
    seen: Seen,
}

/// A thread's stations.
struct Table<'m> {
    slots: Vec<Slot<'m>>,
}

impl<'m> Table<'m> {
    fn new() -> Table<'m> {
        Table { slots: vec![Slot { start: [0; 2], name: &[], seen: Seen::NONE }; SLOTS] }
    }

    /// The station of a name, which begins with `start`.
    #[inline(always)]
    fn station(&mut self, name: &'m [u8], start: [u64; 2]) -> &mut Seen {
        let mixed = (start[0] ^ start[1].rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut at = (mixed >> 40) as usize % SLOTS;
        loop {
            let slot = &self.slots[at];
            if slot.start == start && (name.len() <= 16 || slot.name == name) && slot.seen.count > 0
            {
                break;
            }
            if slot.seen.count == 0 {
                self.slots[at] = Slot { start, name, seen: Seen::NONE };
                break;
            }
            at = (at + 1) % SLOTS;
        }
        &mut self.slots[at].seen
    }

    /// Adds the line that begins at `at`; gives where the next one does.
    #[inline(always)]
    fn line(&mut self, text: &'m [u8], at: usize) -> usize {
        let line = &text[at..at + LOOK];
        let (first, second) = (word(line, 0), word(line, 8));
        let (len, start) = match semicolon(line, 0) {
            Some(len) if len <= 8 => (len, [first & low_bytes(len), 0]),
            Some(len) => (len, [first, second & low_bytes(len - 8)]),
            None => {
                let more = (16..LOOK - 16).step_by(16).find_map(|from| semicolon(line, from));
                (more.expect("names have at most 100 bytes"), [first, second])
            }
        };
        let (tenths, used) = temperature(word(line, len + 1));
        self.station(&line[..len], start).add(tenths);
        at + len + 1 + used
    }

    /// Adds a line that may be the last one.
    fn last_line(&mut self, text: &'m [u8], at: usize) -> usize {
        let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |len| at + len);
        let line = &text[at..end];
        if let Some(len) = memchr::memrchr(b';', line) {
            let digits = line[len + 1..].iter().filter(|byte| byte.is_ascii_digit());
            let size = digits.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
            let tenths = if line.get(len + 1) == Some(&b'-') { -size } else { size };
            let mut padded = [0; 16];
            let known = len.min(16);
            padded[..known].copy_from_slice(&line[..known]);
            self.station(&line[..len], [word(&padded, 0), word(&padded, 8)]).add(tenths);
        }
        (end + 1).min(text.len())
    }

    /// Adds the lines that begin in a range of the text.
    fn claim(&mut self, text: &'m [u8], range: Range<usize>) {
        let begin = |at: usize| match at {
            0 => 0,
            _ => memchr::memchr(b'\n', &text[at - 1..]).map_or(text.len(), |len| at + len),
        };
        let step = range.len().div_ceil(CURSORS);
        let bound = |number: usize| begin((range.start + number * step).min(range.end));
        let mut at: [usize; CURSORS] = std::array::from_fn(bound);
        let end: [usize; CURSORS] = std::array::from_fn(|number| bound(number + 1));
        let safe = text.len().saturating_sub(LOOK);
        while (0..CURSORS).all(|number| at[number] < end[number].min(safe)) {
            for at in &mut at {
                *at = self.line(text, *at);
            }
        }
        for (mut at, end) in at.into_iter().zip(end) {
            while at < end {
                at = if at < safe { self.line(text, at) } else { self.last_line(text, at) };
            }
        }
    }
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

/// A mask of the first bytes of a word, up to 8.
#[inline(always)]
fn low_bytes(count: usize) -> u64 {
    if count >= 8 { u64::MAX } else { (1 << (8 * count)) - 1 }
}

/// Where a semicolon is among the 16 bytes from `from` on, counted from the begin of the line.
#[inline(always)]
fn semicolon(line: &[u8], from: usize) -> Option<usize> {
    let bytes: &[u8; 16] = line[from..].first_chunk()?;
    // One comparison of 16 bytes, where the compiler knows one.
    let marks = bytes.iter().enumerate();
    let marks = marks.fold(0u32, |marks, (at, byte)| marks | (u32::from(*byte == b';') << at));
    (marks != 0).then(|| from + marks.trailing_zeros() as usize)
}

/// The temperature at the begin of these bytes, in tenths, and how many bytes it takes with the end of the line. Without a
/// branch: as Quan Anh Mai's entry to the One Billion Row Challenge does it.
#[inline(always)]
fn temperature(word: u64) -> (i64, usize) {
    // A digit has bit 4 set, the point has not.
    let point = (!word & 0x1010_1000).trailing_zeros();
    let sign = ((!word << 59) as i64) >> 63;
    let digits = ((word & !(sign as u64 & 0xff)) << (28 - point)) & 0x0f_000f_0f00;
    let size = (digits.wrapping_mul(0x640_a0001) >> 32) & 0x3ff;
    ((size as i64 ^ sign) - sign, (point >> 3) as usize + 3)
}

/// Goes through all files at `input`, and writes `station;min;mean;max` lines into a file in `output`; gives the number of
/// stations and of lines.
///
/// # Errors
/// What the file system says.
pub fn run(input: &Path, output: &Path, threads: usize) -> io::Result<(usize, u64)> {
    let mut files = Vec::new();
    list(input, &mut files)?;
    let maps = files.iter().filter(|(_, size)| *size > 0).map(|(path, _)| {
        // SAFETY: a limit program is run on files that nobody changes meanwhile; it says so in its help.
        unsafe { Mmap::map(&File::open(path)?) }
    });
    let maps = maps.collect::<io::Result<Vec<_>>>()?;
    let claims: Vec<(&[u8], Range<usize>)> = maps
        .iter()
        .flat_map(|map| {
            let starts = (0..map.len()).step_by(CLAIM);
            starts.map(|at| (&map[..], at..(at + CLAIM).min(map.len())))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let run = || {
        let mut table = Table::new();
        while let Some((text, range)) = claims.get(next.fetch_add(1, Ordering::Relaxed)) {
            table.claim(text, range.clone());
        }
        table
    };
    let tables: Vec<Table<'_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread ends")).collect()
    });
    let mut stations: BTreeMap<&[u8], Seen> = BTreeMap::new();
    for slot in tables.iter().flat_map(|table| &table.slots).filter(|slot| slot.seen.count > 0) {
        stations.entry(slot.name).or_insert(Seen::NONE).merge(&slot.seen);
    }
    let degrees = |tenths: i64| {
        let sign = if tenths < 0 { "-" } else { "" };
        format!("{sign}{}.{}", tenths.abs() / 10, tenths.abs() % 10)
    };
    let mut out = Vec::new();
    let mut lines = 0;
    for (name, Seen { least, greatest, sum, count }) in &stations {
        let mean = (2 * sum + count).div_euclid(2 * count);
        out.extend_from_slice(name);
        writeln!(out, ";{};{};{}", degrees(*least), degrees(mean), degrees(*greatest))?;
        lines += *count as u64;
    }
    fs::create_dir_all(output)?;
    fs::write(output.join("stations"), out)?;
    Ok((stations.len(), lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_datasets::generate::{Generator, Measurements};

    #[test]
    fn temperatures() {
        for tenths in -999..=999i64 {
            let (sign, size) = (if tenths < 0 { "-" } else { "" }, tenths.abs());
            let mut text = format!("{sign}{}.{}\n", size / 10, size % 10).into_bytes();
            let used = text.len();
            text.extend(b"next;1.0");
            assert_eq!(temperature(word(&text, 0)), (tenths, used), "{tenths}");
        }
    }

    #[test]
    fn a_plain_program_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut text = Vec::new();
        Measurements { records: 30_000, seed: 1 }.fill(0..30_000, &mut text);
        text.extend(
            "a name of more than sixteen bytes;1.0\na name of more than sixteen others;-99.9\n"
                .as_bytes(),
        );
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("in/a"), &text).unwrap();
        // The last line has no end.
        fs::write(folder.path().join("in/b"), b"x;1.2\nx;-0.3").unwrap();
        let (stations, lines) =
            run(&folder.path().join("in"), &folder.path().join("out"), 2).unwrap();
        assert_eq!(lines, 30_004);
        let written = fs::read_to_string(folder.path().join("out/stations")).unwrap();
        assert_eq!(written.lines().count(), stations);
        assert!(written.contains("x;-0.3;0.5;1.2\n"), "{written}");
        assert!(written.contains("a name of more than sixteen bytes;1.0;1.0;1.0\n"));
        let mut plain: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for line in std::str::from_utf8(&text).unwrap().lines() {
            let (station, degrees) = line.split_once(';').unwrap();
            plain.entry(station).or_default().push(degrees.replace('.', "").parse().unwrap());
        }
        for (station, tenths) in plain {
            let line =
                written.lines().find(|line| line.split(';').next() == Some(station)).unwrap();
            let least = *tenths.iter().min().unwrap() as f64 / 10.0;
            assert!(line.starts_with(&format!("{station};{least:.1};")), "{line}");
        }
    }
}
