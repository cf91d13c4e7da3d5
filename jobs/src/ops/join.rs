//! Joins by key: inner, left, right, full, semi, anti. A key's records come in left, then right order.

use super::group::{CoGrouped, KeysThatCount, Values};
use crate::dataset::Dataset;
use crate::exec::Emitter;
use std::panic::Location as CodePlace;
use windrow_datasets::push::PushError;
use windrow_datasets::{Key, Record};

/// Calls `pair` for each pair of values: the right side is gone through again for each value of the left one.
fn pairs<'g, A: Record, B: Record>(
    mut left: Values<'g, A>,
    right: &Values<'g, B>,
    mut pair: impl FnMut(A::View<'g>, B::View<'g>) -> Result<(), PushError>,
) -> Result<(), PushError> {
    while let Some(a) = left.next_view() {
        let mut right = right.again();
        while let Some(b) = right.next_view() {
            pair(a, b)?;
        }
    }
    Ok(())
}

fn each<'g, A: Record>(
    mut values: Values<'g, A>,
    mut one: impl FnMut(A::View<'g>) -> Result<(), PushError>,
) -> Result<(), PushError> {
    while let Some(view) = values.next_view() {
        one(view)?;
    }
    Ok(())
}

impl<K: Record, A: Record> Dataset<(K, A)> {
    /// For each pair of records with the same key, the key and both values.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let names = flow.from_iter([(1u32, "one".to_string()), (2, "two".to_string())]);
    /// let uses = flow.from_iter([(2u32, 20u64), (2, 21), (3, 30)]);
    /// let named = uses.join(&names).map(|(_, (n, name))| (name.to_string(), n));
    /// ```
    #[track_caller]
    pub fn join<B: Record>(&self, right: &Dataset<(K, B)>) -> Dataset<(K, (A, B))>
    where
        K: Key,
    {
        let groups = CoGrouped::new(self, right, CodePlace::caller());
        let joined = groups.read(
            "join",
            KeysThatCount::Both,
            |key, left, right, out: &mut Emitter<(K, (A, B))>| {
                pairs(left, &right, |a, b| out.push((key, (a, b))).map(|_| ()))
            },
        );
        let joined = groups.left_probes(joined, |key, a, found, out| {
            found.values().try_for_each(|b| out.push((key, (a, b))).map(|_| ()))
        });
        groups.right_probes(joined, |key, b, found, out| {
            found.values().try_for_each(|a| out.push((key, (a, b))).map(|_| ()))
        })
    }

    /// As [`join`](Dataset::join), and each record of this side that has no partner, with `None`.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let names = flow.from_iter([(1u32, "one".to_string()), (2, "two".to_string())]);
    /// let uses = flow.from_iter([(2u32, 20u64), (3, 30)]);
    /// let named = uses.left_join(&names).map(|(_, (n, name))| (name.unwrap_or("other").to_string(), n));
    /// ```
    #[track_caller]
    pub fn left_join<B: Record>(&self, right: &Dataset<(K, B)>) -> Dataset<(K, (A, Option<B>))>
    where
        K: Key,
    {
        let groups = CoGrouped::new(self, right, CodePlace::caller());
        let joined = groups.read(
            "left_join",
            KeysThatCount::Left,
            |key, left, right, out: &mut Emitter<(K, (A, Option<B>))>| {
                if right.is_empty() {
                    return each(left, |a| out.push((key, (a, None))).map(|_| ()));
                }
                pairs(left, &right, |a, b| out.push((key, (a, Some(b)))).map(|_| ()))
            },
        );
        groups.left_probes(joined, |key, a, found, out| {
            if found.is_empty() {
                return out.push((key, (a, None))).map(|_| ());
            }
            found.values().try_for_each(|b| out.push((key, (a, Some(b)))).map(|_| ()))
        })
    }

