//! Codes for values of which there are few: when a column of text is worth a dictionary, and which value has which code.

/// There are no more values.
pub(crate) const VALUES_MAX: usize = 512;

/// There are at most so many, and one more for each of some rows.
pub(crate) const VALUES_MIN: usize = 24;

/// See [`VALUES_MIN`].
const ROWS_A_VALUE: usize = 8;

/// Places by hash: a power of two.
const PLACES: usize = 2 * VALUES_MAX;

/// Where no value is.
const NONE: u16 = u16::MAX;

/// The codes that were given, by the hashes of their values, which somebody else keeps in the order of the codes.
#[derive(Default)]
pub(crate) struct Codes {
    /// A code is at its value's hash, or behind other ones there; empty until there is one.
    places: Box<[u16]>,
    count: usize,
}

/// What [`Codes::of`] found.
pub(crate) enum Code {
    /// The value has this one.
    Known(u16),
    /// It has this one from now on.
    New(u16),
    /// It has none: there are too many values.
    TooMany,
}

impl Codes {
    /// The code of a value with this hash, which `rows` other ones came before; `is` says whether it is the value of a code.
    #[inline(always)]
    pub(crate) fn of(&mut self, hash: u64, rows: usize, is: impl Fn(usize) -> bool) -> Code {
        let mut place = hash as usize % PLACES;
        while let Some(&code) = self.places.get(place)
            && code != NONE
        {
            if is(usize::from(code)) {
                return Code::Known(code);
            }
            place = (place + 1) % PLACES;
        }
        self.add(place, rows)
    }

    #[cold]
    fn add(&mut self, place: usize, rows: usize) -> Code {
        let code = self.count;
        if code >= VALUES_MAX.min(VALUES_MIN + rows / ROWS_A_VALUE) {
            return Code::TooMany;
        }
        if self.places.is_empty() {
            self.places = vec![NONE; PLACES].into();
        }
        self.places[place] = code as u16;
        self.count += 1;
        Code::New(code as u16)
    }

    /// Forgets all codes.
    pub(crate) fn clear(&mut self) {
        self.places.fill(NONE);
        self.count = 0;
    }
}
