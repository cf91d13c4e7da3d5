//! The derive macro of `windrow-datasets`: `#[derive(Record)]`.
//!
//! `input` reads the struct and its attributes, `record` writes the implementations.

mod input;
mod record;

use proc_macro::TokenStream;

/// Makes a struct with named fields a record.
///
/// For a struct `Trip` it makes `TripView<'_>` (`Copy`, with the views of the fields, of the same visibility), and
/// implements `Record`, and `TextRecord` (fields with tabs between them) where all fields have it. The record's
/// columns have the names of the fields and are bound by name: order does not matter, other columns are not read,
/// and a missing column is `None` where the field is an `Option`.
///
/// It also implements `Columns`, which names the columns for operators that the plan sees into: `Trip::COLS.zone_id`.
///
/// - `#[record(rename = "column")]` on a field: the column has this name.
/// - `#[record(key)]` on the struct: it is also a `Key`, ordered by its fields from the first to the last; all
///   fields have to be keys.
/// - `#[record(crate = "path")]` on the struct: where the crate `windrow-datasets` is; `::windrow::datasets` if not
///   said.
#[proc_macro_derive(Record, attributes(record))]
pub fn derive_record(tokens: TokenStream) -> TokenStream {
    let item = syn::parse_macro_input!(tokens as syn::DeriveInput);
    match input::Input::read(item) {
        Ok(input) => record::implement(&input).into(),
        Err(error) => error.to_compile_error().into(),
    }
}
