//! Memory for the bytes of blocks: such that is used again. Fresh pages cost more than to read what goes there, and an
//! allocation for each small block as much.

use arrow::buffer::Buffer;
use windrow_datasets::memory::ReadBuffer;

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

/// Blocks that have come, in order.
#[derive(Default)]
pub(crate) struct BlockList {
    blocks: Vec<Placed>,
    /// The slabs that are full.
    full: Vec<Buffer>,
    /// The one that is not, and how many bytes it has.
    slab: Option<(ReadBuffer, usize)>,
}

enum Placed {
    Alone(Buffer),
    /// The slab, and where in it.
    InSlab {
        slab: usize,
        at: usize,
        len: usize,
    },
}

impl BlockList {
    /// The number of blocks.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Adds a block, which has so many bytes.
    pub(crate) fn push(&mut self, bytes: BlockBytes, len: usize) {
        match bytes {
            BlockBytes::Large(bytes) => self.blocks.push(Placed::Alone(bytes.share(len))),
            BlockBytes::Small(bytes) => self.push_small(&bytes[..len]),
        }
    }

    fn push_small(&mut self, bytes: &[u8]) {
        if self.slab.as_ref().is_some_and(|(_, used)| used + bytes.len() > SLAB_BYTES) {
            self.end_slab();
        }
        let (slab, used) = self.slab.get_or_insert_with(|| (ReadBuffer::new(SLAB_BYTES), 0));
        slab.bytes_mut()[*used..*used + bytes.len()].copy_from_slice(bytes);
        let (slab, at, len) = (self.full.len(), *used, bytes.len());
        self.blocks.push(Placed::InSlab { slab, at, len });
        *used = (*used + len).next_multiple_of(ALIGNMENT);
    }

    fn end_slab(&mut self) {
        self.full.extend(self.slab.take().map(|(slab, used)| slab.share(used)));
    }

    /// All blocks.
    pub(crate) fn finish(mut self) -> Vec<Buffer> {
        self.end_slab();
        let full = self.full;
        let buffer = |placed| match placed {
            Placed::Alone(buffer) => buffer,
            Placed::InSlab { slab, at, len } => full[slab].slice_with_length(at, len),
        };
        self.blocks.into_iter().map(buffer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_as_they_came() {
        let len = |number: usize| [0, 1, 100, SLAB_BLOCK_BYTES - 1, SLAB_BLOCK_BYTES][number % 5];
        let mut list = BlockList::default();
        for number in 0..200 {
            let mut bytes = BlockBytes::new(len(number));
            bytes.as_mut().fill(number as u8);
            list.push(bytes, len(number));
        }
        assert_eq!(list.len(), 200);
        for (number, block) in list.finish().into_iter().enumerate() {
            assert_eq!(block.len(), len(number));
            assert!(block.iter().all(|byte| *byte == number as u8), "block {number}");
            assert_eq!(block.as_ptr().align_offset(ALIGNMENT), 0);
        }
    }
}
