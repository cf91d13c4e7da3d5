//! The table of frequent words, one a thread, small enough for its cache.

use super::{shared::Row, word::Word};
use crate::limits::{
    arena::{Arena, Piece, Zeroed},
    prefetch,
};

/// The number of places.
const PLACES: usize = 16_384;

#[derive(Clone, Copy)]
struct Place<'a> {
    word: Word<'a>,
    /// How often the word came since it is here; zero in an empty place.
    count: u32,
    /// How many passing words it still withstands.
    credit: u32,
}

// SAFETY: zero bytes are an empty place.
unsafe impl Zeroed for Place<'_> {}

/// Counts words in places of their own. A word has one place; where another one sits there already, that one stays
/// while it has credit, which each time that it comes adds to, and each other word takes from.
pub(super) struct Front<'a> {
    places: Piece<'a, Place<'a>>,
}

impl<'a> Front<'a> {
    pub(super) fn new(arena: &'a Arena) -> Self {
        Self { places: arena.zeroed(PLACES) }
    }

    /// Asks for the place of a word.
    #[inline(always)]
    pub(super) fn prefetch(&self, word: &Word<'a>) {
        prefetch(&self.places[number(word)]);
    }

    /// Counts a word; gives what is turned away for it, the word itself or the one that was in its place.
    #[inline(always)]
    pub(super) fn add(&mut self, word: &Word<'a>) -> Option<Row<'a>> {
        let place = &mut self.places[number(word)];
        if place.word.is(word) {
            place.count += 1;
            place.credit += 1;
            return None;
        }
        if place.credit > 0 {
            place.credit -= 1;
            return Some(Row { word: *word, count: 1 });
        }
        let old = Row { word: place.word, count: u64::from(place.count) };
        *place = Place { word: *word, count: 1, credit: 1 };
        (old.count > 0).then_some(old)
    }

    /// Empties all places.
    pub(super) fn drain(&mut self, mut each: impl FnMut(Row<'a>)) {
        for place in self.places.iter_mut().filter(|place| place.count > 0) {
            each(Row { word: place.word, count: u64::from(place.count) });
            (place.count, place.credit) = (0, 0);
        }
    }
}

/// The place of a word: by low bits of its hash, since high ones choose the shared table.
#[inline(always)]
fn number(word: &Word<'_>) -> usize {
    word.hash() as usize / 2 % PLACES
}
