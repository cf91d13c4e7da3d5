//! The ready jobs.

mod distinct;
mod generate_tpch;
mod grep;
mod index;
mod terasort;
mod terasort_validate;
mod wordcount;

pub use distinct::Distinct;
pub use generate_tpch::GenerateTpch;
pub use grep::Grep;
pub use index::Index;
pub use terasort::Terasort;
pub use terasort_validate::TerasortValidate;
pub use wordcount::{WordFormat, Wordcount};
