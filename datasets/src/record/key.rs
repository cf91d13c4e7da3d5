//! Keys: records with a hash, an equality and an order, all on slots, without owning them.

use super::{Batch, Heap, Record};
use crate::push::Selection;
use std::cmp::Ordering;
use std::hash::Hasher;

/// A record that can be a key: grouped, joined and sorted by.
///
/// All works on slots. The hash is a function of the key's content alone, the same on every machine and in every
/// version that reads the same journal; rows leave keyed operators in its order, ties in the key's own order.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "cannot be a key",
    note = "keys are integers, `bool`, `String`, `Bytes`, `[u8; N]`, dates, timestamps, decimals, `Option`s and tuples of keys, and structs with `#[derive(Record)] #[record(key)]`",
    note = "a float has no total equality: use its bits, or a decimal; a view such as `&str` must be owned: `.to_string()`"
)]
pub trait Key: Record {
    /// Whether the upper 96 bits of [`Key::prefix`] hold the whole order: equal prefixes are equal keys.
    const PREFIX_IS_EXACT: bool;

    /// A borrowed slot of a view: nothing is copied to a heap; valid while the view's source is.
    fn probe(view: Self::View<'_>) -> Self::Slot;

    /// A borrowed slot of a batch's record.
    ///
    /// # Safety
    /// `index < batch.len()`.
    #[inline]
    unsafe fn probe_batch(batch: &Self::Batch, index: usize) -> Self::Slot {
        // SAFETY: the caller's promise.
        Self::probe(unsafe { batch.get_unchecked(index) })
    }

    /// A slot that points into `heap` only.
    ///
    /// # Safety
    /// What the slot points to is alive.
    unsafe fn keep_slot(slot: &Self::Slot, heap: &mut Heap) -> Self::Slot;

    /// The 64-bit hash of the key.
    ///
    /// # Safety
    /// What the slot points to is alive.
    unsafe fn slot_hash(slot: &Self::Slot) -> u64;

    /// Gives all of the key to a hasher; equal keys give the same. Where keys have one [hash](Key::slot_hash), which is
    /// known and may be aimed at, they are told apart by a hasher that has a secret.
    ///
    /// # Safety
    /// What the slot points to is alive.
    unsafe fn slot_feed(slot: &Self::Slot, hasher: &mut impl Hasher);

    /// Whether two keys are equal.
    ///
    /// # Safety
    /// What the slots point to is alive.
    unsafe fn slot_eq(a: &Self::Slot, b: &Self::Slot) -> bool;

    /// The order of two keys.
    ///
    /// # Safety
    /// What the slots point to is alive.
    unsafe fn slot_cmp(a: &Self::Slot, b: &Self::Slot) -> Ordering;

    /// The first bits of the key's order, left-aligned: `prefix(a) < prefix(b)` (upper 96 bits) implies `a < b`.
    ///
    /// # Safety
    /// What the slot points to is alive.
    unsafe fn prefix(slot: &Self::Slot) -> u128;

    /// Asks the processor for what the slot points to, which will be looked at soon.
    #[inline(always)]
    fn prefetch(_slot: &Self::Slot) {}

    /// Where the column knows its keys by few codes, as a dictionary does: makes each of `codes`, one for each selected
    /// record in order, that code times the number of codes there were before, plus its own; gives the number of codes
    /// of this column, which is `most` or less. Records with equal codes have equal keys; not the other way round.
    ///
    /// `None` where there are no codes, or too many of them: what is in `codes` then means nothing.
    #[inline]
    fn add_codes(
        _batch: &Self::Batch,
        _selection: Selection<'_>,
        _most: u32,
        _codes: &mut [u32],
    ) -> Option<u32> {
        None
    }

    /// The number of upper bits of [`Key::prefix`] that carry information where `PREFIX_IS_EXACT` holds.
    const PREFIX_BITS: u32 = 96;

    /// The hash of a view; a convenience over [`Key::probe`] and [`Key::slot_hash`].
    fn hash(view: Self::View<'_>) -> u64 {
        let slot = Self::probe(view);
        // SAFETY: the view borrows what the slot points to, and lives until the end of this call.
        unsafe { Self::slot_hash(&slot) }
    }
}

/// Mixes two words into one: a folded multiplication, twice. Both halves of the result depend on all bits of
/// both words. (The step of wyhash and rapidhash, fixed here because the order of output rests on it.)
#[inline]
pub const fn mix(a: u64, b: u64) -> u64 {
    const C1: u64 = 0x2d35_8dcc_aa6c_78a5;
    const C2: u64 = 0x8bb8_4b93_962e_acc9;
    const C3: u64 = 0x4b33_a62e_d433_d4a3;
    fold(fold(a ^ C1, b ^ C2) ^ a, C3)
}

#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}
