//! Terasort at the limit of the machine: records of 100 bytes, sorted by their first 10.
//!
//! Only a key and where its record lies are sorted, together one `u128`. They go into up to 4,096 buckets, by bounds from
//! a sample, so that a bucket is sorted in cache. Then its records are gathered, asked for ahead, and written. Parts
//! are ranges of buckets; sorted by name, they are the order of the whole. Equal keys stay in the order of the input.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Barrier, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use memmap2::Mmap;

use super::{
    arena::{Arena, Piece},
    input, prefetch,
};

/// The size of a record.
pub const RECORD: usize = 100;

/// The most buckets that there are.
const BUCKETS: usize = 4096;

/// About the smallest number of records in a bucket.
const SMALL: usize = 2048;

/// So many keys are looked at for each bound.
const SAMPLES: usize = 16;

/// A bucket grows by so many entries.
const CHUNK: usize = 256;

/// A thread takes so many records at a time.
const CLAIM: usize = 16 << 10;

/// The number of files that are written.
const PARTS: usize = 64;

/// A record is asked for so many records ahead.
pub(super) const AHEAD: usize = 24;

/// A key in the upper 80 bits, the number of its file in the next 16, that of its record there in the last 32.
pub(super) type Entry = u128;

/// The files of the input, mapped.
struct Records {
    maps: Vec<Mmap>,
    count: usize,
}

impl Records {
    fn open(path: &Path) -> io::Result<Self> {
        let mut files: Vec<(PathBuf, u64)> = Vec::new();
        input::list(path, &mut files)?;
        let (mut maps, mut count) = (Vec::new(), 0);
        for (path, size) in files.into_iter().filter(|(_, size)| *size > 0) {
            let refuse = |why: &str| Err(io::Error::other(format!("{}: {why}", path.display())));
            if size % RECORD as u64 != 0 {
                return refuse("its size is no multiple of 100 bytes");
            }
            let records = size as usize / RECORD;
            if records > u32::MAX as usize || maps.len() > usize::from(u16::MAX) {
                return refuse("too many records or files");
            }
            let file = File::open(&path)?;
            // SAFETY: a limit program is run on files that nobody changes meanwhile; it says so in its help.
            maps.push(unsafe { Mmap::map(&file)? });
            count += records;
        }
        Ok(Self { maps, count })
    }

    /// Files and the claims in them: file, first record, behind the last one.
    fn claims(&self) -> Vec<(usize, usize, usize)> {
        let mut claims = Vec::new();
        for (file, map) in self.maps.iter().enumerate() {
            let records = map.len() / RECORD;
            claims.extend(
                (0..records).step_by(CLAIM).map(|at| (file, at, (at + CLAIM).min(records))),
            );
        }
        claims
    }

    /// The entry of a record.
    #[inline(always)]
    fn entry(map: &[u8], file: usize, record: usize) -> Entry {
        let bytes = map[record * RECORD..].first_chunk::<16>().expect("a record has 100 bytes");
        let key = u128::from_be_bytes(*bytes) >> 48;
        key << 48 | (file as u128) << 32 | record as u128
    }

    /// The record of an entry.
    #[inline(always)]
    fn record(&self, entry: Entry) -> &[u8; RECORD] {
        let map = &self.maps[(entry >> 32) as usize & 0xffff];
        map[entry as u32 as usize * RECORD..].first_chunk().expect("a record has 100 bytes")
    }

    /// Bounds between buckets, from keys at fixed distances.
    fn bounds(&self, buckets: usize) -> Vec<Entry> {
        let step = (self.count / (buckets * SAMPLES)).max(1);
        let mut sample = Vec::new();
        for (file, map) in self.maps.iter().enumerate() {
            sample.extend(
                (0..map.len() / RECORD).step_by(step).map(|record| Self::entry(map, file, record)),
            );
        }
        sample.sort_unstable();
        (1..buckets).map(|bucket| sample[bucket * sample.len() / buckets]).collect()
    }
}

/// Finds the bucket of an entry: by a table of its first 16 bits, then among the few bounds that share them.
pub(super) struct Finder {
    bounds: Vec<Entry>,
    first: Vec<u16>,
}

