//! Records as text: what a text sink writes on a line.
//!
//! Integers and decimals are written in base ten, floats in the shortest form that reads back the same, `bool` as
//! `true` or `false`, text and bytes as they are, `None` as nothing, the fields of tuples and structs with a tab
//! between them, the elements of a list with a comma between them. Nothing is escaped.

use super::Record;
use bytes::Bytes;

/// A record that can be a line of text.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written as text",
    label = "no text form",
    note = "write it as Parquet, or `map` it to a `String` or to fields that have a text form"
)]
pub trait TextRecord: Record {
    /// Appends the record's text to `out`, without an end of line.
    fn write_text(view: Self::View<'_>, out: &mut Vec<u8>);
}

macro_rules! text_by_buffer {
    ($buffer:ty: $($native:ty)+) => {
        $(impl TextRecord for $native {
            #[inline]
            fn write_text(view: $native, out: &mut Vec<u8>) {
                out.extend_from_slice(<$buffer>::new().format(view).as_bytes());
            }
        })+
    };
}

text_by_buffer!(itoa::Buffer: u8 u16 u32 u64 i8 i16 i32 i64);
text_by_buffer!(zmij::Buffer: f32 f64);

impl TextRecord for bool {
    #[inline]
    fn write_text(view: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(if view { b"true" } else { b"false" });
    }
}

impl TextRecord for () {
    #[inline]
    fn write_text((): (), _out: &mut Vec<u8>) {}
}

impl TextRecord for String {
    #[inline]
    fn write_text(view: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(view.as_bytes());
    }
}

impl TextRecord for Bytes {
    #[inline]
    fn write_text(view: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(view);
    }
}

impl<const N: usize> TextRecord for [u8; N] {
    #[inline]
    fn write_text(view: &[u8; N], out: &mut Vec<u8>) {
        out.extend_from_slice(view);
    }
}

macro_rules! text_of_tuple {
    ($first:ident $($letter:ident $index:tt)+) => {
        impl<$first: TextRecord, $($letter: TextRecord),+> TextRecord for ($first, $($letter,)+) {
            #[inline]
            fn write_text(view: Self::View<'_>, out: &mut Vec<u8>) {
                $first::write_text(view.0, out);
                $(
                    out.push(b'\t');
                    $letter::write_text(view.$index, out);
                )+
            }
        }
    };
}

text_of_tuple!(A B 1);
text_of_tuple!(A B 1 C 2);
text_of_tuple!(A B 1 C 2 D 3);
text_of_tuple!(A B 1 C 2 D 3 E 4);
text_of_tuple!(A B 1 C 2 D 3 E 4 F 5);
text_of_tuple!(A B 1 C 2 D 3 E 4 F 5 G 6);
text_of_tuple!(A B 1 C 2 D 3 E 4 F 5 G 6 H 7);

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T: TextRecord>(record: &T) -> String {
        let mut out = Vec::new();
        T::write_text(record.view(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn records_have_a_text_form() {
        assert_eq!(text(&i64::MIN), "-9223372036854775808");
        assert_eq!(text(&(255u8, true, -0.5f64)), "255\ttrue\t-0.5");
        assert_eq!(text(&(("a b".to_string(), 1e300), *b"xyz")), "a b\t1e+300\txyz");
        assert_eq!(text(&(Bytes::from_static(b"k"), ())), "k\t");
        assert_eq!(text(&f32::NAN), "NaN");
    }
}
