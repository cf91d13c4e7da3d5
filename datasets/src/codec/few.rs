//! Text that has few values: found by its views, so that a frame has a code a row instead of a view.

use crate::record::codes::{Code, Codes, VALUES_MIN};
use crate::record::mix;

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
    let mut few = Few { codes: Vec::with_capacity(views.len()), rows: Vec::new() };
    let (mut codes, mut values) = (Codes::default(), Vec::<u128>::new());
    for (row, view) in views.enumerate() {
        let hash = mix(view as u64, (view >> 64) as u64);
        let code = match codes.of(hash, row, |code| values.get(code) == Some(&view)) {
            Code::Known(code) => code,
            Code::New(code) => {
                values.push(view);
                few.rows.push(row);
                code
            }
            Code::TooMany => return None,
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
