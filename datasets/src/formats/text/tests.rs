//! Any cut into splits and lanes, any block size, gives what a sequential reading gives.

use super::*;
use crate::formats::files::Sizes;
use crate::location::{IntoLocations, Locations};
use crate::push::{Demand, Push, PushError, Selection};
use crate::record::{Batch, Record};
use crate::source::{Source, SourceError, Split};
use crate::storage::Storage;
use bytes::Bytes;
use proptest::prelude::*;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Takes owned records of each lane, and keeps some batches alive.
struct Take<T: Record> {
    records: Arc<Mutex<Vec<T>>>,
    kept: Vec<T::Batch>,
    keep: bool,
    enough_at: usize,
}

impl<T: Record> Push<T> for Take<T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        let mut records = self.records.lock().unwrap();
        crate::for_selected!(selection, batch.len(), |i| records.push(T::own(batch.get(i))));
        if self.keep {
            self.kept.push(batch.clone());
        }
        Ok(if records.len() >= self.enough_at { Demand::Enough } else { Demand::More })
    }
    fn row(&mut self, _view: T::View<'_>) -> Result<Demand, PushError> {
        unreachable!()
    }
    fn finish(&mut self) -> Result<(), PushError> {
        Ok(())
    }
}

fn splits<S: Source>(source: &S) -> Result<Vec<Split>, SourceError> {
    let mut splits = Vec::new();
    source.split(&Storage::new(), &mut |split| {
        splits.push(split);
        Ok(())
    })?;
    Ok(splits)
}

fn read_all<S: Source>(source: &S, keep: bool) -> Result<Vec<S::Item>, SourceError> {
    let records = Arc::new(Mutex::new(Vec::new()));
    for split in splits(source)? {
        for lane in 0..split.lanes {
            let mut take =
                Take { records: records.clone(), kept: Vec::new(), keep, enough_at: usize::MAX };
            source.read(&Storage::new(), &split, lane, &mut take)?;
        }
    }
    Ok(std::mem::take(&mut *records.lock().unwrap()))
}

fn lines(locations: impl IntoLocations, sizes: Sizes) -> TextSource<Bytes> {
    TextSource::<Bytes>::new(locations).with_sizes(sizes)
}

fn expected_lines(text: &[u8]) -> Vec<Bytes> {
    let mut lines: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    let trim = |l: &[u8]| Bytes::copy_from_slice(l.strip_suffix(b"\r").unwrap_or(l));
    lines.into_iter().map(trim).collect()
}

fn expected_words(text: &[u8]) -> Vec<Bytes> {
    let words = text.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
    words.map(Bytes::copy_from_slice).collect()
}

/// As the `zstd` program writes it: with a checksum.
fn zstd_file(text: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Writes files of these contents, some compressed in two members, and returns them in the order of their names.
fn write_files(folder: &Path, contents: &[(Vec<u8>, u8)]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (number, (text, kind)) in contents.iter().enumerate() {
        let (first, second) = text.split_at(text.len() / 2);
        let (extension, bytes) = match kind {
            0 => ("gz", [gzip(first), gzip(second)].concat()),
            1 => ("zst", [zstd_file(first), zstd_file(second)].concat()),
            _ => ("txt", text.clone()),
        };
        let path = folder.join(format!("{number:03}.{extension}"));
        std::fs::write(&path, bytes).unwrap();
        paths.push(path);
    }
    paths
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => prop::sample::select(&b" \t\n\r\n\x0c"[..]),
        5 => b'a'..=b'e',
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..300)
}

