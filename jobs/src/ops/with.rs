//! `broadcast` and `map_with`: a small dataset at hand in every task, as a lookup or as whatever is made of it.

use super::map::each;
use crate::dataset::Dataset;
use crate::exec::{Emitter, LaneContext, Whole};
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Key, Record};

/// A function from a view and what is at hand to a view: `Fn(T::View<'a>, &'a S) -> U::View<'a>` for every `'a`.
/// Implemented for all such functions; a bound of its own because Rust cannot say it in place.
pub trait LookupFn<'a, T: Record, S: 'a, U: Record>: Fn(T::View<'a>, &'a S) -> U::View<'a> {}

impl<'a, T: Record, S: 'a, U: Record, F> LookupFn<'a, T, S, U> for F where
    F: Fn(T::View<'a>, &'a S) -> U::View<'a>
{
}

/// A dataset that every task gets whole, see [`Dataset::broadcast`]: as a [`Lookup`], or as what is
/// [made](Broadcast::prepare) of that.
pub struct Broadcast<K: Key, V: Record, S = Lookup<K, V>> {
    collect: u32,
    make: Arc<Make<S>>,
    types: PhantomData<fn() -> (K, V)>,
}

/// Makes what tasks have at hand.
type Make<S> = dyn Fn(&Whole) -> Result<S, PushError> + Send + Sync;

impl<K: Key, V: Record, S: Send + Sync + 'static> Broadcast<K, V, S> {
    /// Something else, which is made of what is at hand once in each process: numbers in the order in which they are
    /// compared, say, or a pattern that has to be compiled. `f` must give the same wherever it is called.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let words = flow.from_iter([("a".to_string(), ()), ("the".to_string(), ())]);
    /// let longest = words.broadcast().prepare(|words| words.iter().map(|(word, ())| word.len()).max());
    /// let longer = flow.read_lines("/tmp/a.txt").map_with(&longest, |line, longest| Some(line.len()) > *longest);
    /// ```
    pub fn prepare<P: Send + Sync + 'static>(
        &self,
        f: impl Fn(&S) -> P + Send + Sync + 'static,
    ) -> Broadcast<K, V, P> {
        let before = self.clone();
        let make = move |whole: &Whole| Ok(f(&*before.at_hand(whole)?));
        Broadcast { collect: self.collect, make: Arc::new(make), types: PhantomData }
    }

    /// What a task has; made once for all that have the same inputs.
    fn at_hand(&self, whole: &Whole) -> Result<Arc<S>, PushError> {
        // No two that are there at a time have one address.
        let maker = Arc::as_ptr(&self.make).cast::<()>().addr();
        whole.made(maker, || (self.make)(whole))
    }
}

/// The records of a [`Broadcast`], by key.
pub struct Lookup<K: Key, V: Record> {
    batches: Vec<<(K, V) as Record>::Batch>,
    /// Hash, batch and row of each record, by hash, then key, then as they came.
    entries: Vec<(u64, u32, u32)>,
    /// For each possible value of the upper bits of a hash, where its entries begin.
    starts: Vec<u32>,
    bits: u32,
}

/// So many entries near a key are looked through one by one.
const FEW: usize = 16;

impl<K: Key, V: Record> Lookup<K, V> {
    fn new(batches: Vec<<(K, V) as Record>::Batch>) -> Lookup<K, V> {
        let mut entries = Vec::new();
        for (number, batch) in batches.iter().enumerate() {
            for row in 0..batch.len() {
                entries.push((K::hash(batch.get(row).0), number as u32, row as u32));
            }
        }
        let slot =
            |entry: &(u64, u32, u32)| K::probe(batches[entry.1 as usize].get(entry.2 as usize).0);
        entries.sort_by(|a, b| {
            // SAFETY: slots borrow from the batches.
            a.0.cmp(&b.0).then_with(|| unsafe { K::slot_cmp(&slot(a), &slot(b)) })
        });
        let bits = usize::BITS - entries.len().leading_zeros();
        let starts = (0..=1u64 << bits)
            .map(|at| entries.partition_point(|e| upper_bits(e.0, bits) < at as usize) as u32)
            .collect();
        Lookup { batches, entries, starts, bits }
    }

    /// Batch and row of each record of a key, as they came.
    fn places(&self, key: K::View<'_>) -> impl Iterator<Item = (usize, usize)> {
        let hash = K::hash(key);
        let at = upper_bits(hash, self.bits);
        let near = &self.entries[self.starts[at] as usize..self.starts[at + 1] as usize];
        let slot = K::probe(key);
        let order = move |&(other, batch, row): &(u64, u32, u32)| {
            other.cmp(&hash).then_with(|| {
                let (found, _) = self.batches[batch as usize].get(row as usize);
                // SAFETY: one slot borrows from `key`, the other from the batch; both are alive here.
                unsafe { K::slot_cmp(&K::probe(found), &slot) }
            })
        };
        // Keys may have been made to have one hash.
        let from = match near.len() {
            0..FEW => near.iter().position(|entry| order(entry).is_ge()).unwrap_or(near.len()),
            _ => near.partition_point(|entry| order(entry).is_lt()),
        };
        let of_key = near[from..].iter().take_while(move |entry| order(entry).is_eq());
        of_key.map(|&(_, batch, row)| (batch as usize, row as usize))
    }

