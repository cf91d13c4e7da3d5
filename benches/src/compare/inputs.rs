//! Inputs of comparisons, made once and kept.

use std::{
    fs,
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
};

use windrow_datasets::generate::{Edges, Generator, Measurements, Tera, Words};
use windrow_datasets::record::mix;

/// About the size of a file.
const FILE: u64 = 128 << 20;

/// A folder with Zipf text of this size.
pub(super) fn words(scratch: &Path, bytes: u64) -> io::Result<PathBuf> {
    make(&scratch.join(format!("words-{bytes}")), bytes, FILE, |part, size, path| {
        Words { bytes: size, seed: part }.write_file(path)
    })
}

/// A folder with this many records to sort.
pub(super) fn tera(scratch: &Path, records: u64) -> io::Result<PathBuf> {
    make(
        &scratch.join(format!("tera-{records}")),
        records,
        FILE / Tera::RECORD as u64,
        |part, size, path| Tera { records: size, seed: part }.write_file(path),
    )
}

/// A folder with this many lines `station;temperature`.
pub(super) fn measurements(scratch: &Path, records: u64) -> io::Result<PathBuf> {
    make(
        &scratch.join(format!("measurements-{records}")),
        records,
        FILE / 14,
        |part, size, path| Measurements { records: size, seed: part }.write_file(path),
    )
}

/// Words of a text that is made are in lines of so many.
const WORDS: u64 = 8;

/// A folder with about this much text, in which a word comes the more rarely the later its rank, by Zipf's law with exponent
/// 1.5.
pub(super) fn zipf_words(scratch: &Path, bytes: u64) -> io::Result<PathBuf> {
    // The share of ranks above one is its root's inverse.
    let rank = |word: u64| {
        let part = (mix(word, 5) >> 11) as f64 / (1u64 << 53) as f64;
        (1.0 / (part * part).max(1e-12)) as u64
    };
    lines(&scratch.join(format!("zipf-words-{bytes}")), bytes / (3 * WORDS), move |line, out| {
        for word in line * WORDS..(line + 1) * WORDS {
            let end = if (word + 1).is_multiple_of(WORDS) { '\n' } else { ' ' };
            let _ = write!(out, "w{}{end}", rank(word));
        }
    })
}

/// A folder with about this much text, of which nine words in ten are one, and the others of a million.
pub(super) fn one_word_often(scratch: &Path, bytes: u64) -> io::Result<PathBuf> {
    lines(&scratch.join(format!("one-word-{bytes}")), bytes * 10 / (44 * WORDS), |line, out| {
        for word in line * WORDS..(line + 1) * WORDS {
            let end = if (word + 1).is_multiple_of(WORDS) { '\n' } else { ' ' };
            let chance = mix(word, 6);
            let _ = match chance.is_multiple_of(10) {
                true => write!(out, "w{}{end}", chance / 10 % 1_000_000),
                false => write!(out, "the{end}"),
            };
        }
    })
}

/// A folder with this many lines of a number each, half as many as those being possible.
pub(super) fn numbers(scratch: &Path, count: u64) -> io::Result<PathBuf> {
    lines(&scratch.join(format!("numbers-{count}")), count, move |line, out| {
        let _ = writeln!(out, "{}", mix(line, 7) % (count / 2).max(1));
    })
}

/// A folder with the edges of a graph, sixteen for each node.
pub(super) fn edges(scratch: &Path, count: u64) -> io::Result<PathBuf> {
    let nodes = (count / 16).max(1);
    let step = FILE / 16;
    make(&scratch.join(format!("edges-{count}")), count, step, move |part, size, path| {
        Edges { edges: size, nodes, seed: part }.write_file(path)
    })
}

/// A folder with this many points of four numbers, around sixteen places.
pub(super) fn points(scratch: &Path, count: u64) -> io::Result<PathBuf> {
    lines(&scratch.join(format!("points-{count}")), count, |line, out| {
        let place = mix(line, 8) % 16;
        let number = |axis: u64| {
            let center = mix(place, axis) % 100_000;
            // About a bell.
            let away: u64 = (0..4).map(|roll| mix(line, 16 * roll + axis) % 6_000).sum();
            (center + away) as f64 / 1000.0
        };
        let _ = writeln!(out, "{},{},{},{}", number(1), number(2), number(3), number(4));
    })
}

/// Lines, each made of its number.
struct Lines<F> {
    range: Range<u64>,
    line: F,
}

impl<F: Fn(u64, &mut Vec<u8>) + Sync> Generator for Lines<F> {
    fn pieces(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn piece_bytes(&self) -> u64 {
        16
    }

    fn fill(&self, pieces: Range<u64>, out: &mut Vec<u8>) {
        for piece in pieces.start..pieces.end.min(self.pieces()) {
            (self.line)(self.range.start + piece, out);
        }
    }
}

/// A folder with so many lines, unless it is there.
fn lines(
    folder: &Path,
    count: u64,
    line: impl Fn(u64, &mut Vec<u8>) + Sync,
) -> io::Result<PathBuf> {
    let step = FILE / 16;
    make(folder, count, step, |part, size, path| {
        Lines { range: part * step..part * step + size, line: &line }.write_file(path)
    })
}

/// A folder with the tables of TPC-H at this scale, made by a binary that has `generate tpch`.
pub(super) fn tpch(scratch: &Path, scale: f64, binary: Option<&Path>) -> io::Result<PathBuf> {
    let folder = scratch.join(format!("tpch-{scale}"));
    if !folder.exists() {
        let missing = || io::Error::other("--tpch is missing, and so are the tables");
        let unfinished = folder.with_extension("unfinished");
        let done = Command::new(binary.ok_or_else(missing)?)
            .args(["generate", "tpch", "--quiet", "--overwrite", "--scale", &scale.to_string()])
            .arg("--output")
            .arg(&unfinished)
            .output()?;
        if !done.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned()));
        }
        fs::rename(&unfinished, &folder)?;
    }
    Ok(folder)
}

/// Makes files of `step` units each in `folder`, `total` together, if it is not there yet.
fn make(
    folder: &Path,
    total: u64,
    step: u64,
    write: impl Fn(u64, u64, &Path) -> io::Result<u64>,
) -> io::Result<PathBuf> {
    if !folder.exists() {
        // Under another name until it is whole.
        let unfinished = folder.with_extension("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir_all(&unfinished)?;
        for part in 0..total.div_ceil(step) {
            write(
                part,
                step.min(total - part * step),
                &unfinished.join(format!("input-{part:04}")),
            )?;
        }
        fs::rename(&unfinished, folder)?;
    }
    Ok(folder.to_path_buf())
}