fn all_sizes() -> impl Strategy<Value = Sizes> {
    (1u64..80, 1u64..6, 1usize..200).prop_map(|(lane, lanes, block)| Sizes {
        lane,
        split: lane * lanes,
        block,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn lanes_are_the_sequential_reading(
        contents in prop::collection::vec((texts(), 0u8..6), 0..5),
        sizes in all_sizes(),
        keep: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let paths = write_files(folder.path(), &contents);
        let each = |of: fn(&[u8]) -> Vec<Bytes>| -> Vec<Bytes> {
            contents.iter().flat_map(|(text, _)| of(text)).collect()
        };
        let seen = read_all(&lines(folder.path(), sizes), keep).unwrap();
        prop_assert_eq!(seen, each(expected_lines));
        let seen = read_all(&WordsSource::new(folder.path()).with_sizes(sizes), keep).unwrap();
        prop_assert_eq!(seen, each(expected_words));
        let source = FileLinesSource::<Bytes>::new(folder.path()).with_sizes(sizes);
        let with_files = paths.iter().zip(&contents).flat_map(|(path, (text, _))| {
            let file = path.to_str().unwrap();
            expected_lines(text).into_iter().map(|line| (file.to_string(), line))
        });
        prop_assert_eq!(read_all(&source, keep).unwrap(), with_files.collect::<Vec<_>>());
    }

    #[test]
    fn long_words_and_lines_are_whole(words in prop::collection::vec("[a-z]{1,40}", 0..200), sizes in all_sizes()) {
        let folder = tempfile::tempdir().unwrap();
        let text = words.join(" ").into_bytes();
        write_files(folder.path(), &[(text.clone(), 9)]);
        let seen = read_all(&WordsSource::new(folder.path()).with_sizes(sizes), false).unwrap();
        prop_assert_eq!(seen, expected_words(&text));
        let seen = read_all(&lines(folder.path(), sizes), false).unwrap();
        prop_assert_eq!(seen, expected_lines(&text));
    }
}

#[test]
fn records_are_named_by_file_and_offset() {
    struct Fail<'a>(&'a mut Vec<(Vec<u8>, String)>);
    impl Push<Bytes> for Fail<'_> {
        fn batch(
            &mut self,
            batch: &<Bytes as Record>::Batch,
            _: Selection<'_>,
        ) -> Result<Demand, PushError> {
            self.0.extend(
                (0..batch.len()).map(|i| (Bytes::own(batch.get(i)).to_vec(), String::new())),
            );
            Err("no".into())
        }
        fn row(&mut self, _: &[u8]) -> Result<Demand, PushError> {
            unreachable!()
        }
        fn finish(&mut self) -> Result<(), PushError> {
            Ok(())
        }
    }
    fn check<S: Source<Item = Bytes>>(source: &S, whole: &dyn Fn(&str) -> Vec<u8>) -> usize {
        let mut count = 0;
        for split in splits(source).unwrap() {
            for lane in 0..split.lanes {
                crate::place::clear();
                let mut seen = Vec::new();
                let read = source.read(&Storage::new(), &split, lane, &mut Fail(&mut seen));
                assert_eq!(read.is_err(), !seen.is_empty());
                for (row, (record, _)) in seen.iter().enumerate() {
                    let place = crate::place::describe(row).unwrap();
                    let (file, offset) = place.split_once(", byte ").unwrap();
                    let offset: usize = offset.split(' ').next().unwrap().parse().unwrap();
                    assert!(whole(file)[offset..].starts_with(record), "{place}: {record:?}");
                    count += 1;
                }
                crate::place::note_failed_row(None);
                assert_eq!(crate::place::describe_failure().is_some(), !seen.is_empty());
            }
        }
        crate::place::clear();
        assert_eq!(crate::place::describe_failure(), None);
        count
    }
    let folder = tempfile::tempdir().unwrap();
    let text = |n: usize| -> Vec<u8> {
        (0..n)
            .map(|i| format!("w{i}{}", if i % 3 == 0 { "\r\n" } else { " " }))
            .collect::<String>()
            .into()
    };
    let contents: Vec<(Vec<u8>, u8)> =
        [(1, 9), (5, 9), (70, 9), (3, 0), (4, 1), (2, 9)].map(|(n, kind)| (text(n), kind)).into();
    let paths = write_files(folder.path(), &contents);
    let whole = |file: &str| {
        let number = paths.iter().position(|p| p.to_str() == Some(file)).unwrap();
        contents[number].0.clone()
    };
    for lane in [7, 64, 1000] {
        let sizes = Sizes { lane, split: 2 * lane, block: 128 };
        assert!(check(&lines(folder.path(), sizes), &whole) > 3);
        assert!(check(&WordsSource::new(folder.path()).with_sizes(sizes), &whole) > 3);
    }
}

