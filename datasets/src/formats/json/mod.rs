//! JSON: one object a line, and a field of it a column.
//!
//! What a member becomes is what the record has there; a member that no field names is left out, and one that is not
//! there is a null. Bytes are text in hexadecimal digits. Files are cut at line feeds, which no JSON text of one line has.

mod sink;
mod source;

pub use sink::JsonSink;
pub use source::JsonSource;
