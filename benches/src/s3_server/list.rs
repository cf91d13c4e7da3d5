//! `ListObjectsV2`: the files of a bucket whose keys begin with a prefix, in the order of their keys, in pages.

use super::{decoded, etag};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

/// The keys of a page at most.
const PAGE: usize = 1000;

/// A file of a bucket.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) etag: String,
}

/// The files of a bucket, in the order of their keys.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    if !fs::metadata(folder)?.is_dir() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut entries = Vec::new();
    walk(folder, "", &mut entries)?;
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(entries)
}

/// A page of the answer.
pub(super) fn xml(entries: &[Entry], bucket: &str, query: &str) -> String {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let pair = pairs.find(|pair| pair.0 == name);
        pair.map(|(_, value)| decoded(&value.replace('+', " "))).unwrap_or_default()
    };
    let (prefix, delimiter) = (value("prefix"), value("delimiter"));
    // The continuation is the last key of the page before.
    let after = value("start-after").max(value("continuation-token"));
    let most = value("max-keys").parse().unwrap_or(PAGE).min(PAGE);
    let first = entries.partition_point(|entry| entry.key < prefix || entry.key <= after);

    let mut contents = String::new();
    let mut folders = BTreeSet::new();
    let (mut count, mut last, mut truncated) = (0, String::new(), false);
    for entry in entries[first..].iter().take_while(|entry| entry.key.starts_with(&prefix)) {
        let common = match entry.key[prefix.len()..].find(&delimiter) {
            Some(at) if !delimiter.is_empty() => {
                Some(&entry.key[..prefix.len() + at + delimiter.len()])
            }
            _ => None,
        };
        if common.is_some_and(|common| folders.contains(common)) {
            continue;
        }
        if count == most {
            truncated = true;
            break;
        }
        count += 1;
        match common {
            Some(common) => {
                folders.insert(common);
                // Behind all keys in it.
                last = format!("{common}\u{10ffff}");
            }
            None => {
                let (key, etag) = (escaped(&entry.key), escaped(&entry.etag));
                let _ = write!(
                    contents,
                    "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{etag}</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                    entry.size
                );
                last.clone_from(&entry.key);
            }
        }
    }
    for folder in folders {
        let folder = escaped(folder);
        let _ = write!(contents, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>");
    }
    let next = match truncated {
        true => format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&last)),
        false => String::new(),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{bucket}</Name><Prefix>{}</Prefix><KeyCount>{count}</KeyCount><MaxKeys>{most}</MaxKeys><IsTruncated>{truncated}</IsTruncated>{next}{contents}</ListBucketResult>",
        escaped(&prefix)
    )
}

/// All files below a folder.
fn walk(folder: &Path, key: &str, entries: &mut Vec<Entry>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let key = if key.is_empty() { name } else { format!("{key}/{name}") };
        // Through links, as the objects are opened.
        let metadata = fs::metadata(entry.path())?;
        if metadata.is_dir() {
            walk(&entry.path(), &key, entries)?;
        } else {
            entries.push(Entry { key, size: metadata.len(), etag: etag(&metadata) });
        }
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
