//! Word count at the limit of the machine.
//!
//! The input is mapped, cut into claims, and split into words 64 bytes at a time. A word of up to 16 bytes is one
//! inline number (`word`). A small table in each thread's cache counts the frequent ones (`front`); what it turns away
//! goes in batches to one of 256 shared tables on huge pages (`shared`). Homes in a table ascend with the hash, so
//! that rows leave in the order of (hash, word) by one scan, and the bytes are always the same.

mod front;
mod shared;
mod word;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use windrow_datasets::text::split::Splitter;

use self::{
    front::Front,
    shared::{Batches, Shared, TABLES},
    word::Word,
};
use super::{
    arena::Arena,
    input::{Input, blocks},
};

/// The number of files that are written.
const PARTS: usize = 64;

/// So many words are hashed before they are looked up.
const GROUP: usize = 32;

/// A part is written in pieces of this size.
const WRITE: usize = 1 << 20;

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The size of the input.
    pub bytes: u64,
    /// All words.
    pub words: u64,
    /// Different words: the lines of the output.
    pub distinct: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.words += other.words;
        self.distinct += other.distinct;
    }
}

/// Counts the words of a file or of all files below a folder, on so many threads, and writes `word<TAB>count` lines to
/// files in the folder `output`, which must not exist.
pub fn run(input: &Path, output: &Path, threads: usize) -> io::Result<Counts> {
    let input = Input::open(input)?;
    fs::create_dir(output)?;
    // Addresses only: room for a table of every word, the halves that it outgrew, and what each thread has.
    let arena =
        Arena::new((64 * input.bytes() as usize).max(64 << 20) + (threads << 21) + (TABLES << 17))?;
    let shared = Shared::new(&arena, input.bytes());
    let (barrier, next) = (Barrier::new(threads), AtomicUsize::new(0));
    let mut counts = Counts { bytes: input.bytes(), ..Counts::default() };
    thread::scope(|scope| {
        let work = || {
            let counted = count(&input, &arena, &shared);
            barrier.wait();
            let words = counted?;
            let distinct = write(output, &shared, &next)?;
            io::Result::Ok(Counts { bytes: 0, words, distinct })
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in running {
            counts += thread.join().expect("a thread does not panic")?;
        }
        io::Result::Ok(())
    })?;
    Ok(counts)
}

/// Counts the words of claims while there are any; gives their number.
fn count<'a>(input: &'a Input, arena: &'a Arena, shared: &Shared<'a>) -> io::Result<u64> {
    let (mut front, mut batches, mut splitter) =
        (Front::new(arena), Batches::new(arena), Splitter::new());
    let mut words = [Word::default(); GROUP];
    let (mut total, mut drained) = (0, 0);
    while input.take(|text| {
        shared.passed(text.len());
        for block in blocks(text) {
            let found = splitter.split(block);
            total += found.len() as u64;
            // A group at a time: words are hashed and their places asked for before any is looked at.
            for group in found.edges().as_chunks::<2>().0.chunks(GROUP) {
                for (edges, word) in group.iter().zip(&mut words) {
                    *word = Word::new(block, edges[0], edges[1]);
                    front.prefetch(word);
                }
                for word in &words[..group.len()] {
                    if let Some(row) = front.add(word) {
                        batches.add(row, shared);
                    }
                }
            }
        }
    })? {
        // Counts of the front are 32 bits wide.
        if total - drained > 1 << 30 {
            drained = total;
            front.drain(|row| batches.add(row, shared));
        }
    }
    front.drain(|row| batches.add(row, shared));
    batches.finish(shared);
    Ok(total)
}

