//! Column chunks that the lanes of a row group share.
//!
//! A lane reads some pages of each chunk. If each lane of a row group of a store asked for its own, there would be a
//! request for a piece of each chunk; so the first that needs a chunk asks for all of it, and the others find it here.
//! What is here is bounded: chunks that came first are forgotten, and asked for again should they be needed after all.

use crate::location::Location;
use crate::storage::{Begun, Object, StorageError};
use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The bytes that are kept at most.
const BYTES_MAX: u64 = 64 << 20;

/// The largest chunk that is asked for as a whole, in bytes.
pub(super) const CHUNK_MAX: u64 = 8 << 20;

/// Chunks that were asked for together.
pub(super) struct Fetch {
    begun: Mutex<Option<Begun>>,
    read: OnceLock<Vec<Bytes>>,
}

impl Fetch {
    pub(super) fn new(begun: Begun) -> Fetch {
        Fetch { begun: Mutex::new(Some(begun)), read: OnceLock::new() }
    }

    /// Waits for the chunks, which `first` is shown if nobody has waited before; `None` if they could not be had by
    /// another lane.
    ///
    /// # Errors
    /// What the storage says, to one lane.
    pub(super) fn wait(
        &self,
        location: &Location,
        first: impl FnOnce(&[Bytes]),
    ) -> Result<Option<&[Bytes]>, StorageError> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = begun.take() {
            let read = begun.wait(location)?;
            first(&read);
            return Ok(Some(self.read.get_or_init(|| read)));
        }
        Ok(self.read.get().map(Vec::as_slice))
    }
}

/// A chunk, and where it is among those that were asked for with it.
#[derive(Clone)]
pub(super) struct Chunk {
    pub(super) range: Range<u64>,
    pub(super) fetch: Arc<Fetch>,
    pub(super) at: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Chunks(Mutex<VecDeque<(Object, Chunk)>>);

impl Debug for Chunks {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Chunks(..)")
    }
}

impl Chunks {
    /// The chunks at these ranges; `begin` is called for those that nobody has asked for, and may have nothing to wait
    /// for: then there are none.
    ///
    /// # Errors
    /// What `begin` says.
    pub(super) fn of(
        &self,
        object: &Object,
        ranges: &[Range<u64>],
        begin: impl FnOnce(&[Range<u64>]) -> Result<Option<Begun>, StorageError>,
    ) -> Result<Option<Vec<Chunk>>, StorageError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |kept: &VecDeque<(Object, Chunk)>, range: &Range<u64>| {
            let mut all = kept.iter();
            all.find(|(of, chunk)| chunk.range == *range && of == object)
                .map(|(_, chunk)| chunk.clone())
        };
        let missing: Vec<Range<u64>> =
            ranges.iter().filter(|range| find(&kept, range).is_none()).cloned().collect();
        if !missing.is_empty() {
            let Some(begun) = begin(&missing)? else { return Ok(None) };
            let fetch = Arc::new(Fetch::new(begun));
            for (at, range) in missing.into_iter().enumerate() {
                let chunk = Chunk { range, fetch: fetch.clone(), at };
                kept.push_back((object.clone(), chunk));
            }
        }
        let found = ranges.iter().map(|range| find(&kept, range)).collect();
        let mut bytes: u64 = kept.iter().map(|(_, c)| c.range.end - c.range.start).sum();
        while bytes > BYTES_MAX
            && let Some((_, chunk)) = kept.pop_front()
        {
            bytes -= chunk.range.end - chunk.range.start;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Storage;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    #[test]
    fn a_chunk_is_asked_for_once_and_what_came_first_is_forgotten_first() {
        let (store, storage) = (Arc::new(InMemory::new()), Storage::new());
        let bytes: Vec<u8> = (0..100u8).cycle().take(BYTES_MAX as usize + 1000).collect();
        let payload = PutPayload::from(bytes.clone());
        futures::executor::block_on(store.put(&"a".into(), payload)).unwrap();
        storage.set_client("s3://b", store);
        let object = Object::named("s3://b/a".parse().unwrap(), bytes.len() as u64);
        let file = storage.open_listed(&object).unwrap();
        let (chunks, mut asked) = (Chunks::default(), Vec::new());
        let mut of = |ranges: &[Range<u64>]| {
            let begin = |missing: &[Range<u64>]| {
                asked.extend_from_slice(missing);
                file.begin_ranges(missing)
            };
            chunks.of(&object, ranges, begin).unwrap().unwrap()
        };
        let mut counted = 0;
        let mut seen = |found: &[Chunk], ranges: &[Range<u64>]| {
            for (chunk, range) in found.iter().zip(ranges) {
                let count =
                    |read: &[Bytes]| counted += read.iter().map(|b| b.len() as u64).sum::<u64>();
                let read = chunk.fetch.wait(&object.location, count).unwrap().unwrap();
                assert_eq!(read[chunk.at], bytes[range.start as usize..range.end as usize]);
            }
        };
        let (a, b, c) = (0..100, 150..200, 200..300);
        seen(&of(&[a.clone(), c.clone()]), &[a.clone(), c.clone()]);
        seen(&of(&[b.clone(), c.clone()]), &[b.clone(), c.clone()]);
        seen(&of(&[a.clone(), b.clone(), c.clone()]), &[a.clone(), b.clone(), c.clone()]);
        // So much that the others have no place.
        let much = 500..500 + BYTES_MAX;
        seen(&of(std::slice::from_ref(&much)), std::slice::from_ref(&much));
        seen(&of(std::slice::from_ref(&a)), std::slice::from_ref(&a));
        assert_eq!(asked, [a.clone(), c, b, much, a]);
        assert_eq!(counted, 100 + 100 + 50 + BYTES_MAX + 100);
    }
}
