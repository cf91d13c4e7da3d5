//! What can be done with datasets, an operator or a family of them a file.
//!
//! A *narrow* operator is a receiver in front of another one (see [`push`](windrow_datasets::push)); a *wide* one is a
//! shuffle, what comes before it in a lane (a combiner), and what reads it.

mod aggregate;
mod aggregate_all;
mod count;
mod emit;
mod filter;
mod flat_map;
mod fold;
mod fold_all;
mod group;
mod iterate;
mod join;
mod map;
mod map_batches;
mod needs;
mod output;
mod partition;
mod probe;
mod reduce;
mod sort;
pub(crate) mod tee;
mod top;
mod union;
mod wide;
mod with;

pub use emit::Out;
pub use group::{CoGrouped, Grouped, Values};
pub use map::ViewFn;
pub use needs::StageNeeds;
pub use reduce::Reduced;
pub use windrow_datasets::columns::{Extreme, Summable};
pub use with::{Broadcast, Lookup};
