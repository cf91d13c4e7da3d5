//! The ready jobs.

mod components;
mod convert;
mod distinct;
mod edges;
mod files;
mod generate_tpch;
mod grep;
mod index;
mod kmeans;
mod measurements;
mod pagerank;
mod profile;
mod sample;
mod sketch;
mod terasort;
mod terasort_validate;
mod wordcount;

pub use components::Components;
pub use convert::Convert;
pub use distinct::Distinct;
pub use files::{FileCompression, FileFormat, ReadFlags, WriteFlags};
pub use generate_tpch::GenerateTpch;
pub use grep::Grep;
pub use index::Index;
pub use kmeans::Kmeans;
pub use measurements::Measurements;
pub use pagerank::Pagerank;
pub use profile::{Profile, ProfileFormat, Profiled};
pub use sample::Sample;
pub use sketch::Fact;
pub use terasort::Terasort;
pub use terasort_validate::TerasortValidate;
pub use wordcount::{WordFormat, Wordcount};
