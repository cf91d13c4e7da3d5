//! The formats that come with the engine. They use the public traits [`Source`](crate::Source) and
//! [`Sink`](crate::Sink) only, as any other format would.

pub mod text;
