//! Measures of Windrow: the limit programs, what compares the engine with them, and what breaks it.

pub mod chaos;
pub mod compare;
pub mod limits;
pub mod s3_server;
pub mod transfer_rates;
