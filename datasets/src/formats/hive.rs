//! Hive partitions: folders named `NAME=VALUE`, whose value every row of the files below them has.
//!
//! All such folders of a path count, from the root of the store or file system on; of two with one name the inner one.
//! Names and values may have `%XX` for odd bytes, and `__HIVE_DEFAULT_PARTITION__` stands for null. A field that is
//! called as a folder takes its value from it, whatever the file has.

use crate::columns::ColumnStatistics;
use crate::location::Location;
use crate::source::SourceError;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, DictionaryArray, NullArray, StringArray,
    StringViewArray, UInt32Array,
};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, Field, Int32Type, TimestampMicrosecondType};
use std::sync::Arc;

/// What a folder is called whose rows have null there.
const NULL: &[u8] = b"__HIVE_DEFAULT_PARTITION__";

/// The value that a field has in all rows of a file, as an array of one; `None` if no folder says so, or no folder can
/// (lists, structs).
///
/// # Errors
/// If the folder's value is none of the field's type; it names file, folder and field.
pub(crate) fn value(location: &Location, field: &Field) -> Result<Option<ArrayRef>, SourceError> {
    let path = location.path_bytes();
    let folders = memchr::memrchr(b'/', path).map_or(&path[..0], |end| &path[..end]);
    for folder in folders.rsplit(|&byte| byte == b'/') {
        let Some(at) = memchr::memchr(b'=', folder) else { continue };
        if unescaped(&folder[..at]) != field.name().as_bytes() {
            continue;
        }
        let value = unescaped(&folder[at + 1..]);
        return parse(&value, field).map_err(|reason| SourceError::Input {
            location: location.to_string(),
            reason: format!(
                "the folder `{}` gives field `{}` {reason}",
                String::from_utf8_lossy(folder),
                field.name(),
            ),
        });
    }
    Ok(None)
}

/// The fields that the folders of a path name, for rows whose type says nothing of them: whole numbers (`Int64`), dates
/// (`Date32`), and text, as the value looks. What this path has no value for is text.
pub(crate) fn fields(location: &Location) -> Vec<Field> {
    let path = location.path_bytes();
    let folders = memchr::memrchr(b'/', path).map_or(&path[..0], |end| &path[..end]);
    let mut fields: Vec<Field> = Vec::new();
    for folder in folders.split(|&byte| byte == b'/') {
        let Some(at) = memchr::memchr(b'=', folder) else { continue };
        let Ok(name) = String::from_utf8(unescaped(&folder[..at])) else { continue };
        let value = unescaped(&folder[at + 1..]);
        let looks_like = |kind: &DataType| {
            let field = Field::new(&name, kind.clone(), false);
            parse(&value, &field).is_ok()
        };
        let kind = [DataType::Int64, DataType::Date32].into_iter().find(looks_like);
        fields.retain(|field| *field.name() != name);
        fields.push(Field::new(name, kind.unwrap_or(DataType::Utf8), true));
    }
    fields
}

/// The value of [`value`] in each of so many rows.
pub(crate) fn spread(value: &ArrayRef, rows: usize) -> ArrayRef {
    match value.data_type() {
        DataType::Null => Arc::new(NullArray::new(rows)),
        // By code, so that whoever looks at the values looks once.
        DataType::Utf8View | DataType::BinaryView => {
            let codes = vec![0; rows];
            Arc::new(DictionaryArray::<Int32Type>::new(codes.into(), value.clone()))
        }
        _ => take(value, &UInt32Array::from(vec![0; rows]), None).expect("an index in bounds"),
    }
}

/// What is known of the value of [`value`], in a part of one row.
pub(crate) fn statistics(value: &ArrayRef) -> ColumnStatistics {
    let null = *value.data_type() == DataType::Null;
    ColumnStatistics {
        least: value.clone(),
        greatest: value.clone(),
        nulls: vec![Some(u64::from(null))],
        rows: vec![1],
        absent: None,
    }
}

/// `%XX` as bytes.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    let digit = |at: usize| text.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    bytes
}

