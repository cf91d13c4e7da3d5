//! Access to stores: one client a bucket and process.

/// The stores that a process has opened, and how it opens more. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Storage {}
