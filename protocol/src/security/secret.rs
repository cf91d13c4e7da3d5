//! Text and bytes that nobody sees who only looks.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Something secret: it travels between processes that may know it, and no log shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Keeps it.
    pub fn new(secret: T) -> Secret<T> {
        Secret(secret)
    }

    /// The secret itself, for who really needs it.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