impl Finder {
    pub(super) fn new(bounds: Vec<Entry>) -> Self {
        let first = (0..=1_u128 << 16).map(|top| {
            let below = if top >> 16 == 1 {
                bounds.len()
            } else {
                bounds.partition_point(|bound| *bound < top << 112)
            };
            below as u16
        });
        Self { first: first.collect(), bounds }
    }

    /// How many bounds are at or below the entry.
    #[inline(always)]
    pub(super) fn bucket(&self, entry: Entry) -> usize {
        let top = (entry >> 112) as usize;
        let (from, to) = (self.first[top] as usize, self.first[top + 1] as usize);
        let among = &self.bounds[from..to];
        if among.len() <= 4 {
            from + among.iter().map(|bound| usize::from(*bound <= entry)).sum::<usize>()
        } else {
            from + among.partition_point(|bound| *bound <= entry)
        }
    }
}

/// The buckets of one thread: chunks of entries, each linked to the one before.
struct Buckets<'a> {
    entries: Piece<'a, Entry>,
    /// The chunk before each chunk; 0 for none, so chunks count from 1.
    before: Vec<u32>,
    /// Behind the last entry of each bucket; 0 while it is empty.
    ends: Vec<usize>,
}

impl<'a> Buckets<'a> {
    /// For at most so many entries.
    fn new(arena: &'a Arena, buckets: usize, entries: usize) -> Self {
        let entries = arena.zeroed(entries + (buckets + 1) * CHUNK);
        Self { entries, before: vec![0], ends: vec![0; buckets] }
    }

    #[inline(always)]
    fn push(&mut self, bucket: usize, entry: Entry) {
        let mut end = self.ends[bucket];
        if end.is_multiple_of(CHUNK) {
            end = self.chunk(end);
        }
        self.entries[end] = entry;
        self.ends[bucket] = end + 1;
    }

    /// A new chunk behind a full one.
    #[inline(never)]
    fn chunk(&mut self, end: usize) -> usize {
        let new = self.before.len();
        self.before.push((end / CHUNK).saturating_sub(1) as u32);
        new * CHUNK
    }

    /// Appends the entries of a bucket.
    fn collect(&self, bucket: usize, out: &mut Vec<Entry>) {
        let mut end = self.ends[bucket];
        while end > 0 {
            let chunk = (end - 1) / CHUNK;
            out.extend_from_slice(&self.entries[chunk * CHUNK..end]);
            end = match self.before[chunk] {
                0 => 0,
                before => (before as usize + 1) * CHUNK,
            };
        }
    }
}

/// Sorts the records of a file or of all files below a folder, on so many threads, into files in the folder `output`,
/// which must not exist. Gives the number of records.
pub fn run(input: &Path, output: &Path, threads: usize) -> io::Result<usize> {
    let records = Records::open(input)?;
    fs::create_dir(output)?;
    let buckets = (records.count / SMALL).clamp(1, BUCKETS);
    let finder = Finder::new(records.bounds(buckets));
    let claims = records.claims();
    let (next_claim, next_part) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Addresses only: any thread might get all claims.
    let arena = Arena::new(
        threads * ((records.count + (buckets + 2) * CHUNK) * size_of::<Entry>() + (1 << 20)),
    )?;
    let parted: Vec<OnceLock<Buckets<'_>>> = (0..threads).map(|_| OnceLock::new()).collect();
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let (records, finder, claims, arena, parted) =
            (&records, &finder, &claims[..], &arena, &parted[..]);
        let (barrier, next_claim, next_part) = (&barrier, &next_claim, &next_part);
        let work = move |number: usize| {
            let mut mine = Buckets::new(arena, buckets, records.count);
            while let Some(&(file, from, to)) =
                claims.get(next_claim.fetch_add(1, Ordering::Relaxed))
            {
                let map = &records.maps[file];
                // Brings in all pages at once. An old kernel may not have it; then pages come by faults.
                #[cfg(target_os = "linux")]
                let _ = map.advise_range(
                    memmap2::Advice::PopulateRead,
                    from * RECORD,
                    (to - from) * RECORD,
                );
                for record in from..to {
                    let entry = Records::entry(map, file, record);
                    mine.push(finder.bucket(entry), entry);
                }
            }
            let _ = parted[number].set(mine);
            barrier.wait();
            write(records, parted, buckets, output, next_part)
        };
        let running: Vec<_> =
            (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        running.into_iter().try_for_each(|thread| thread.join().expect("a thread does not panic"))
    })?;
    Ok(records.count)
}