/// Writes parts while there are any; gives the number of lines.
fn write(output: &Path, shared: &Shared<'_>, next: &AtomicUsize) -> io::Result<u64> {
    const AHEAD: usize = 16;
    let mut lines = 0;
    let mut out = Vec::with_capacity(WRITE + (1 << 16));
    loop {
        let part = next.fetch_add(1, Ordering::Relaxed);
        if part >= PARTS {
            return Ok(lines);
        }
        let mut file = File::create(output.join(format!("part-{part:05}.txt")))?;
        for table in part * TABLES / PARTS..(part + 1) * TABLES / PARTS {
            let ordered = shared.take_ordered(table);
            let rows = ordered.rows();
            lines += rows.len() as u64;
            for (number, row) in rows.iter().enumerate() {
                if let Some(row) = rows.get(number + AHEAD) {
                    row.word.prefetch();
                }
                row.word.append_to(&mut out);
                append_count(row.count, &mut out);
                if out.len() >= WRITE {
                    file.write_all(&out)?;
                    out.clear();
                }
            }
        }
        file.write_all(&out)?;
        out.clear();
    }
}

/// Appends a tab, the count, and the end of the line.
#[inline(always)]
fn append_count(count: u64, out: &mut Vec<u8>) {
    if count < 10 {
        out.extend_from_slice(&[b'\t', b'0' + count as u8, b'\n']);
        return;
    }
    let mut digits = [b'\n'; 22];
    let (mut at, mut rest) = (digits.len() - 1, count);
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    at -= 1;
    digits[at] = b'\t';
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// All lines of all parts, in the order of the parts.
    fn lines(output: &Path) -> Vec<u8> {
        let part = |part| fs::read(output.join(format!("part-{part:05}.txt"))).unwrap();
        (0..PARTS).flat_map(part).collect()
    }

    /// Checks the output for some files against a count with a map.
    fn check(files: &[Vec<u8>]) {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("input");
        fs::create_dir_all(input.join("deeper")).unwrap();
        let mut expected: HashMap<&[u8], u64> = HashMap::new();
        for (number, text) in files.iter().enumerate() {
            let name =
                if number % 2 == 0 { format!("{number}") } else { format!("deeper/{number}") };
            fs::write(input.join(name), text).unwrap();
            for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                *expected.entry(word).or_default() += 1;
            }
        }
        let run = |threads| {
            let output = folder.path().join(format!("output-{threads}"));
            let counts = run(&input, &output, threads).unwrap();
            assert_eq!(counts.distinct, expected.len() as u64);
            assert_eq!(counts.words, expected.values().sum::<u64>());
            lines(&output)
        };
        let bytes = run(1);
        assert!(bytes == run(3), "another number of threads gave other bytes");
        let got: HashMap<&[u8], u64> = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                let tab = line.iter().rposition(|byte| *byte == b'\t').unwrap();
                (&line[..tab], std::str::from_utf8(&line[tab + 1..]).unwrap().parse().unwrap())
            })
            .collect();
        assert!(got == expected, "counts differ");
    }

    #[test]
    fn many_words_and_long_ones() {
        // Tables grow, batches fill, files are mapped and read; words of all lengths, some in several files.
        let mut text = Vec::new();
        for number in 0..200_000_u64 {
            let word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (number % 60);
            write!(text, "{}{word:x} ", "long-".repeat((number % 7) as usize)).unwrap();
            if number % 3 == 0 {
                text.extend(b"the\n");
            }
        }
        text.extend([b'x'; 300_000]);
        check(&[text.clone(), text[..100_000].to_vec(), b"the end".to_vec(), Vec::new()]);
    }

    #[test]
    fn nothing_at_all() {
        check(&[]);
        check(&[b" \n".to_vec()]);
    }

    #[test]
    fn counts_are_written_in_full() {
        for count in [1, 9, 10, 11, 99, 100, 12_345, u64::MAX] {
            let mut out = Vec::new();
            append_count(count, &mut out);
            assert_eq!(out, format!("\t{count}\n").into_bytes());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn equals_a_map(
            files in prop::collection::vec(
                prop::collection::vec(prop::sample::select(&b"aab\0\0 \n\x0b\xff"[..]), 0..3000),
                0..4,
            )
        ) {
            check(&files);
        }
    }
}
