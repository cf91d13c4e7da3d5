//! Memory for the bytes of blocks: such that is used again. Fresh pages cost more than to read what goes there, and an
//! allocation for each small block as much. Blocks that have no room in memory lie in a file in scratch, which is mapped.

use arrow::buffer::Buffer;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use windrow_datasets::memory::ReadBuffer;
use windrow_datasets::spill::{SpillBlock, SpillError, SpillFile, Spills};

/// A block of fewer bytes lies in a slab, with others.
const SLAB_BLOCK_BYTES: usize = 64 << 10;

/// The bytes of a slab.
const SLAB_BYTES: usize = 1 << 20;

/// Blocks in a slab begin at multiples of this, in bytes, as Arrow's buffers do.
const ALIGNMENT: usize = 64;

/// The bytes of one block.
pub(crate) enum BlockBytes {
    /// Few.
    Small(Vec<u8>),
    /// Many.
    Large(ReadBuffer),
}

impl BlockBytes {
    /// So many bytes of any content.
    pub(crate) fn new(len: usize) -> BlockBytes {
        if len < SLAB_BLOCK_BYTES {
            BlockBytes::Small(vec![0; len])
        } else {
            BlockBytes::Large(ReadBuffer::new(len))
        }
    }

    /// All bytes.
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        match self {
            BlockBytes::Small(bytes) => bytes,
            BlockBytes::Large(bytes) => bytes.bytes_mut(),
        }
    }
}

/// The memory that there is for blocks which are fetched together, and where those go that come when it is used up.
/// Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct BlockRoom(Arc<Inner>);

struct Inner {
    most: u64,
    used: AtomicU64,
    spills: Spills,
}

impl BlockRoom {
    /// So many bytes, and scratch.
    pub fn of(most: u64, spills: Spills) -> BlockRoom {
        BlockRoom(Arc::new(Inner { most, used: AtomicU64::new(0), spills }))
    }

    /// So many bytes, and these folders as scratch.
    pub fn beside(most: u64, scratch: Vec<PathBuf>) -> BlockRoom {
        BlockRoom::of(most, Spills::to(scratch))
    }

    /// As much memory as it takes.
    pub fn unlimited() -> BlockRoom {
        BlockRoom::of(u64::MAX, Spills::default())
    }

    /// The bytes of memory that blocks have taken.
    pub fn used(&self) -> u64 {
        self.0.used.load(Relaxed)
    }

    /// Takes so many bytes, if there are so many.
    fn take(&self, bytes: usize) -> bool {
        let taken = |used: u64| used.checked_add(bytes as u64).filter(|sum| *sum <= self.0.most);
        self.0.used.fetch_update(Relaxed, Relaxed, taken).is_ok()
    }
}

/// Blocks that have come, in order.
pub(crate) struct BlockList {
    room: BlockRoom,
    blocks: Vec<Placed>,
    /// The slabs that are full.
    full: Vec<Resting>,
    /// The one that is not, and how many bytes it has.
    slab: Option<(ReadBuffer, usize)>,
    /// What has no room in memory.
    file: Option<SpillFile>,
}

enum Placed {
    Alone(Resting),
    /// The slab, and where in it.
    InSlab {
        slab: usize,
        at: usize,
        len: usize,
    },
}

/// Bytes that have come to rest.
enum Resting {
    Memory(Buffer),
    Scratch(SpillBlock),
}

impl BlockList {
    /// None yet.
    pub(crate) fn new(room: BlockRoom) -> BlockList {
        BlockList { room, blocks: Vec::new(), full: Vec::new(), slab: None, file: None }
    }

    /// The number of blocks.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether to add a block of so many bytes, or to finish, may have to wait for the disk.
    pub(crate) fn may_wait(&self, len: usize) -> bool {
        let wanted = len.max(SLAB_BYTES) as u64;
        self.room.0.most - self.room.used() < wanted
    }

    /// Adds a block, which has so many bytes. May wait for the disk.
    ///
    /// # Errors
    /// If it fits neither memory nor scratch.
    pub(crate) fn push(&mut self, bytes: BlockBytes, len: usize) -> Result<(), SpillError> {
        match bytes {
            BlockBytes::Large(bytes) => {
                let placed = Placed::Alone(self.rest(bytes, len)?);
                self.blocks.push(placed);
                Ok(())
            }
            BlockBytes::Small(bytes) => self.push_small(&bytes[..len]),
        }
    }

