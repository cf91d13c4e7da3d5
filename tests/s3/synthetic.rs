//! Buckets that can be listed and have nothing in them: a million objects without a million files.

use super::{Seen, percent_decoded};
use bytes::Bytes;
use http::Method;
use std::fmt::Write;

/// A page of a listing has so many objects.
const PAGE: u64 = 1000;

/// A bucket with empty objects, whose names are a prefix and a number of eight digits.
pub(super) struct Synthetic {
    path: String,
    prefix: String,
    objects: u64,
}

impl Synthetic {
    pub(super) fn new(bucket: &str, prefix: &str, objects: u64) -> Synthetic {
        Synthetic { path: format!("/{bucket}"), prefix: prefix.to_string(), objects }
    }

    fn key(&self, number: u64) -> String {
        format!("{}{number:08}", self.prefix)
    }

    /// The number of the first object whose key is `from` or later.
    fn first(&self, from: &str) -> u64 {
        let (mut low, mut high) = (0, self.objects);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(middle).as_str() < from { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// A page of a listing, if that is what was asked for.
    pub(super) fn answer(&self, request: &Seen) -> Option<Bytes> {
        let mine = request.method == Method::GET
            && request.path.trim_end_matches('/') == self.path
            && request.query.contains("list-type=2");
        if !mine {
            return None;
        }
        let value = |name: &str| {
            let pairs = request.query.split('&').filter_map(|pair| pair.split_once('='));
            let value = pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value);
            percent_decoded(value.unwrap_or_default())
        };
        let prefix = value("prefix");
        let mut at = match value("continuation-token").parse::<u64>() {
            Ok(number) => number,
            Err(_) => self.first(&prefix),
        };
        let after = value("start-after");
        if !after.is_empty() {
            at = at.max(self.first(&format!("{after}\0")));
        }
        let mut text =
            String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult>");
        let mut listed = 0;
        while listed < PAGE && at < self.objects && self.key(at).starts_with(&prefix) {
            let key = self.key(at);
            let _ = write!(
                text,
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"{at:x}\"</ETag><Size>0</Size></Contents>"
            );
            (listed, at) = (listed + 1, at + 1);
        }
        let more = at < self.objects && self.key(at).starts_with(&prefix);
        let _ = write!(text, "<KeyCount>{listed}</KeyCount><IsTruncated>{more}</IsTruncated>");
        if more {
            let _ = write!(text, "<NextContinuationToken>{at}</NextContinuationToken>");
        }
        text.push_str("</ListBucketResult>");
        Some(Bytes::from(text))
    }
}
