//! Measures of Windrow: the limit programs, and what compares the engine with them.

pub mod compare;
pub mod limits;
pub mod s3_server;
