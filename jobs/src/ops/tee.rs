//! Several receivers of the same rows, none, and one that gets nothing.

use windrow_datasets::Record;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};

/// One receiver that passes all on to each of `outs`.
pub(crate) fn tee<T: Record>(outs: Vec<AnyPush>) -> AnyPush {
    let outs = outs.into_iter().map(|out| (out.into::<T>(), Demand::More)).collect();
    AnyPush::new::<T>(Box::new(Tee::<T> { outs }))
}

struct Tee<T: Record> {
    outs: Vec<(Box<dyn Push<T>>, Demand)>,
}

impl<T: Record> Tee<T> {
    fn demand(&self) -> Demand {
        if self.outs.iter().all(|(_, demand)| *demand == Demand::Enough) {
            Demand::Enough
        } else {
            Demand::More
        }
    }
}

impl<T: Record> Push<T> for Tee<T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        for (out, demand) in &mut self.outs {
            if *demand == Demand::More {
                *demand = out.batch(batch, selection)?;
            }
        }
        Ok(self.demand())
    }

    fn row(&mut self, view: T::View<'_>) -> Result<Demand, PushError> {
        for (out, demand) in &mut self.outs {
            if *demand == Demand::More {
                *demand = out.row(view)?;
            }
        }
        Ok(self.demand())
    }

    fn wants_rows(&self) -> bool {
        self.outs.iter().all(|(out, _)| out.wants_rows())
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.outs.iter_mut().try_for_each(|(out, _)| out.finish())
    }
}

/// A receiver that forgets all.
pub(crate) fn discard<T: Record>() -> AnyPush {
    AnyPush::new::<T>(Box::new(Discard))
}

struct Discard;

impl<T: Record> Push<T> for Discard {
    fn batch(&mut self, _: &T::Batch, _: Selection<'_>) -> Result<Demand, PushError> {
        Ok(Demand::More)
    }

    fn row(&mut self, _: T::View<'_>) -> Result<Demand, PushError> {
        Ok(Demand::More)
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        Ok(())
    }
}

/// A receiver in front of `out` that forgets all, and ends the lane of `out`.
pub(crate) fn close<T: Record>(out: AnyPush) -> AnyPush {
    AnyPush::new::<T>(Box::new(Closed(out.into::<T>())))
}

/// Ends the lane of a receiver.
pub(crate) fn end<T: Record>(out: AnyPush) -> Result<(), PushError> {
    out.into::<T>().finish()
}

struct Closed<T: Record>(Box<dyn Push<T>>);

impl<T: Record> Push<T> for Closed<T> {
    fn batch(&mut self, _: &T::Batch, _: Selection<'_>) -> Result<Demand, PushError> {
        Ok(Demand::Enough)
    }

    fn row(&mut self, _: T::View<'_>) -> Result<Demand, PushError> {
        Ok(Demand::Enough)
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.0.finish()
    }
}
