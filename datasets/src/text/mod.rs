//! Text as bytes: finding words in it.

pub mod split;
