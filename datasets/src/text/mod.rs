//! Text as bytes: finding words and lines in it.

mod positions;
pub mod split;

pub use positions::positions;