    /// As [`join`](Dataset::join), and each record of the right side that has no partner, with `None`.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let names = flow.from_iter([(1u32, "one".to_string()), (2, "two".to_string())]);
    /// let uses = flow.from_iter([(2u32, 20u64), (3, 30)]);
    /// let all_names = uses.right_join(&names).map(|(_, (n, name))| (name.to_string(), n));
    /// ```
    #[track_caller]
    pub fn right_join<B: Record>(&self, right: &Dataset<(K, B)>) -> Dataset<(K, (Option<A>, B))>
    where
        K: Key,
    {
        let groups = CoGrouped::new(self, right, CodePlace::caller());
        let joined = groups.read(
            "right_join",
            KeysThatCount::Right,
            |key, left, right, out: &mut Emitter<(K, (Option<A>, B))>| {
                if left.is_empty() {
                    return each(right, |b| out.push((key, (None, b))).map(|_| ()));
                }
                pairs(left, &right, |a, b| out.push((key, (Some(a), b))).map(|_| ()))
            },
        );
        groups.right_probes(joined, |key, b, found, out| {
            if found.is_empty() {
                return out.push((key, (None, b))).map(|_| ());
            }
            found.values().try_for_each(|a| out.push((key, (Some(a), b))).map(|_| ()))
        })
    }

    /// As [`join`](Dataset::join), and each record of either side that has no partner, with `None`.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let names = flow.from_iter([(1u32, "one".to_string()), (2, "two".to_string())]);
    /// let uses = flow.from_iter([(2u32, 20u64), (3, 30)]);
    /// let all = uses.full_join(&names).map(|(key, (n, name))| (key, n.unwrap_or(0), name.is_some()));
    /// ```
    #[track_caller]
    #[expect(clippy::type_complexity, reason = "it is what a full join gives")]
    pub fn full_join<B: Record>(
        &self,
        right: &Dataset<(K, B)>,
    ) -> Dataset<(K, (Option<A>, Option<B>))>
    where
        K: Key,
    {
        let groups = CoGrouped::new(self, right, CodePlace::caller());
        let joined = groups.read(
            "full_join",
            KeysThatCount::All,
            |key, left, right, out: &mut Emitter<(K, (Option<A>, Option<B>))>| {
                if right.is_empty() {
                    return each(left, |a| out.push((key, (Some(a), None))).map(|_| ()));
                }
                if left.is_empty() {
                    return each(right, |b| out.push((key, (None, Some(b)))).map(|_| ()));
                }
                pairs(left, &right, |a, b| out.push((key, (Some(a), Some(b)))).map(|_| ()))
            },
        );
        joined.joined()
    }

    /// The records whose key the right side has.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let names = flow.from_iter([(1u32, "one".to_string()), (2, "two".to_string())]);
    /// let uses = flow.from_iter([(2u32, 20u64), (3, 30)]);
    /// let known = uses.semi_join(&names);
    /// ```
    #[track_caller]
    pub fn semi_join<B: Record>(&self, right: &Dataset<(K, B)>) -> Dataset<(K, A)>
    where
        K: Key,
    {
        let groups = CoGrouped::new(self, right, CodePlace::caller());
        let joined = groups.read(
            "semi_join",
            KeysThatCount::Both,
            |key, left, right, out: &mut Emitter<(K, A)>| {
                if right.is_empty() {
                    return Ok(());
                }
                each(left, |a| out.push((key, a)).map(|_| ()))
            },
        );
        groups.left_probes(joined, |key, a, found, out| {
            if found.is_empty() { Ok(()) } else { out.push((key, a)).map(|_| ()) }
        })
    }

    /// The records whose key the right side has not.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let names = flow.from_iter([(1u32, "one".to_string()), (2, "two".to_string())]);
    /// let uses = flow.from_iter([(2u32, 20u64), (3, 30)]);
    /// let unknown = uses.anti_join(&names);
    /// ```
    #[track_caller]
    pub fn anti_join<B: Record>(&self, right: &Dataset<(K, B)>) -> Dataset<(K, A)>
    where
        K: Key,
    {
        let groups = CoGrouped::new(self, right, CodePlace::caller());
        let joined = groups.read(
            "anti_join",
            KeysThatCount::Left,
            |key, left, right, out: &mut Emitter<(K, A)>| {
                if !right.is_empty() {
                    return Ok(());
                }
                each(left, |a| out.push((key, a)).map(|_| ()))
            },
        );
        groups.left_probes(joined, |key, a, found, out| {
            if found.is_empty() { out.push((key, a)).map(|_| ()) } else { Ok(()) }
        })
    }
}
