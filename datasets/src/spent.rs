//! What the time of a lane goes to, measured where records pass from one part of it to the next.
//!
//! A lane runs on one thread, so its clock is the thread's: [`lap`] runs it, [`timed`](crate::push::AnyPush::timed) receivers
//! add what they take, and storage adds what it waits. A receiver that is timed costs two looks at the clock a batch; of
//! single records it times one in [`ROWS_PER_LOOK`], and takes the others to be like it.

use crate::push::{Demand, Push, PushError, Selection};
use crate::record::Record;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// One of so many single records is timed.
pub const ROWS_PER_LOOK: u32 = 64;

/// What a lane's time went to. What the outputs took is part of what the first receiver took, and that of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lap {
    /// All of it.
    pub whole: Duration,
    /// Waiting for bytes of files and object stores, but within the receivers.
    pub reading: Duration,
    /// Within the first receiver.
    pub chain: Duration,
    /// Within the outputs, as far as they are timed.
    pub outputs: Duration,
}

/// Where a receiver stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first one.
    Chain,
    /// An output.
    Outputs,
}

thread_local! {
    static CLOCK: Cell<Lap> = const {
        let none = Duration::ZERO;
        Cell::new(Lap { whole: none, reading: none, chain: none, outputs: none })
    };
}

/// Runs a lane, and tells what its time went to. A thread that waits for others within a lane may run another one
/// meanwhile: that is counted in both.
pub fn lap<T>(run: impl FnOnce() -> T) -> (T, Lap) {
    let before = CLOCK.replace(Lap::default());
    let begun = Instant::now();
    let made = run();
    (made, Lap { whole: begun.elapsed(), ..CLOCK.replace(before) })
}

/// Adds what storage waits.
pub(crate) fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let made = wait();
    let (mut clock, waited) = (CLOCK.get(), begun.elapsed());
    clock.reading += waited;
    CLOCK.set(clock);
    made
}

/// A receiver whose time is counted.
pub(crate) struct Timed<T: Record> {
    inner: Box<dyn Push<T>>,
    part: Part,
    rows: u32,
}

impl<T: Record> Timed<T> {
    pub(crate) fn new(inner: Box<dyn Push<T>>, part: Part) -> Timed<T> {
        Timed { inner, part, rows: 0 }
    }

    /// Counts what it takes so many times.
    fn count<R>(&mut self, times: u32, take: impl FnOnce(&mut dyn Push<T>) -> R) -> R {
        let reading = CLOCK.get().reading;
        let begun = Instant::now();
        let made = take(&mut *self.inner);
        let took = begun.elapsed() * times;
        let mut clock = CLOCK.get();
        match self.part {
            // What receivers wait for is their time.
            Part::Chain => (clock.chain, clock.reading) = (clock.chain + took, reading),
            Part::Outputs => clock.outputs += took,
        }
        CLOCK.set(clock);
        made
    }
}

impl<T: Record> Push<T> for Timed<T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        self.count(1, |inner| inner.batch(batch, selection))
    }

    fn row(&mut self, view: T::View<'_>) -> Result<Demand, PushError> {
        self.rows = self.rows.wrapping_add(1);
        if self.rows.is_multiple_of(ROWS_PER_LOOK) {
            return self.count(ROWS_PER_LOOK, |inner| inner.row(view));
        }
        self.inner.row(view)
    }

    fn wants_rows(&self) -> bool {
        self.inner.wants_rows()
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.count(1, |inner| inner.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::AnyPush;
    use crate::record::Builder;
    use std::thread::sleep;

    const STEP: Duration = Duration::from_millis(20);

    /// Takes a while, and waits for storage.
    struct Slow(Option<Box<dyn Push<u64>>>);

    impl Push<u64> for Slow {
        fn batch(
            &mut self,
            batch: &<u64 as Record>::Batch,
            selection: Selection<'_>,
        ) -> Result<Demand, PushError> {
            sleep(STEP);
            match &mut self.0 {
                Some(next) => next.batch(batch, selection),
                None => Ok(waiting(|| {
                    sleep(STEP);
                    Demand::More
                })),
            }
        }

        fn wants_rows(&self) -> bool {
            self.0.is_none()
        }

        fn finish(&mut self) -> Result<(), PushError> {
            self.0.as_mut().map_or(Ok(()), |next| next.finish())
        }
    }

    fn one() -> <u64 as Record>::Batch {
        let mut builder = <u64 as Record>::Builder::default();
        builder.push(7);
        builder.finish()
    }

    #[test]
    fn each_part_of_a_lane_has_its_time() {
        let output = AnyPush::new::<u64>(Box::new(Slow(None))).timed(Part::Outputs);
        let chain = Slow(Some(output.into::<u64>()));
        let mut head = AnyPush::new::<u64>(Box::new(chain)).timed(Part::Chain).into::<u64>();
        let ((), spent) = lap(|| {
            waiting(|| sleep(STEP));
            head.batch(&one(), Selection::All).unwrap();
            head.finish().unwrap();
        });
        // What an output waits for is not reading.
        assert!(spent.reading >= STEP && spent.reading < spent.outputs, "{spent:?}");
        assert!(spent.outputs >= 2 * STEP && spent.chain >= spent.outputs + STEP, "{spent:?}");
        assert!(spent.whole >= spent.chain + spent.reading, "{spent:?}");
        let ((), outer) = lap(|| {
            waiting(|| sleep(STEP));
            assert_eq!(lap(|| ()).1.reading, Duration::ZERO, "a lap begins at nothing");
        });
        assert!(outer.reading >= STEP, "{outer:?}");
    }

    /// Takes a while for each record.
    struct ByRow;

    impl Push<u64> for ByRow {
        fn batch(
            &mut self,
            _: &<u64 as Record>::Batch,
            _: Selection<'_>,
        ) -> Result<Demand, PushError> {
            unreachable!("it wants rows")
        }

        fn row(&mut self, _: u64) -> Result<Demand, PushError> {
            sleep(STEP / 10);
            Ok(Demand::More)
        }

        fn wants_rows(&self) -> bool {
            true
        }

        fn finish(&mut self) -> Result<(), PushError> {
            Ok(())
        }
    }

    #[test]
    fn one_record_of_many_stands_for_them() {
        let mut output = AnyPush::new::<u64>(Box::new(ByRow)).timed(Part::Outputs).into::<u64>();
        assert!(output.wants_rows());
        let mut take = || assert_eq!(output.row(7).unwrap(), Demand::More);
        let ((), spent) = lap(|| (1..ROWS_PER_LOOK).for_each(|_| take()));
        assert_eq!(spent.outputs, Duration::ZERO);
        let ((), spent) = lap(take);
        assert!(spent.outputs >= STEP / 10 * ROWS_PER_LOOK, "{spent:?}");
    }
}