#[test]
fn a_receiver_may_have_enough() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "x\n".repeat(10_000)).unwrap();
    let source = lines(folder.path(), Sizes { lane: 1 << 20, split: 1 << 20, block: 1 << 10 });
    let records = Arc::new(Mutex::new(Vec::new()));
    let mut take = Take { records: records.clone(), kept: Vec::new(), keep: true, enough_at: 600 };
    source.read(&Storage::new(), &splits(&source).unwrap()[0], 0, &mut take).unwrap();
    assert!((600..1200).contains(&records.lock().unwrap().len()));
}

#[test]
fn text_that_is_not_utf8_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "grün\n".repeat(1000).into_bytes();
    text[5 * 777 + 900] = 0xff;
    let at = text.iter().position(|&b| b == 0xff).unwrap();
    std::fs::write(folder.path().join("a.txt"), "ok").unwrap();
    std::fs::write(folder.path().join("b.txt"), &text).unwrap();
    for block in [100, 1 << 20] {
        let sizes = Sizes { lane: 1 << 20, split: 1 << 20, block };
        let source = TextSource::<String>::new(folder.path()).with_sizes(sizes);
        let error = read_all(&source, false).unwrap_err();
        assert!(matches!(error, SourceError::Input { .. }));
        let error = error.to_string();
        // Within a character of the byte itself: a sequence is wrong from its beginning.
        let near =
            (at - 1..=at).any(|at| error.contains(&format!("b.txt: is not UTF-8 at byte {at};")));
        assert!(near, "{error}");
    }
    let all = read_all(&lines(folder.path(), Sizes::default()), false).unwrap();
    assert_eq!(all.len(), 1001);
}

#[test]
fn damaged_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let text: Vec<u8> = (0..50_000u32).flat_map(|i| format!("{i:x}\n").into_bytes()).collect();
    for (name, whole) in [("x.gz", gzip(&text)), ("x.zst", zstd_file(&text))] {
        let path = folder.path().join(name);
        let read = || read_all(&lines(&path, Sizes::default()), false);
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(read().unwrap().len(), 50_000);
        for cut in [1, 5, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let error = read().unwrap_err();
            assert!(matches!(error, SourceError::Input { .. }), "{error:?}");
            let error = error.to_string();
            assert!(error.contains(name) && error.contains("copy the file again"), "{error}");
        }
        let mut damaged = whole.clone();
        damaged[whole.len() / 2..][..40].fill(0x5a);
        std::fs::write(&path, damaged).unwrap();
        let error = read().expect_err("damage is noticed").to_string();
        assert!(error.contains(name) && error.contains("data is"), "{error}");
    }
}

#[test]
fn a_file_that_changed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, "one\ntwo\n").unwrap();
    let source = lines(&path, Sizes::default());
    let split = splits(&source).unwrap().remove(0);
    let read = || {
        let records = Arc::new(Mutex::new(Vec::new()));
        let mut take = Take { records, kept: Vec::new(), keep: false, enough_at: usize::MAX };
        source.read(&Storage::new(), &split, 0, &mut take)
    };
    read().unwrap();
    // A new file of this name and size.
    std::fs::write(folder.path().join("b"), "ONE\ntwo\n").unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
    let file = std::fs::File::options().write(true).open(folder.path().join("b")).unwrap();
    file.set_modified(later).unwrap();
    std::fs::rename(folder.path().join("b"), &path).unwrap();
    let error = read().unwrap_err().to_string();
    assert!(error.contains("a: has changed since it was listed"), "{error}");
    std::fs::write(&path, "one\n").unwrap();
    let error = read().unwrap_err().to_string();
    assert!(error.contains("had 8 bytes when it was listed (those of an output are listed by its _SUCCESS), and has 4 now"), "{error}");
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = |locations: Locations| {
        let source = lines(locations, Sizes::default());
        splits(&source).unwrap_err().to_string()
    };
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let message = error((&at("none")).into_locations());
    assert!(message.contains("none: does not exist; check the path"), "{message}");
    let message = error((&at("*.txt")).into_locations());
    assert!(message.contains("the pattern matches no file"), "{message}");
    let message = error("ftp://x/y".into_locations());
    assert!(message.contains("`ftp` is not known"), "{message}");
    std::os::unix::fs::symlink("/nowhere/at/all", folder.path().join("link")).unwrap();
    let message = error(folder.path().into_locations());
    assert!(message.contains("is a symbolic link to nothing"), "{message}");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(splits(&lines(empty.path(), Sizes::default())).unwrap(), []);
}
