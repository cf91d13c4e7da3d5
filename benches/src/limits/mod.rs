//! The limit programs: one workload each, by hand, without an engine.
//!
//! They show how fast the machine can do a piece of work. `windrow : limit` in one run is the measure of the engine;
//! seconds alone do not carry from machine to machine. What they are given and what they give is what the ready jobs
//! of the same name have: the same lines, in another order.

pub mod arena;
pub mod distinct;
pub mod external_sort;
pub mod flags;
pub mod input;
pub mod kmeans;
pub mod measurements;
pub mod pagerank;
pub mod terasort;
pub mod tpch;
pub mod wordcount;

use std::io;
use windrow_datasets::memory::prefetch;

/// So many threads that compute.
fn pool(threads: usize) -> io::Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(io::Error::other)
}
