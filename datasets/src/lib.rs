//! What records are, and where they lie.
//!
//! `record` has the typed records on Arrow columns, `columns` names those columns for operators, `codec` turns batches
//! into bytes and back, `push` is how batches move; `source` and `sink` are the two open traits for formats, `formats` has
//! our own, `scan` counts what they leave out, `spent` what the time goes to, and `unparsed` has what cannot be parsed; `commit` is how output becomes visible, and `verify` compares it with
//! its manifest; `inspect` says what lies somewhere; `location` and `storage` are how formats reach files and object stores; `memory` and `spill` are
//! what operators have for their records.

pub mod codec;
pub mod columns;
pub mod commit;
pub mod formats;
pub mod generate;
pub mod inspect;
pub mod location;
pub mod memory;
pub mod place;
pub mod push;
pub mod record;
pub mod scan;
pub mod sink;
pub mod source;
pub mod spent;
pub mod spill;
pub mod storage;
mod sync;
pub mod text;
pub mod unparsed;
pub mod verify;

pub use columns::{Col, Cols, Columns};
pub use record::{Batch, BindError, Builder, Heap, Key, Record, TextRecord};
pub use sink::Sink;
pub use source::Source;