/// The value of a folder, or what is wrong with it.
fn parse(value: &[u8], field: &Field) -> Result<Option<ArrayRef>, String> {
    let kind = field.data_type();
    let known = kind.is_integer()
        || matches!(kind, DataType::Float32 | DataType::Float64 | DataType::Boolean)
        || matches!(kind, DataType::Utf8 | DataType::Utf8View | DataType::BinaryView)
        || matches!(kind, DataType::Date32 | DataType::Timestamp(..))
        || matches!(kind, DataType::Decimal64(..) | DataType::Decimal128(..));
    if !known {
        return Ok(None);
    }
    if value == NULL {
        if field.is_nullable() {
            return Ok(Some(Arc::new(NullArray::new(1))));
        }
        return Err("no value; make it an `Option` to allow that".to_string());
    }
    if *kind == DataType::BinaryView {
        return Ok(Some(Arc::new(BinaryViewArray::from(vec![value]))));
    }
    let shown = String::from_utf8_lossy(value);
    let wrong = || {
        format!("`{shown}`, which is no {kind}; rename the folder, or leave it out by a pattern")
    };
    let text = std::str::from_utf8(value).map_err(|_| wrong())?;
    if matches!(kind, DataType::Utf8 | DataType::Utf8View) {
        return Ok(Some(Arc::new(StringViewArray::from(vec![text]))));
    }
    let read = |kind: &DataType| {
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let text: ArrayRef = Arc::new(StringArray::from(vec![text]));
        let read = cast_with_options(&text, kind, &options).map_err(|_| wrong())?;
        if read.null_count() == 0 { Ok(read) } else { Err(wrong()) }
    };
    match kind {
        // Zones are for people: the number is the same in all of them.
        DataType::Timestamp(unit, zone) => {
            let read = read(&DataType::Timestamp(*unit, None))?;
            let Some(micros) = read.as_primitive_opt::<TimestampMicrosecondType>() else {
                return Err(wrong());
            };
            Ok(Some(Arc::new(micros.clone().with_timezone_opt(zone.clone()))))
        }
        // A cast would round.
        DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            let digits = text.split_once('.').map_or("", |(_, behind)| behind);
            let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.'));
            let fits = digits.trim_end_matches('0').len() as i64 <= i64::from(*scale);
            if plain && fits { read(kind).map(Some) } else { Err(wrong()) }
        }
        _ => read(kind).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Date, Decimal, Record, Timestamp};

    fn field<T: Record>(name: &str) -> Field {
        Field::new(name, T::data_type(), T::nullable())
    }

    fn read<T: Record>(path: &str, name: &str) -> Result<Option<T>, String> {
        let value = value(&path.parse().unwrap(), &field::<T>(name)).map_err(|e| e.to_string())?;
        let Some(value) = value else { return Ok(None) };
        let batch = <T::Batch as crate::Batch<T>>::from_array(&spread(&value, 3)).unwrap();
        assert_eq!(crate::Batch::len(&batch), 3);
        Ok(Some(T::own(crate::Batch::get(&batch, 2))))
    }

    #[test]
    fn folders_are_values_of_many_types() {
        let path = "s3://b/t=9/year=2024/month=07/city=S%C3%A3o%2F1/on=2024-07-31/x=-1.50/f=2e3/y=true/t=7/a=1.parquet";
        assert_eq!(read::<u32>(path, "year"), Ok(Some(2024)));
        assert_eq!(read::<Option<i8>>(path, "month"), Ok(Some(Some(7))));
        assert_eq!(read::<String>(path, "month"), Ok(Some("07".to_string())));
        assert_eq!(read::<String>(path, "city"), Ok(Some("São/1".to_string())));
        let bytes = bytes::Bytes::from("São/1");
        assert_eq!(read::<bytes::Bytes>(path, "city"), Ok(Some(bytes)));
        assert_eq!(read::<Date>(path, "on"), Ok(Some("2024-07-31".parse().unwrap())));
        let midnight: Timestamp = "2024-07-31T00:00:00Z".parse().unwrap();
        assert_eq!(read::<Timestamp>(path, "on"), Ok(Some(midnight)));
        assert_eq!(read::<Decimal<9, 2>>(path, "x"), Ok(Decimal::from_raw(-150)));
        assert_eq!(read::<Decimal<25, 1>>(path, "x"), Ok(Decimal::from_raw(-15)));
        assert_eq!(read::<f64>(path, "f"), Ok(Some(2000.0)));
        assert_eq!(read::<bool>(path, "y"), Ok(Some(true)));
        // The inner one.
        assert_eq!(read::<u8>(path, "t"), Ok(Some(7)));
        // A file is no folder, and no folder is a list.
        assert_eq!(read::<u8>(path, "a"), Ok(None));
        assert_eq!(read::<Vec<u32>>(path, "year"), Ok(None));
        assert_eq!(read::<u8>("/x/y", "year"), Ok(None));
    }

    #[test]
    fn fields_are_what_their_values_look_like() {
        let found = fields(&"/d/a=07/b=2024-07-31/c=x%20y/a=x/e=/f=1.5/name".parse().unwrap());
        let found: Vec<_> = found.iter().map(|f| (f.name().as_str(), f.data_type())).collect();
        let (text, date) = (&DataType::Utf8, &DataType::Date32);
        assert_eq!(found, [("b", date), ("c", text), ("a", text), ("e", text), ("f", text)]);
        let found = fields(&"s3://b/year=2024/k=__HIVE_DEFAULT_PARTITION__/x=1".parse().unwrap());
        let found: Vec<_> = found.iter().map(|f| (f.name().as_str(), f.data_type())).collect();
        assert_eq!(found, [("year", &DataType::Int64), ("k", text)]);
    }

    #[test]
    fn null_has_a_name() {
        let path = "/d/k=__HIVE_DEFAULT_PARTITION__/f";
        assert_eq!(read::<Option<u32>>(path, "k"), Ok(Some(None)));
        assert_eq!(read::<Option<String>>(path, "k"), Ok(Some(None)));
        let error = read::<u32>(path, "k").unwrap_err();
        assert!(error.contains("make it an `Option`"), "{error}");
    }

    #[test]
    fn what_does_not_parse_is_named() {
        for (path, error) in [
            ("/d/k=x/f", "/d/k=x/f: the folder `k=x` gives field `k` `x`, which is no UInt8"),
            ("/d/k=256/f", "`256`, which is no UInt8"),
            ("/d/k=/f", "gives field `k` ``, which is no UInt8"),
            ("/d/k=%FF/f", "which is no UInt8"),
        ] {
            let found = read::<u8>(path, "k").unwrap_err();
            assert!(found.contains(error), "{found}");
        }
        assert!(read::<Decimal<9, 2>>("/d/k=1.239/f", "k").is_err());
        assert!(read::<Decimal<3, 2>>("/d/k=100/f", "k").is_err());
        assert!(read::<Date>("/d/k=2024-02-31/f", "k").is_err());
        assert!(read::<String>("/d/k=%FF/f", "k").is_err());
    }
}