    /// All values of a key, as they came.
    pub fn get_all(&self, key: K::View<'_>) -> impl Iterator<Item = V::View<'_>> {
        self.places(key).map(|(batch, row)| self.batches[batch].get(row).1)
    }

    /// The first value of a key.
    pub fn get(&self, key: K::View<'_>) -> Option<V::View<'_>> {
        let (batch, row) = self.places(key).next()?;
        Some(self.batches[batch].get(row).1)
    }

    /// All records, as they came.
    pub fn iter(&self) -> impl Iterator<Item = (K::View<'_>, V::View<'_>)> {
        self.batches.iter().flat_map(|batch| (0..batch.len()).map(|row| batch.get(row)))
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn upper_bits(hash: u64, bits: u32) -> usize {
    hash.checked_shr(64 - bits).unwrap_or(0) as usize
}

impl<K: Record, V: Record> Dataset<(K, V)> {
    /// Makes the records a lookup that every task has whole: for [`map_with`](Dataset::map_with). They must be few: a few
    /// megabytes.
    #[track_caller]
    pub fn broadcast(&self) -> Broadcast<K, V>
    where
        K: Key,
    {
        let collect = self.collected_whole("broadcast", CodePlace::caller());
        let make = move |whole: &Whole| Ok(Lookup::new(whole.whole_batches::<(K, V)>(collect)?));
        Broadcast { collect, make: Arc::new(make), types: PhantomData }
    }
}

impl<T: Record> Dataset<T> {
    /// As [`map`](Dataset::map), with a broadcast dataset at hand.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let names = flow.from_iter([(3u32, "three".to_string())]).broadcast();
    /// let named = flow.read_lines("/tmp/a.txt").map_with(&names, |line, names| {
    ///     names.get(line.len() as u32).unwrap_or("other").to_string()
    /// });
    /// ```
    #[track_caller]
    pub fn map_with<K: Key, V: Record, S: Send + Sync + 'static, U: Record>(
        &self,
        with: &Broadcast<K, V, S>,
        f: impl for<'a> Fn(T::View<'a>, &S) -> U + Send + Sync + 'static,
    ) -> Dataset<U> {
        self.each_with("map_with", CodePlace::caller(), with, move |view, at_hand, out| {
            out.push(f(view, at_hand).view())
        })
    }

    /// As [`map_to`](Dataset::map_to), with a broadcast dataset at hand: nothing is owned on the way. `U` has to be named,
    /// after the types of the dataset and of what is at hand.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let names = flow.from_iter([(3u32, "three".to_string())]).broadcast();
    /// let named = flow.read_lines("/tmp/a.txt").map_with_to::<_, _, _, (String, String)>(&names, |line, names| {
    ///     (names.get(line.len() as u32).unwrap_or("other"), line)
    /// });
    /// ```
    #[track_caller]
    pub fn map_with_to<K: Key, V: Record, S: Send + Sync + 'static, U: Record>(
        &self,
        with: &Broadcast<K, V, S>,
        f: impl for<'a> LookupFn<'a, T, S, U> + Send + Sync + 'static,
    ) -> Dataset<U> {
        self.each_with("map_with_to", CodePlace::caller(), with, move |view, at_hand, out| {
            out.push(f(T::shorten(view), at_hand))
        })
    }

    /// As [`flat_map`](Dataset::flat_map), with a broadcast dataset at hand: a join with it, say, that leaves out what
    /// has no partner.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let names = flow.from_iter([(3u32, "three".to_string())]).broadcast();
    /// let named = flow.read_lines("/tmp/a.txt").flat_map_with(&names, |line, names| {
    ///     Some((names.get(line.len() as u32)?.to_string(), line.to_string()))
    /// });
    /// ```
    #[track_caller]
    pub fn flat_map_with<
        K: Key,
        V: Record,
        S: Send + Sync + 'static,
        U: Record,
        I: IntoIterator<Item = U>,
    >(
        &self,
        with: &Broadcast<K, V, S>,
        f: impl for<'a> Fn(T::View<'a>, &S) -> I + Send + Sync + 'static,
    ) -> Dataset<U> {
        self.each_with("flat_map_with", CodePlace::caller(), with, move |view, at_hand, out| {
            for record in f(view, at_hand) {
                out.push(record.view())?;
            }
            Ok(out.demand())
        })
    }

    /// Calls `f` with each record, what is at hand, and what takes records.
    fn each_with<K: Key, V: Record, S: Send + Sync + 'static, U: Record>(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        with: &Broadcast<K, V, S>,
        f: impl for<'a> Fn(T::View<'a>, &S, &mut Emitter<U>) -> Result<Demand, PushError>
        + Send
        + Sync
        + 'static,
    ) -> Dataset<U> {
        let (f, with, collect) = (Arc::new(f), with.clone(), with.collect);
        let code = move |context: &LaneContext, out| {
            let f = f.clone();
            match with.at_hand(&context.whole) {
                Ok(at_hand) => {
                    each::<T, U, _>(context, out, move |view, out| f(view, &at_hand, out))
                }
                Err(error) => AnyPush::new::<T>(Box::new(Refuse(Some(error)))),
            }
        };
        self.narrow(operator, place, vec![collect], code)
    }
}

/// A receiver that fails with an error from when the chain was built.
struct Refuse(Option<PushError>);

impl Refuse {
    fn fail<D>(&mut self) -> Result<D, PushError> {
        Err(self.0.take().unwrap_or_else(|| "a broadcast dataset is not at hand".into()))
    }
}

impl<T: Record> Push<T> for Refuse {
    fn batch(&mut self, _: &T::Batch, _: Selection<'_>) -> Result<Demand, PushError> {
        self.fail()
    }

    fn row(&mut self, _: T::View<'_>) -> Result<Demand, PushError> {
        self.fail()
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.fail()
    }
}

impl<K: Key, V: Record, S> Clone for Broadcast<K, V, S> {
    fn clone(&self) -> Self {
        Broadcast { collect: self.collect, make: self.make.clone(), types: PhantomData }
    }
}
