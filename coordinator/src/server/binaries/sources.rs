//! Where binaries can be read, and who reads them there: a few at a time of each place, so that many workers get one in about
//! as many rounds as it takes to double from one to all.

use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::binary::{BinaryContent, BinarySource, READERS_MAX};
use windrow_protocol::ids::WorkerId;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    by_content: BTreeMap<BinaryContent, Places>,
}

/// The places of one binary: who reads there.
#[derive(Debug, Default)]
struct Places {
    /// Of the coordinator, if it has it.
    here: Option<BTreeSet<WorkerId>>,
    workers: BTreeMap<WorkerId, BTreeSet<WorkerId>>,
}

impl Sources {
    /// Whether the coordinator or a worker has it.
    pub(crate) fn has(&self, content: BinaryContent) -> bool {
        let places = self.by_content.get(&content);
        places.is_some_and(|of| of.here.is_some() || !of.workers.is_empty())
    }

    /// The coordinator has it.
    pub(crate) fn is_here(&mut self, content: BinaryContent) {
        self.by_content.entry(content).or_default().here.get_or_insert_default();
    }

    /// The coordinator does not have it, after all.
    pub(crate) fn is_not_here(&mut self, content: BinaryContent) {
        if let Some(places) = self.by_content.get_mut(&content) {
            places.here = None;
        }
    }

    /// Whether the coordinator has it.
    pub(crate) fn can_be_read_here(&self, content: BinaryContent) -> bool {
        self.by_content.get(&content).is_some_and(|of| of.here.is_some())
    }

    /// Where a worker is to read a binary. It counts as a reader there until it says how that [ended](Sources::fetched), or
    /// asks again, or has no `address` any more: that of its data plane.
    pub(crate) fn next(
        &mut self,
        reader: WorkerId,
        content: BinaryContent,
        address: impl Fn(WorkerId) -> Option<String>,
    ) -> BinarySource {
        let Some(places) = self.by_content.get_mut(&content) else { return BinarySource::NotYet };
        places.leave(reader);
        places.workers.retain(|&worker, _| address(worker).is_some());
        let of_workers = places.workers.iter_mut().filter(|(worker, _)| **worker != reader);
        for readers in of_workers.map(|(_, readers)| readers).chain(&mut places.here) {
            readers.retain(|&reader| address(reader).is_some());
        }
        let free = places.workers.iter_mut().filter(|(worker, _)| **worker != reader);
        if let Some((&worker, readers)) = free.min_by_key(|(_, readers)| readers.len())
            && readers.len() < READERS_MAX
            && let Some(address) = address(worker)
        {
            readers.insert(reader);
            return BinarySource::Worker(worker, address);
        }
        match &mut places.here {
            Some(readers) if readers.len() < READERS_MAX => {
                readers.insert(reader);
                BinarySource::Coordinator
            }
            _ => BinarySource::NotYet,
        }
    }

    /// A worker has a binary; or it could not read it where it was told to: then nobody is sent there any more.
    pub(crate) fn fetched(&mut self, worker: WorkerId, content: BinaryContent, is_here: bool) {
        if is_here {
            let places = self.by_content.entry(content).or_default();
            places.leave(worker);
            places.workers.entry(worker).or_default();
        } else if let Some(places) = self.by_content.get_mut(&content) {
            places.workers.retain(|_, readers| !readers.contains(&worker));
            places.leave(worker);
        }
    }

    /// How many binaries there are.
    pub(crate) fn len(&self) -> usize {
        self.by_content.len()
    }

    /// Forgets all binaries but these.
    pub(crate) fn retain(&mut self, wanted: &BTreeSet<BinaryContent>) {
        self.by_content.retain(|content, _| wanted.contains(content));
    }
}

impl Places {
    fn leave(&mut self, reader: WorkerId) {
        for readers in self.workers.values_mut().chain(&mut self.here) {
            readers.remove(&reader);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: BinaryContent = BinaryContent { sha256: [7; 32], bytes: 9 };

    fn address(worker: WorkerId) -> Option<String> {
        (worker.0 < 100).then(|| format!("host:{}", worker.0))
    }

    fn next(sources: &mut Sources, reader: u64) -> BinarySource {
        sources.next(WorkerId(reader), CONTENT, address)
    }

    fn of(worker: u64) -> BinarySource {
        BinarySource::Worker(WorkerId(worker), format!("host:{worker}"))
    }

    #[test]
    fn two_read_of_a_place_at_once_and_those_who_have_it_serve_others() {
        let mut sources = Sources::default();
        assert_eq!(next(&mut sources, 1), BinarySource::NotYet);
        assert!(!sources.has(CONTENT));
        sources.is_here(CONTENT);
        assert!(sources.has(CONTENT) && sources.can_be_read_here(CONTENT));
        assert_eq!(next(&mut sources, 1), BinarySource::Coordinator);
        assert_eq!(next(&mut sources, 2), BinarySource::Coordinator);
        assert_eq!(next(&mut sources, 3), BinarySource::NotYet);
        // Who asks again reads once.
        assert_eq!(next(&mut sources, 1), BinarySource::Coordinator);
        sources.fetched(WorkerId(1), CONTENT, true);
        assert_eq!(next(&mut sources, 3), of(1));
        assert_eq!(next(&mut sources, 4), of(1));
        assert_eq!(next(&mut sources, 5), BinarySource::Coordinator);
        assert_eq!(next(&mut sources, 6), BinarySource::NotYet);
        sources.fetched(WorkerId(3), CONTENT, true);
        assert_eq!(next(&mut sources, 6), of(3));
    }

    #[test]
    fn who_cannot_serve_it_is_not_named_again() {
        let mut sources = Sources::default();
        sources.fetched(WorkerId(1), CONTENT, true);
        assert!(sources.has(CONTENT) && !sources.can_be_read_here(CONTENT));
        assert_eq!(next(&mut sources, 2), of(1));
        sources.fetched(WorkerId(2), CONTENT, false);
        assert_eq!(next(&mut sources, 2), BinarySource::NotYet);
        // Nor is who is gone, nor does it count as a reader.
        sources.fetched(WorkerId(100), CONTENT, true);
        assert_eq!(next(&mut sources, 2), BinarySource::NotYet);
        sources.is_here(CONTENT);
        for reader in [101, 102] {
            assert_eq!(next(&mut sources, reader), BinarySource::Coordinator);
        }
        assert_eq!(next(&mut sources, 2), BinarySource::Coordinator);
    }

    #[test]
    fn what_nobody_wants_is_forgotten() {
        let mut sources = Sources::default();
        sources.is_here(CONTENT);
        sources.retain(&[CONTENT].into());
        assert!(sources.has(CONTENT) && sources.len() == 1);
        sources.is_not_here(CONTENT);
        assert!(!sources.has(CONTENT));
        sources.is_here(CONTENT);
        sources.retain(&BTreeSet::new());
        assert!(!sources.has(CONTENT));
    }
}
