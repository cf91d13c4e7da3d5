//! Windrow.
