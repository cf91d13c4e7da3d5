//! What attempts need of workers, numbered: a number costs a bit in a set.

use serde::{Deserialize, Serialize};
use windrow_protocol::claim::Needs;

/// The most different needs at once.
const KINDS_MAX: usize = 64;

/// A kind of needs, by number; 0 is what needs nothing in particular.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Kind(u8);

impl Kind {
    /// One slot of any worker.
    pub(crate) const ORDINARY: Kind = Kind(0);
}

/// Some kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KindSet(u64);

impl KindSet {
    pub(crate) fn has(self, kind: Kind) -> bool {
        self.0 >> kind.0 & 1 == 1
    }

    pub(crate) fn insert(&mut self, kind: Kind) {
        self.0 |= 1 << kind.0;
    }

    fn set(&mut self, kind: Kind, is_in: bool) {
        self.0 &= !(1 << kind.0);
        self.0 |= u64::from(is_in) << kind.0;
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are not in `others`.
    pub(crate) fn without(self, others: KindSet) -> KindSet {
        KindSet(self.0 & !others.0)
    }

    /// Those that are in either.
    pub(crate) fn or(self, others: KindSet) -> KindSet {
        KindSet(self.0 | others.0)
    }

    /// Those that are in `others` too.
    pub(crate) fn and(self, others: KindSet) -> KindSet {
        KindSet(self.0 & others.0)
    }

    fn kinds(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let next = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(next)
        })
    }
}

/// How many have each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    of: Vec<u32>,
    any: KindSet,
}

impl Counts {
    /// The kinds that anybody has.
    pub(super) fn any(&self) -> KindSet {
        self.any
    }

    /// One has these kinds now, and had those before.
    pub(super) fn change(&mut self, before: KindSet, now: KindSet) {
        for kind in now.without(before).kinds() {
            if self.of.len() <= kind {
                self.of.resize(kind + 1, 0);
            }
            self.of[kind] += 1;
            self.any.0 |= 1 << kind;
        }
        for kind in before.without(now).kinds() {
            let Some(count) = self.of.get_mut(kind) else { continue };
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.any.0 &= !(1 << kind);
            }
        }
    }
}

/// All kinds of needs that jobs have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kinds {
    /// By number: what it is, and how many have it.
    of: Vec<(Needs, u32)>,
    /// Those that may take several slots.
    wide: KindSet,
}

impl Default for Kinds {
    fn default() -> Kinds {
        Kinds { of: vec![(Needs::default(), 1)], wide: KindSet::default() }
    }
}

impl Kinds {
    /// The number of these needs, which somebody has from now on; `None` if there are too many kinds.
    pub(super) fn enter(&mut self, needs: &Needs) -> Option<Kind> {
        if needs.is_ordinary() {
            return Some(Kind::ORDINARY);
        }
        let same = self.of.iter().position(|(of, users)| *users > 0 && of == needs);
        let unused = || self.of.iter().position(|(_, users)| *users == 0);
        let at = match same.or_else(unused) {
            Some(at) => at,
            None if self.of.len() < KINDS_MAX => {
                self.of.push((needs.clone(), 0));
                self.of.len() - 1
            }
            None => return None,
        };
        let kind = Kind(at as u8);
        if self.of[at].1 == 0 {
            self.of[at].0 = needs.clone();
            self.wide.set(kind, needs.slots > 1 || needs.memory > 0);
        }
        self.of[at].1 += 1;
        Some(kind)
    }

    /// Somebody has these needs no more.
    pub(super) fn leave(&mut self, kind: Kind) {
        if kind != Kind::ORDINARY
            && let Some((_, users)) = self.of.get_mut(usize::from(kind.0))
        {
            *users = users.saturating_sub(1);
        }
    }

    /// Whether some more kinds would find a place.
    pub(super) fn has_room(&self, more: &[Needs]) -> bool {
        let is_new = |needs: &&Needs| {
            !needs.is_ordinary() && !self.of.iter().any(|(of, users)| *users > 0 && of == *needs)
        };
        let used = self.of.iter().filter(|(_, users)| *users > 0).count();
        used + more.iter().filter(is_new).count() <= KINDS_MAX
    }

    /// The kinds that may take several slots.
    pub(super) fn wide(&self) -> KindSet {
        self.wide
    }

    /// What a kind needs.
    pub(super) fn needs(&self, kind: Kind) -> Option<&Needs> {
        self.of.get(usize::from(kind.0)).map(|(needs, _)| needs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again() {
        let wide = |slots| Needs { slots, ..Needs::default() };
        let mut kinds = Kinds::default();
        assert_eq!(kinds.enter(&Needs::default()), Some(Kind::ORDINARY));
        let two = kinds.enter(&wide(2)).unwrap();
        assert_eq!(kinds.enter(&wide(2)), Some(two));
        let three = kinds.enter(&wide(3)).unwrap();
        assert_ne!(two, three);
        kinds.leave(two);
        assert_eq!(kinds.needs(two), Some(&wide(2)));
        kinds.leave(two);
        assert_eq!(kinds.enter(&wide(4)), Some(two));
        assert_eq!(kinds.needs(two), Some(&wide(4)));
        for slots in 5..66 {
            assert!(kinds.enter(&wide(slots)).is_some(), "{slots}");
        }
        assert!(kinds.has_room(&[wide(4), Needs::default()]));
        assert!(!kinds.has_room(&[wide(100)]));
        assert_eq!(kinds.enter(&wide(100)), None);
    }

    #[test]
    fn counts_know_who_is_there() {
        let set = |kinds: &[u8]| {
            let mut set = KindSet::default();
            kinds.iter().for_each(|&kind| set.insert(Kind(kind)));
            set
        };
        let mut counts = Counts::default();
        counts.change(set(&[]), set(&[0, 3]));
        counts.change(set(&[]), set(&[3]));
        assert_eq!(counts.any(), set(&[0, 3]));
        counts.change(set(&[0, 3]), set(&[3, 63]));
        assert_eq!(counts.any(), set(&[3, 63]));
        counts.change(set(&[3]), set(&[]));
        counts.change(set(&[3, 63]), set(&[]));
        assert_eq!(counts, Counts { of: counts.of.clone(), any: KindSet::default() });
    }
}
