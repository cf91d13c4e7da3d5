//! Buckets of small objects that are nowhere stored: `object-00000042` holds a line of text with its number.

use super::Object;
use super::list::Entry;
use bytes::Bytes;

/// So many objects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made(pub(super) u64);

impl Made {
    /// The objects, in the order of their keys.
    pub(super) fn entries(self) -> Vec<Entry> {
        let entry = |number| Entry {
            key: format!("object-{number:08}"),
            size: text(number).len() as u64,
            etag: etag(number),
        };
        (0..self.0).map(entry).collect()
    }

    /// The object with this key.
    pub(super) fn object(self, key: &str) -> Option<Object> {
        let number =
            key.strip_prefix("object-").filter(|digits| digits.len() == 8)?.parse().ok()?;
        (number < self.0).then(|| Object { bytes: Bytes::from(text(number)), etag: etag(number) })
    }
}

fn text(number: u64) -> String {
    format!("a small object with the number {number}\n")
}

fn etag(number: u64) -> String {
    format!("\"{number:x}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_there() {
        let made = Made(3);
        for entry in made.entries() {
            let object = made.object(&entry.key).unwrap();
            assert_eq!((object.bytes.len() as u64, object.etag), (entry.size, entry.etag));
        }
        assert!(made.object("object-00000003").is_none());
        assert!(made.object("object-1").is_none());
    }
}
