//! The struct with `#[derive(Record)]` that reads the columns of a file.

use arrow::datatypes::{DataType, Fields};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Words that are no names of fields.
const KEYWORDS: &str = " abstract as async await become box break const continue crate do dyn else enum extern false \
    final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct \
    super trait true try type typeof unsafe unsized use virtual where while yield ";

/// Names of types that a struct made here must not take: those that fields have, and those that a job's file is
/// likely to use by their short names.
const TAKEN: [&str; 25] = [
    "String",
    "Vec",
    "Option",
    "Some",
    "None",
    "Ok",
    "Err",
    "Box",
    "Date",
    "Timestamp",
    "LocalTimestamp",
    "Decimal",
    "Record",
    "Encoded",
    "Args",
    "Dataset",
    "Error",
    "ExitCode",
    "Flow",
    "Job",
    "Key",
    "Local",
    "Location",
    "Locations",
    "Result",
];

/// The struct `Row` for columns with these types, and those of structs within it, as rustfmt would lay them out. A
/// column that no type of a record reads is named in a comment.
///
/// # Errors
/// The reason, where no column can be read.
pub(crate) fn rust_struct(fields: &Fields) -> Result<String, String> {
    let mut names = Names(TAKEN.iter().map(|name| (*name).to_string()).collect());
    let mut structs = Vec::new();
    let row = names.of_struct("row");
    if !add_struct(&row, fields, &mut names, &mut structs) {
        return Err("has no column that a field of a record can read".to_string());
    }
    Ok(structs.join("\n"))
}

/// The names of structs that are taken.
struct Names(BTreeSet<String>);

impl Names {
    /// A name for the struct of a column. With it go the names that the derive makes of it.
    fn of_struct(&mut self, column: &str) -> String {
        let mut name = String::new();
        for word in snake_case(column).split('_') {
            let mut letters = word.chars();
            name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            name.push_str(letters.as_str());
        }
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            name.insert_str(0, "Column");
        }
        let is_free =
            |name: &str| !self.0.contains(name) && !self.0.contains(&format!("{name}View"));
        let name = numbered(&name, "", is_free);
        self.0.extend([format!("{name}View"), name.clone()]);
        name
    }
}

/// The name, or the name and the first number from 2 on with which it is free.
fn numbered(name: &str, between: &str, is_free: impl Fn(&str) -> bool) -> String {
    let numbers = (2..).map(|number| format!("{name}{between}{number}"));
    let mut all = std::iter::once(name.to_string()).chain(numbers);
    all.find(|name| is_free(name)).unwrap_or_default()
}

/// Words in lower case with `_` between them, of ASCII letters and digits.
fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut words = String::new();
    for (at, &letter) in letters.iter().enumerate() {
        if !letter.is_ascii_alphanumeric() {
            words.push('_');
            continue;
        }
        let before = at.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(at + 1);
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
            });
        if begins {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    let words: Vec<&str> = words.split('_').filter(|word| !word.is_empty()).collect();
    words.join("_")
}

/// A name for the field of a column, which is the column's own where that is the name of a field.
fn field_name(column: &str, taken: &BTreeSet<String>) -> String {
    let is_keyword = |name: &str| KEYWORDS.contains(&format!(" {name} "));
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let trimmed = column.trim_matches('_');
    let plain = column.chars().all(letters)
        && !trimmed.is_empty()
        && !trimmed.contains("__")
        && !column.starts_with(|c: char| c.is_ascii_digit());
    let mut name = if plain { column.to_string() } else { snake_case(column) };
    if !name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') {
        name = if name.is_empty() { "column".to_string() } else { format!("column_{name}") };
    }
    if is_keyword(&name) {
        name.push('_');
    }
    numbered(&name, "_", |name| !taken.contains(name))
}

/// Appends the struct, then those within it; returns whether it has a field.
fn add_struct(name: &str, fields: &Fields, names: &mut Names, structs: &mut Vec<String>) -> bool {
    let place = structs.len();
    structs.push(String::new());
    let mut text = format!("#[derive(Record)]\nstruct {name} {{\n");
    let (mut taken, mut columns) = (BTreeSet::new(), BTreeSet::new());
    // Columns that are their own fields keep their names, wherever they stand.
    let own = |column: &str| field_name(column, &BTreeSet::new()) == column;
    let reserved: BTreeSet<String> =
        fields.iter().map(|field| field.name().clone()).filter(|name| own(name)).collect();
    for field in fields {
        let column = field.name();
        let kind = if columns.insert(column) {
            rust_type(column, field.data_type(), field.is_nullable(), names, structs)
                .ok_or_else(|| "no type of a record reads it".to_string())
        } else {
            Err("another column has this name".to_string())
        };
        // What follows the line is in no comment.
        let kind = match kind {
            Ok(kind) => kind,
            Err(why) => {
                let _ = writeln!(text, "    // {column:?}, {}: {why}", field.data_type());
                continue;
            }
        };
        let is_own = reserved.contains(column);
        let name = if is_own {
            column.clone()
        } else {
            field_name(column, &taken.union(&reserved).cloned().collect())
        };
        if !is_own {
            let _ = writeln!(text, "    #[record(rename = {column:?})]");
        }
        let _ = writeln!(text, "    {name}: {kind},");
        taken.insert(name);
    }
    text += "}\n";
    structs[place] = text;
    !taken.is_empty()
}

/// The type of a field for a column; structs that it needs are appended.
fn rust_type(
    column: &str,
    kind: &DataType,
    nullable: bool,
    names: &mut Names,
    structs: &mut Vec<String>,
) -> Option<String> {
    use DataType::*;
    let of = |name: &str| Some(name.to_string());
    let name = match kind {
        Boolean => of("bool"),
        Int8 => of("i8"),
        Int16 => of("i16"),
        Int32 => of("i32"),
        Int64 => of("i64"),
        UInt8 => of("u8"),
        UInt16 => of("u16"),
        UInt32 => of("u32"),
        UInt64 => of("u64"),
        Float16 | Float32 => of("f32"),
        Float64 => of("f64"),
        Utf8 | LargeUtf8 | Utf8View => of("String"),
        Binary | LargeBinary | BinaryView => of("bytes::Bytes"),
        FixedSizeBinary(size) if *size > 0 => Some(format!("[u8; {size}]")),
        Date32 | Date64 => of("Date"),
        Timestamp(_, Some(_)) => of("Timestamp"),
        Timestamp(_, None) => of("LocalTimestamp"),
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s)
            if *s >= 0 && s.unsigned_abs() <= *p =>
        {
            Some(format!("Decimal<{p}, {s}>"))
        }
        Dictionary(_, value) => rust_type(column, value, false, names, structs),
        List(element) | LargeList(element) | FixedSizeList(element, _) => {
            let kind = element.data_type();
            let element = rust_type(column, kind, element.is_nullable(), names, structs)?;
            Some(format!("Vec<{element}>"))
        }
        Struct(fields) => {
            let (before, place) = (names.0.clone(), structs.len());
            let name = names.of_struct(column);
            if add_struct(&name, fields, names, structs) {
                Some(name)
            } else {
                structs.truncate(place);
                names.0 = before;
                None
            }
        }
        _ => None,
    }?;
    Some(if nullable { format!("Option<{name}>") } else { name })
}
