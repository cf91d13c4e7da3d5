//! The data plane: shuffle blocks go straight from the worker that has them to the executor that needs them, over TCP.
//!
//! [`DataServer`] answers requests with the blocks of a supervisor; [`BlockClient`] fetches them. A reader on the host of
//! the worker gets the names of the files and reads them in place. What is said is in
//! [`windrow_protocol::data`].

mod binary;
mod client;
mod dial;
mod link;
mod receive;
mod server;
mod stream;
mod wire;

pub(crate) use binary::fetch_binary;
pub use client::{BlockClient, ClientLimits, Fetch};
pub(crate) use client::{ReadError, no_room, read_blocks, read_in_place};
pub use server::{DataServer, ServerLimits};

#[cfg(test)]
mod tests;
