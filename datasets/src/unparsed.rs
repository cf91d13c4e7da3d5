//! Records that cannot be parsed, and that a source goes on behind where that is wanted.
//!
//! A source that finds one, and can tell where the next begins, asks [`leaves_out`], and if it is so, [notes](note) it rather
//! than fail. All is of the thread that reads the lane, as what [`place`](crate::place) knows is.

use crate::push::Demand;
use std::cell::{Cell, RefCell};
use std::fmt::Display;

/// A record that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unparsed {
    /// How many records of its lane the receiver had by then, if it [tells](received).
    pub before: u64,
    /// Where it lies.
    pub place: String,
    /// What is wrong with it.
    pub message: String,
}

thread_local! {
    static FOUND: RefCell<Option<Found>> = const { RefCell::new(None) };
    static RECEIVED: Cell<u64> = const { Cell::new(0) };
}

struct Found {
    most: usize,
    all: Vec<Unparsed>,
}

/// Runs something that reads a lane, in which sources leave out what they cannot parse; so many records, and one more, after
/// which they stop early. Returns those as well.
pub fn leaving_out<T>(most: usize, read: impl FnOnce() -> T) -> (T, Vec<Unparsed>) {
    let found = Found { most, all: Vec::new() };
    let before = FOUND.replace(Some(found));
    RECEIVED.set(0);
    // A panic on the way is of code that was called, and the next lane begins anew.
    let done = read();
    let found = FOUND.replace(before);
    (done, found.map_or_else(Vec::new, |found| found.all))
}

/// Whether records that cannot be parsed are left out on this thread.
pub fn leaves_out() -> bool {
    FOUND.with_borrow(Option::is_some)
}

/// The receiver of the lane has so many records by now.
pub fn received(records: u64) {
    RECEIVED.set(records);
}

/// A record that lies there cannot be parsed, and is left out. The source need not go on if there are more than may be.
pub fn note(place: impl Into<String>, message: impl Display) -> Demand {
    FOUND.with_borrow_mut(|found| {
        let Some(found) = found else { return Demand::More };
        found.all.push(Unparsed {
            before: RECEIVED.get(),
            place: place.into(),
            message: message.to_string(),
        });
        if found.all.len() > found.most { Demand::Enough } else { Demand::More }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_of_this_lane_and_bounded() {
        assert!(!leaves_out());
        assert_eq!(note("nowhere", "nobody asks"), Demand::More);
        let (done, found) = leaving_out(1, || {
            assert!(leaves_out());
            received(7);
            let first = note("a", "no number");
            (first, note("b", "no number"))
        });
        assert_eq!(done, (Demand::More, Demand::Enough));
        assert_eq!(found.iter().map(|of| of.before).collect::<Vec<_>>(), [7, 7]);
        assert!(!leaves_out());
        assert_eq!(leaving_out(1, || note("c", "")).1[0].before, 0);
    }
}