    fn push_small(&mut self, bytes: &[u8]) -> Result<(), SpillError> {
        if self.slab.as_ref().is_some_and(|(_, used)| used + bytes.len() > SLAB_BYTES) {
            self.end_slab()?;
        }
        let (slab, used) = self.slab.get_or_insert_with(|| (ReadBuffer::new(SLAB_BYTES), 0));
        slab.bytes_mut()[*used..*used + bytes.len()].copy_from_slice(bytes);
        let (slab, at, len) = (self.full.len(), *used, bytes.len());
        self.blocks.push(Placed::InSlab { slab, at, len });
        *used = (*used + len).next_multiple_of(ALIGNMENT);
        Ok(())
    }

    fn end_slab(&mut self) -> Result<(), SpillError> {
        if let Some((slab, used)) = self.slab.take() {
            let resting = self.rest(slab, used)?;
            self.full.push(resting);
        }
        Ok(())
    }

    /// Where bytes stay.
    fn rest(&mut self, mut bytes: ReadBuffer, len: usize) -> Result<Resting, SpillError> {
        if self.room.take(len) {
            return Ok(Resting::Memory(bytes.share(len)));
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(self.room.0.spills.file()?),
        };
        Ok(Resting::Scratch(file.write(&bytes.bytes_mut()[..len])?))
    }

    /// All blocks; none are left. May wait for the disk.
    ///
    /// # Errors
    /// As for [`push`](BlockList::push).
    pub(crate) fn finish(&mut self) -> Result<Vec<Buffer>, SpillError> {
        self.end_slab()?;
        let mapped = self.file.take().map(SpillFile::map).transpose()?.unwrap_or_default();
        let buffer = |resting: Resting| match resting {
            Resting::Memory(buffer) => buffer,
            Resting::Scratch(block) => block.of(&mapped),
        };
        let full: Vec<Buffer> = self.full.drain(..).map(buffer).collect();
        let block = |placed| match placed {
            Placed::Alone(resting) => buffer(resting),
            Placed::InSlab { slab, at, len } => full[slab].slice_with_length(at, len),
        };
        Ok(self.blocks.drain(..).map(block).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(room: &BlockRoom) {
        let len = |number: usize| [0, 1, 100, SLAB_BLOCK_BYTES - 1, SLAB_BLOCK_BYTES][number % 5];
        let mut list = BlockList::new(room.clone());
        for number in 0..200 {
            let mut bytes = BlockBytes::new(len(number));
            bytes.as_mut().fill(number as u8);
            list.push(bytes, len(number)).unwrap();
        }
        assert_eq!(list.len(), 200);
        for (number, block) in list.finish().unwrap().into_iter().enumerate() {
            assert_eq!(block.len(), len(number));
            assert!(block.iter().all(|byte| *byte == number as u8), "block {number}");
            assert_eq!(block.as_ptr().align_offset(ALIGNMENT), 0);
        }
    }

    #[test]
    fn blocks_are_as_they_came() {
        check(&BlockRoom::unlimited());
    }

    #[test]
    fn blocks_that_have_no_room_are_in_scratch() {
        let spills = Spills::default();
        for most in [0, 3 << 20] {
            let room = BlockRoom::of(most, spills.clone());
            let before = spills.written();
            check(&room);
            let all = 80 * SLAB_BLOCK_BYTES as u64;
            let spilled = spills.written() - before;
            assert!(room.used() <= most && spilled + room.used() >= all, "{most}: {spilled}");
            assert_eq!(spills.bytes(), 0);
        }
    }

    #[test]
    fn blocks_that_have_room_nowhere_are_an_error() {
        let folder = std::env::temp_dir().join("no such folder of windrow");
        let mut list = BlockList::new(BlockRoom::of(0, Spills::to(vec![folder])));
        assert!(list.may_wait(1));
        let bytes = BlockBytes::new(SLAB_BLOCK_BYTES);
        assert!(matches!(list.push(bytes, SLAB_BLOCK_BYTES), Err(SpillError::Create { .. })));
    }
}
