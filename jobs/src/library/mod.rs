//! The ready jobs.

mod terasort;
mod wordcount;

pub use terasort::Terasort;
pub use wordcount::{WordFormat, Wordcount};
