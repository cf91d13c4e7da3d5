//! Text that has few values: found by its views, so that a frame has a code a row instead of a view.

use crate::record::mix;

/// More values make no dictionary.
pub(super) const VALUES_MAX: usize = 512;

/// It has at most so many, and one more for each of some rows.
const VALUES_MIN: usize = 24;

/// See [`VALUES_MIN`].
const ROWS_A_VALUE: usize = 8;

/// Places in the table of values: a power of two.
const PLACES: usize = 2 * VALUES_MAX;

/// Where no value is.
const NONE: u16 = u16::MAX;

/// The rows' codes, and for each code the first row that has it.
pub(super) struct Few {
    pub(super) codes: Vec<u16>,
    pub(super) rows: Vec<usize>,
}

/// The codes of views of which there are few; views of one array are the same only if their text is.
pub(super) fn few(views: impl ExactSizeIterator<Item = u128>) -> Option<Few> {
    if views.len() < VALUES_MIN {
        return None;
    }
    let mut places = [NONE; PLACES];
    let mut few = Few { codes: Vec::with_capacity(views.len()), rows: Vec::new() };
    let mut values: Vec<u128> = Vec::new();
    for (row, view) in views.enumerate() {
        let mut place = mix(view as u64, (view >> 64) as u64) as usize % PLACES;
        let code = loop {
            match values.get(usize::from(places[place])) {
                Some(&known) if known == view => break places[place],
                Some(_) => place = (place + 1) % PLACES,
                None => {
                    let code = values.len();
                    if code == VALUES_MAX || code >= VALUES_MIN + row / ROWS_A_VALUE {
                        return None;
                    }
                    places[place] = code as u16;
                    values.push(view);
                    few.rows.push(row);
                    break code as u16;
                }
            }
        };
        few.codes.push(code);
    }
    Some(few)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_views_have_codes_and_many_have_none() {
        let found = few((0..1000u32).map(|row| u128::from(row % 7))).unwrap();
        assert_eq!(found.rows, [0, 1, 2, 3, 4, 5, 6]);
        assert!(found.codes.iter().zip(0..).all(|(&code, row)| code == row % 7));
        assert!(few((0..1000u32).map(u128::from)).is_none());
        assert!(few((0..10_000u32).map(|row| u128::from(row % 600))).is_none());
        assert!(few((0..3u32).map(|_| 0)).is_none());
    }
}
