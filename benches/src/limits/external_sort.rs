//! Terasort at the limit of the machine where memory is a small part of the input: records of 100 bytes, sorted by their
//! first 10, by a distribution over files in scratch.
//!
//! A chunk of the input that fits a thread's memory is read, its records are put by bucket (bounds come from a sample),
//! and written one after the other: one scratch file a chunk. A bucket, which fits the cache, is then read from all of
//! them, sorted, and written. Each record is read twice and written twice, in large pieces: a merge of sorted runs does no
//! less, and compares more.

use super::terasort::{AHEAD, Entry, Finder, RECORD};
use super::{input, prefetch};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// About how many bytes a bucket has: what of it is sorted fits the cache.
const BUCKET: u64 = 4 << 20;

/// The number of files that are written.
const PARTS: usize = 64;

/// So many pieces of the input are looked at for the bounds, each of so many records.
const SAMPLES: (u64, usize) = (256, 2048);

/// A part of an input file: file, first byte, bytes.
type Claim = (usize, u64, usize);

/// A chunk in scratch, and where each bucket of it begins, and the end.
struct Chunk {
    file: File,
    starts: Vec<u64>,
}

struct Input {
    files: Vec<File>,
    sizes: Vec<u64>,
}

impl Input {
    fn open(path: &Path) -> io::Result<Input> {
        let mut found: Vec<(PathBuf, u64)> = Vec::new();
        input::list(path, &mut found)?;
        found.retain(|(_, size)| *size > 0);
        if let Some((path, _)) = found.iter().find(|(_, size)| size % RECORD as u64 != 0) {
            let text = format!("{}: its size is no multiple of 100 bytes", path.display());
            return Err(io::Error::other(text));
        }
        let files = found.iter().map(|(path, _)| File::open(path)).collect::<io::Result<_>>()?;
        Ok(Input { files, sizes: found.into_iter().map(|(_, size)| size).collect() })
    }

    fn bytes(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// Pieces of at most so many bytes.
    fn claims(&self, most: usize) -> Vec<Claim> {
        let most = (most / RECORD * RECORD) as u64;
        let of_file = |(file, &size): (usize, &u64)| {
            (0..size)
                .step_by(most as usize)
                .map(move |at| (file, at, most.min(size - at) as usize))
                .collect::<Vec<_>>()
        };
        self.sizes.iter().enumerate().flat_map(of_file).collect()
    }

    /// Pieces that together have at most so many bytes, one after the other in the input.
    fn chunks(&self, most: usize) -> Vec<Vec<Claim>> {
        let (mut chunks, mut bytes): (Vec<Vec<Claim>>, usize) = (Vec::new(), 0);
        // A quarter at a time, so that what is left of a file does not make a chunk of its own.
        for claim in self.claims((most / 4).max(RECORD)) {
            match chunks.last_mut().filter(|_| bytes + claim.2 <= most) {
                Some(chunk) => chunk.push(claim),
                None => {
                    chunks.push(vec![claim]);
                    bytes = 0;
                }
            }
            bytes += claim.2;
        }
        chunks
    }

    /// Appends what is there.
    fn read(&self, (file, at, bytes): Claim, buffer: &mut Vec<u8>) -> io::Result<()> {
        let start = buffer.len();
        buffer.resize(start + bytes, 0);
        self.files[file].read_exact_at(&mut buffer[start..], at)
    }

    fn bounds(&self, buckets: usize) -> io::Result<Vec<Entry>> {
        let step = (self.bytes() / SAMPLES.0).max((SAMPLES.1 * RECORD) as u64);
        let (mut sample, mut buffer) = (Vec::new(), Vec::new());
        for claim in self.claims(usize::try_from(step).unwrap_or(usize::MAX)) {
            let (file, at, bytes) = claim;
            buffer.clear();
            self.read((file, at, bytes.min(SAMPLES.1 * RECORD)), &mut buffer)?;
            sample.extend(buffer.as_chunks::<RECORD>().0.iter().map(|record| entry(record, 0)));
        }
        sample.sort_unstable();
        Ok((1..buckets).map(|bucket| sample[bucket * sample.len() / buckets]).collect())
    }
}

/// A key in the upper 80 bits, the number of its record below. Bounds have the number 0: equal keys are in one bucket.
#[inline(always)]
fn entry(record: &[u8; RECORD], number: usize) -> Entry {
    let bytes = record.first_chunk::<16>().expect("a record has 100 bytes");
    u128::from_be_bytes(*bytes) >> 48 << 48 | number as u128
}

/// Sorts the records of a file or of all files below a folder, on so many threads with so many bytes of memory together,
/// into files in the folder `output`, which must not exist; files in `scratch` are gone afterwards. Gives the number of
/// records.
///
/// # Errors
/// What the file system says.
///
/// # Panics
/// If a thread does.
pub fn run(
    input: &Path,
    output: &Path,
    threads: usize,
    memory: u64,
    scratch: &Path,
) -> io::Result<usize> {
    let input = Input::open(input)?;
    fs::create_dir(output)?;
    let records = input.bytes() as usize / RECORD;
    if records == 0 {
        return Ok(0);
    }
    let buckets = input.bytes().div_ceil(BUCKET).next_power_of_two().clamp(64, 1 << 14) as usize;
    let finder = Finder::new(input.bounds(buckets)?);
    // A chunk, its entries, and what is about to be written.
    let chunk = memory as usize / threads / 4 * 3 / (RECORD + size_of::<Entry>() * 2) * RECORD;
    let claims = input.chunks(chunk);
    let chunks: Mutex<Vec<(usize, Chunk)>> = Mutex::default();
    let next = AtomicUsize::new(0);
    on_threads(threads, || {
        let (mut buffer, mut entries, mut sorted) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(pieces) = claims.get(number) else { return Ok(()) };
            buffer.clear();
            pieces.iter().try_for_each(|&piece| input.read(piece, &mut buffer))?;
            let chunk =
                put_by_bucket(&buffer, &finder, buckets, scratch, &mut entries, &mut sorted)?;
            chunks.lock().expect("no thread panics").push((number, chunk));
        }
    })?;
    let mut chunks = chunks.into_inner().expect("no thread panics");
    chunks.sort_unstable_by_key(|(number, _)| *number);
    let next = AtomicUsize::new(0);
    on_threads(threads, || {
        let (mut buffer, mut entries): (Vec<u8>, Vec<Entry>) = (Vec::new(), Vec::new());
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= PARTS {
                return Ok(());
            }
            let file = File::create(output.join(format!("part-{part:05}.bin")))?;
            let mut out = BufWriter::with_capacity(1 << 20, file);
            for bucket in part * buckets / PARTS..(part + 1) * buckets / PARTS {
                buffer.clear();
                for (_, chunk) in &chunks {
                    let (from, to) = (chunk.starts[bucket], chunk.starts[bucket + 1]);
                    let start = buffer.len();
                    buffer.resize(start + (to - from) as usize, 0);
                    chunk.file.read_exact_at(&mut buffer[start..], from)?;
                }
                let all = buffer.as_chunks::<RECORD>().0;
                entries.clear();
                entries
                    .extend(all.iter().enumerate().map(|(number, record)| entry(record, number)));
                entries.sort_unstable();
                gather(all, &entries, &mut out)?;
            }
            out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
    })?;
    Ok(records)
}