/// Sorts the buckets of parts, and writes their records, while there are parts.
fn write(
    records: &Records,
    parted: &[OnceLock<Buckets<'_>>],
    buckets: usize,
    output: &Path,
    next: &AtomicUsize,
) -> io::Result<()> {
    let (mut entries, mut out): (Vec<Entry>, Vec<u8>) = (Vec::new(), Vec::new());
    loop {
        let part = next.fetch_add(1, Ordering::Relaxed);
        if part >= PARTS {
            return Ok(());
        }
        let mut file = File::create(output.join(format!("part-{part:05}.bin")))?;
        for bucket in part * buckets / PARTS..(part + 1) * buckets / PARTS {
            entries.clear();
            parted
                .iter()
                .filter_map(OnceLock::get)
                .for_each(|thread| thread.collect(bucket, &mut entries));
            entries.sort_unstable();
            for some in entries.chunks(2048) {
                gather(records, some, &mut out);
                file.write_all(&out)?;
            }
        }
    }
}

/// Puts the records of entries one after another.
fn gather(records: &Records, entries: &[Entry], out: &mut Vec<u8>) {
    out.clear();
    let ask = |entry: &Entry| {
        let record = records.record(*entry);
        prefetch(&record[0]);
        prefetch(&record[RECORD - 1]);
    };
    entries.iter().take(AHEAD).for_each(ask);
    for (number, entry) in entries.iter().enumerate() {
        if let Some(entry) = entries.get(number + AHEAD) {
            ask(entry);
        }
        out.extend_from_slice(records.record(*entry));
    }
}

#[cfg(test)]
mod tests {
    use windrow_datasets::generate::{Generator, Tera};

    use super::*;

    /// Sorts files with 1 and with 3 threads, and compares with a plain sort.
    fn check(files: &[Vec<u8>]) {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("input");
        fs::create_dir(&input).unwrap();
        for (number, bytes) in files.iter().enumerate() {
            fs::write(input.join(format!("{number:03}")), bytes).unwrap();
        }
        let all = files.concat();
        let mut expected: Vec<_> = all.chunks(RECORD).collect();
        expected.sort_by_key(|record| &record[..10]);
        for threads in [1, 3] {
            let output = folder.path().join(threads.to_string());
            assert_eq!(run(&input, &output, threads).unwrap(), expected.len());
            let part = |part| fs::read(output.join(format!("part-{part:05}.bin"))).unwrap();
            let got: Vec<_> = (0..PARTS).flat_map(part).collect();
            assert!(got == expected.concat(), "the order is wrong");
        }
    }

    fn tera(records: u64, seed: u64) -> Vec<u8> {
        let mut out = Vec::new();
        Tera { records, seed }.fill(0..records, &mut out);
        out
    }

    #[test]
    fn sorts_in_many_buckets() {
        check(&[tera(20_000, 1), tera(1, 2), Vec::new(), tera(7_000, 3)]);
    }

    #[test]
    fn equal_keys_stay_in_order() {
        let mut records = tera(9_000, 1);
        for (number, record) in records.chunks_mut(RECORD).enumerate() {
            record[..10].fill(if number % 3 == 0 { 0xff } else { (number % 2) as u8 });
        }
        check(&[records.clone(), records]);
    }

    #[test]
    fn nothing_at_all_and_half_a_record() {
        check(&[]);
        check(&[tera(1, 1)]);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("half"), [0; 150]).unwrap();
        let error = run(folder.path(), &folder.path().join("out"), 1).unwrap_err();
        assert!(error.to_string().contains("multiple of 100"), "{error}");
    }
}
