//! The input of a limit program: one file, or all files below a folder, cut into claims that threads take.
//!
//! Large files are mapped. Small ones are read, many to a claim, since a map each costs more than its text. Either
//! way the text stays where it is until the end, so that words may point into it.

use std::{
    fs::{self, File},
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use memmap2::Mmap;
use rayon::prelude::*;
use windrow_datasets::text::split;

use super::arena::Arena;

/// Files from this size on are mapped.
const LARGE: u64 = 256 << 10;

/// The size of a claim.
const CLAIM: usize = 1 << 20;

/// All text of a run.
pub struct Input {
    arena: Arena,
    maps: Vec<Mmap>,
    claims: Vec<Claim>,
    next: AtomicUsize,
    bytes: u64,
}

/// What a thread takes at a time.
enum Claim {
    /// A range of a mapped file.
    Part { map: usize, range: Range<usize> },
    /// Small files, with their sizes.
    Files(Vec<(PathBuf, usize)>),
}

impl Input {
    /// Lists and maps the files at `path`. Names that begin with a dot or an underline are no input.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        list(path, &mut files)?;
        let (mut maps, mut claims, mut bytes, mut small_bytes) = (Vec::new(), Vec::new(), 0, 0);
        let (mut group, mut group_size) = (Vec::new(), 0);
        for (path, size) in files {
            bytes += size;
            if size >= LARGE {
                let file = File::open(&path)?;
                // SAFETY: a limit program is run on files that nobody changes meanwhile; it says so in its help.
                let map = unsafe { Mmap::map(&file)? };
                let starts = (0..map.len()).step_by(CLAIM);
                let number = maps.len();
                claims.extend(
                    starts.map(|at| Claim::Part {
                        map: number,
                        range: at..(at + CLAIM).min(map.len()),
                    }),
                );
                maps.push(map);
                continue;
            }
            let size = size as usize;
            small_bytes += 2 * size;
            if group_size + size > CLAIM {
                claims.push(Claim::Files(std::mem::take(&mut group)));
                group_size = 0;
            }
            group_size += size;
            group.push((path, size));
        }
        if !group.is_empty() {
            claims.push(Claim::Files(group));
        }
        let arena = Arena::new(small_bytes + (claims.len() << 16) + (4 << 20))?;
        Ok(Self { arena, maps, claims, next: AtomicUsize::new(0), bytes })
    }

    /// The number of bytes in all files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next claim, and gives each of its texts to `each`. No word is torn, none is given twice. `false`
    /// when there was no claim left.
    pub fn take<'a>(&'a self, each: impl FnMut(&'a [u8])) -> io::Result<bool> {
        self.take_whole(u8::is_ascii_whitespace, each)
    }

    /// As [`Input::take`], but no line is torn.
    pub fn take_lines<'a>(&'a self, each: impl FnMut(&'a [u8])) -> io::Result<bool> {
        self.take_whole(|byte| *byte == b'\n', each)
    }

    /// Gives all lines to so many threads of the pool that this is called in: what each has made of those it took.
    pub fn lines_by_thread<T: Send>(
        &self,
        threads: usize,
        start: impl Fn() -> T + Sync,
        each: impl Fn(&mut T, &[u8]) + Sync,
    ) -> io::Result<Vec<T>> {
        let of_thread = |_| {
            let mut made = start();
            while self.take_lines(|text| each(&mut made, text))? {}
            Ok(made)
        };
        (0..threads).into_par_iter().map(of_thread).collect()
    }

    fn take_whole<'a>(
        &'a self,
        is_end: impl Fn(&u8) -> bool,
        mut each: impl FnMut(&'a [u8]),
    ) -> io::Result<bool> {
        let Some(claim) = self.claims.get(self.next.fetch_add(1, Ordering::Relaxed)) else {
            return Ok(false);
        };
        match claim {
            Claim::Part { map, range } => {
                let map = &self.maps[*map];
                // Brings in all pages of the claim at once: cheaper than a fault for each few. An old kernel may not
                // have it; then pages come by faults.
                #[cfg(target_os = "linux")]
                let _ = map.advise_range(memmap2::Advice::PopulateRead, range.start, range.len());
                each(whole(map, range.clone(), is_end));
            }
            Claim::Files(files) => {
                let mut rest =
                    self.arena.any(files.iter().map(|(_, size)| size).sum()).into_slice();
                for (path, size) in files {
                    let (text, behind) = rest.split_at_mut(*size);
                    rest = behind;
                    let len = read(path, text)?;
                    each(&text[..len]);
                }
            }
        }
        Ok(true)
    }
}