/// Writes the records of a chunk by bucket, those of one as they came.
fn put_by_bucket(
    buffer: &[u8],
    finder: &Finder,
    buckets: usize,
    scratch: &Path,
    entries: &mut Vec<(u32, u32)>,
    sorted: &mut Vec<Entry>,
) -> io::Result<Chunk> {
    let records = buffer.as_chunks::<RECORD>().0;
    let mut counts = vec![0u32; buckets + 1];
    entries.clear();
    for (number, record) in records.iter().enumerate() {
        let bucket = finder.bucket(entry(record, 0));
        counts[bucket + 1] += 1;
        entries.push((bucket as u32, number as u32));
    }
    for bucket in 0..buckets {
        counts[bucket + 1] += counts[bucket];
    }
    let starts = counts.iter().map(|&count| u64::from(count) * RECORD as u64).collect();
    sorted.clear();
    sorted.resize(records.len(), 0);
    for &(bucket, number) in entries.iter() {
        let at = &mut counts[bucket as usize];
        sorted[*at as usize] = Entry::from(number);
        *at += 1;
    }
    let file = tempfile::tempfile_in(scratch)?;
    let mut out = BufWriter::with_capacity(1 << 20, &file);
    gather(records, sorted, &mut out)?;
    out.flush()?;
    drop(out);
    Ok(Chunk { file, starts })
}

/// Writes the records of entries one after another.
fn gather(records: &[[u8; RECORD]], entries: &[Entry], out: &mut impl Write) -> io::Result<()> {
    let find = |entry: Entry| &records[entry as u32 as usize];
    for (number, &entry) in entries.iter().enumerate() {
        if let Some(&ahead) = entries.get(number + AHEAD) {
            prefetch(&find(ahead)[0]);
            prefetch(&find(ahead)[RECORD - 1]);
        }
        out.write_all(find(entry))?;
    }
    Ok(())
}

/// Runs this on so many threads.
fn on_threads(threads: usize, work: impl Fn() -> io::Result<()> + Sync) -> io::Result<()> {
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        running.into_iter().try_for_each(|thread| thread.join().expect("a thread does not panic"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_datasets::generate::{Generator, Tera};

    #[test]
    fn sorts_as_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("input");
        fs::create_dir(&input).unwrap();
        for seed in 0..3 {
            let mut bytes = Vec::new();
            Tera { records: 9_000, seed }.fill(0..9_000, &mut bytes);
            // Some keys are equal.
            bytes.chunks_mut(RECORD).step_by(7).for_each(|record| record[1..10].fill(7));
            fs::write(input.join(seed.to_string()), bytes).unwrap();
        }
        let read = |name: &str| {
            let part = |part| folder.path().join(name).join(format!("part-{part:05}.bin"));
            (0..PARTS).flat_map(|number| fs::read(part(number)).unwrap()).collect::<Vec<u8>>()
        };
        super::super::terasort::run(&input, &folder.path().join("memory"), 1).unwrap();
        for threads in [1, 3] {
            let name = threads.to_string();
            let output = folder.path().join(&name);
            let sorted = run(&input, &output, threads, 300_000, folder.path()).unwrap();
            assert_eq!(sorted, 27_000);
            assert!(read(&name) == read("memory"), "the order is wrong");
        }
    }
}
