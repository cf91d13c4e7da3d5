//! The order of rows and of sums, said once more as a plain program: what every job has to give, however it is run.
//!
//! A dataset is a list of lanes, each a list of rows. Rows count in the order of the lanes. An operator by key puts rows
//! into buckets, which are ranges of the key's hash, and are the lanes of what follows; within a bucket they are in the
//! order of (hash, key), those of one key as they came. How many buckets there are follows from the bytes of all sources
//! below. Floats are added within a lane first, where the lane combines, and then over the lanes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use windrow::Key;

/// Key and value.
pub(crate) type Row = (u64, i64);

/// The bytes of a source for each bucket.
const BUCKET_BYTES: u64 = 4 << 20;

/// After so many rows a lane decides whether it combines.
const DECIDE_ROWS: usize = 4_096;

/// The keys that a lane combines at once.
const COMBINE_KEYS_MAX: usize = 16_384;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Rows<T> {
    pub(crate) lanes: Vec<Vec<T>>,
    /// The bytes of all sources below, by the source.
    pub(crate) sources: BTreeMap<usize, u64>,
    /// Whether it is known where one lane ends, and not only how rows follow one another.
    pub(crate) has_lanes: bool,
}

fn order_hash<K: Key>(key: &K) -> u64 {
    K::hash(key.view()).max(1)
}

impl<T: Clone> Rows<T> {
    pub(crate) fn all(&self) -> Vec<T> {
        self.lanes.concat()
    }

    pub(crate) fn len(&self) -> usize {
        self.lanes.iter().map(Vec::len).sum()
    }

    /// Each lane by itself.
    pub(crate) fn narrow<U>(&self, lane: impl Fn(&[T]) -> Vec<U>) -> Rows<U> {
        let lanes = self.lanes.iter().map(|rows| lane(rows)).collect();
        Rows { lanes, sources: self.sources.clone(), has_lanes: self.has_lanes }
    }

    pub(crate) fn flat_map<U, I: IntoIterator<Item = U>>(&self, f: impl Fn(T) -> I) -> Rows<U> {
        self.narrow(|lane| lane.iter().cloned().flat_map(&f).collect())
    }

    pub(crate) fn union(&self, other: &Rows<T>) -> Rows<T> {
        let lanes = [&self.lanes[..], &other.lanes[..]].concat();
        let has_lanes = self.has_lanes && other.has_lanes;
        Rows { lanes, sources: both(&self.sources, &other.sources), has_lanes }
    }

    /// These rows as one lane.
    pub(crate) fn one_lane(&self) -> Rows<T> {
        Rows { lanes: vec![self.all()], sources: self.sources.clone(), has_lanes: true }
    }

    /// In order; where lanes end, a sample decides.
    pub(crate) fn sorted_by(&self, compare: impl Fn(&T, &T) -> Ordering) -> Rows<T> {
        let mut all = self.all();
        all.sort_by(compare);
        Rows { lanes: vec![all], sources: self.sources.clone(), has_lanes: false }
    }

    /// Each row in the partition that is chosen for it and its number in its lane.
    pub(crate) fn scattered(&self, partitions: u32, choose: impl Fn(&T, usize) -> u32) -> Rows<T> {
        let mut lanes = vec![Vec::new(); partitions as usize];
        for lane in &self.lanes {
            for (number, row) in lane.iter().enumerate() {
                lanes[choose(row, number) as usize].push(row.clone());
            }
        }
        Rows { lanes, sources: self.sources.clone(), has_lanes: true }
    }
}

/// All sources of two datasets, each once.
pub(crate) fn both(a: &BTreeMap<usize, u64>, b: &BTreeMap<usize, u64>) -> BTreeMap<usize, u64> {
    a.iter().chain(b).map(|(source, bytes)| (*source, *bytes)).collect()
}

/// The number of buckets above these sources.
pub(crate) fn buckets(sources: &BTreeMap<usize, u64>) -> u32 {
    let bytes: u64 = sources.values().sum();
    (bytes.div_ceil(BUCKET_BYTES).clamp(1, 4_096) as u32).next_power_of_two()
}

/// The bucket of a key.
pub(crate) fn bucket_of<K: Key>(key: &K, buckets: u32) -> u32 {
    ((u128::from(order_hash(key)) * u128::from(buckets)) >> 64) as u32
}

/// The values of a key on both sides of a join.
pub(crate) type Sides<V, W> = (Vec<V>, Vec<W>);

/// For each key that either has, in order, what `f` makes of the values of both, by bucket.
pub(crate) fn co_group<K: Key + Ord + Clone, V: Clone, W: Clone, U: Clone>(
    left: &Rows<(K, V)>,
    right: &Rows<(K, W)>,
    f: impl Fn(&K, Sides<V, W>) -> Vec<U>,
) -> Rows<U> {
    let sources = both(&left.sources, &right.sources);
    let buckets = buckets(&sources);
    let mut groups: BTreeMap<(u64, K), Sides<V, W>> = BTreeMap::new();
    for (key, value) in left.all() {
        groups.entry((order_hash(&key), key)).or_default().0.push(value);
    }
    for (key, value) in right.all() {
        groups.entry((order_hash(&key), key)).or_default().1.push(value);
    }
    let mut lanes = vec![Vec::new(); buckets as usize];
    for ((_, key), sides) in groups {
        lanes[bucket_of(&key, buckets) as usize].extend(f(&key, sides));
    }
    Rows { lanes, sources, has_lanes: true }
}

/// For each key, in order, what `f` makes of its values, by bucket.
pub(crate) fn group<K: Key + Ord + Clone, V: Clone, U: Clone>(
    rows: &Rows<(K, V)>,
    f: impl Fn(&K, Vec<V>) -> Vec<U>,
) -> Rows<U> {
    let nothing: Rows<(K, ())> =
        Rows { lanes: Vec::new(), sources: BTreeMap::new(), has_lanes: true };
    co_group(rows, &nothing, |key, (values, _)| f(key, values))
}

/// The sums of floats by key: parts of them within lanes that combine, then in the order of the lanes.
pub(crate) fn float_sums<K: Key + Ord + Clone>(rows: &Rows<(K, f64)>) -> Rows<(K, f64)> {
    assert!(rows.has_lanes, "sums of floats depend on the lanes");
    let parts = rows.narrow(|lane| combined(lane));
    group(&parts, |key, parts| {
        let sum = parts.into_iter().reduce(|sum, part| sum + part);
        sum.map(|sum| (key.clone(), sum)).into_iter().collect()
    })
}

/// What a lane passes on.
fn combined<K: Key + Ord + Clone>(lane: &[(K, f64)]) -> Vec<(K, f64)> {
    let first = &lane[..lane.len().min(DECIDE_ROWS)];
    let keys: BTreeSet<&K> = first.iter().map(|(key, _)| key).collect();
    let passes_on = first.len() == DECIDE_ROWS && keys.len() * 2 > DECIDE_ROWS;
    let mut out = Vec::new();
    let mut sums: BTreeMap<&K, f64> = BTreeMap::new();
    for (number, (key, value)) in lane.iter().enumerate() {
        if passes_on && number >= DECIDE_ROWS {
            out.push((key.clone(), *value));
            continue;
        }
        sums.entry(key).and_modify(|sum| *sum += value).or_insert(*value);
        if passes_on && number + 1 == DECIDE_ROWS || sums.len() == COMBINE_KEYS_MAX {
            out.extend(std::mem::take(&mut sums).into_iter().map(|(key, sum)| (key.clone(), sum)));
        }
    }
    out.extend(sums.into_iter().map(|(key, sum)| (key.clone(), sum)));
    out
}