/// Files below `path` with their sizes, in the order of their names.
pub fn list(path: &Path, files: &mut Vec<(PathBuf, u64)>) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        files.push((path.to_path_buf(), metadata.len()));
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if !matches!(entry.file_name().as_encoded_bytes().first(), Some(b'.' | b'_')) {
            list(&entry.path(), files)?;
        }
    }
    Ok(())
}

/// Reads a file that is not to be longer than `text`; gives the number of bytes.
fn read(path: &Path, text: &mut [u8]) -> io::Result<usize> {
    let mut file = File::open(path)?;
    let mut len = 0;
    while len < text.len() {
        match file.read(&mut text[len..])? {
            0 => break,
            more => len += more,
        }
    }
    Ok(len)
}

/// The words or lines that begin in `range`, whole: one belongs where its first byte is.
fn whole(text: &[u8], range: Range<usize>, is_end: impl Fn(&u8) -> bool) -> &[u8] {
    let end = |at: usize| match at.checked_sub(1) {
        None => 0,
        Some(at) => next_end(text, at, &is_end),
    };
    let (start, end) = (end(range.start), end(range.end));
    &text[start..end.max(start)]
}

/// The first byte from `at` on that ends something, or the end.
fn next_end(text: &[u8], at: usize, is_end: impl Fn(&u8) -> bool) -> usize {
    text[at..].iter().position(is_end).map_or(text.len(), |more| at + more)
}

/// Cuts a text into blocks of about 64 KiB that tear no word.
pub fn blocks(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    const BLOCK: usize = 64 << 10;
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let end = if text.len() <= BLOCK {
            text.len()
        } else {
            match split::cut(&text[..BLOCK]) {
                0 => next_end(text, BLOCK, u8::is_ascii_whitespace),
                end => end,
            }
        };
        let (block, rest) = text.split_at(end);
        text = rest;
        Some(block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_in_one_range() {
        let text = b"1 2\n\n3 4\nno end";
        for size in 1..text.len() + 2 {
            let mut lines = Vec::new();
            for start in (0..text.len()).step_by(size) {
                let end = (start + size).min(text.len());
                let part = whole(text, start..end, |byte| *byte == b'\n');
                lines.extend(part.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()));
            }
            assert!(lines.iter().eq(["1 2", "3 4", "no end"].map(str::as_bytes).iter()), "{size}");
        }
    }

    #[test]
    fn each_word_is_in_one_range() {
        let text = b"  one two\nthree  four5 six seven-eight ";
        for size in 1..text.len() + 2 {
            let mut words = Vec::new();
            for start in (0..text.len()).step_by(size) {
                let end = (start + size).min(text.len());
                let part = whole(text, start..end, u8::is_ascii_whitespace);
                words.extend(part.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()));
            }
            assert!(words.iter().eq(
                ["one", "two", "three", "four5", "six", "seven-eight"].map(str::as_bytes).iter()
            ));
        }
    }

    #[test]
    fn blocks_are_the_whole_text() {
        let mut text = b"word ".repeat(30_000);
        text.extend([b'x'; 200_000]);
        text.extend(b" end");
        assert_eq!(blocks(&text).collect::<Vec<_>>().concat(), text);
        let words = |text: &[u8]| {
            text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count()
        };
        assert_eq!(blocks(&text).map(words).sum::<usize>(), 30_002);
    }
}
