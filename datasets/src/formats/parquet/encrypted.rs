//! Whether a file that cannot be read is encrypted: the reader says of such a file only that it is damaged.

use super::file::ParquetFile;

/// What an encrypted file ends with whose footer is encrypted too.
const ENCRYPTED: &[u8] = b"PARE";

/// The longest footer that is looked at, in bytes.
const FOOTER_MAX: u64 = 64 << 20;

/// The field of a footer that says how columns are encrypted.
const ENCRYPTION_ALGORITHM: i64 = 8;

/// How deep what is skipped may be nested.
const DEPTH: usize = 32;

/// Whether a file is encrypted, as far as its end tells.
pub(super) fn is_encrypted(file: &ParquetFile) -> bool {
    let size = file.object.size;
    let read = |start: u64, end: u64| file.fetch(std::slice::from_ref(&(start..end))).ok()?.pop();
    let Some(trailer) = size.checked_sub(8).and_then(|start| read(start, size)) else {
        return false;
    };
    if trailer.ends_with(ENCRYPTED) {
        return true;
    }
    let length = trailer.first_chunk().map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
    let Some(start) = size.checked_sub(8 + length).filter(|_| length <= FOOTER_MAX) else {
        return false;
    };
    let footer = read(start, size - 8);
    footer.is_some_and(|footer| Thrift(&footer).has_field(ENCRYPTION_ALGORITHM).unwrap_or(false))
}

/// A footer in Thrift's compact protocol, from which nothing is taken but the numbers of fields.
struct Thrift<'a>(&'a [u8]);

impl Thrift<'_> {
    /// Whether the struct that begins here has this field; `None` if it is no struct.
    fn has_field(mut self, wanted: i64) -> Option<bool> {
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            if field == wanted {
                return Some(true);
            }
            self.skip(kind, true, DEPTH)?;
        }
        Some(false)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The kind of the next field, whose number `field` becomes; the inner `None` at the end of the struct.
    fn field(&mut self, field: &mut i64) -> Option<Option<u8>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        *field = match head >> 4 {
            0 => {
                let number = self.varint()?;
                (number >> 1) as i64 ^ -((number & 1) as i64)
            }
            more => *field + i64::from(more),
        };
        Some(Some(head & 0xf))
    }

    /// Passes over a value. A truth value is in the head of a field, and a byte elsewhere.
    fn skip(&mut self, kind: u8, in_field: bool, depth: usize) -> Option<()> {
        let deeper = depth.checked_sub(1)?;
        match kind {
            1 | 2 if in_field => Some(()),
            1..=3 => self.bytes(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.bytes(8),
            8 => {
                let length = self.varint()?;
                self.bytes(length)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                (0..count).try_for_each(|_| self.skip(head & 0xf, false, deeper))
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                (0..count).try_for_each(|_| {
                    self.skip(kinds >> 4, false, deeper)?;
                    self.skip(kinds & 0xf, false, deeper)
                })
            }
            12 => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, true, deeper)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_others() {
        // 1: i32 7, 2: list of two structs {1: binary "ab", 2: true}, 8: struct {}.
        let footer =
            [0x15, 14, 0x19, 0x2c, 0x18, 2, b'a', b'b', 0x11, 0, 0x18, 0, 0x11, 0, 0x6c, 0, 0];
        assert_eq!(Thrift(&footer).has_field(8), Some(true));
        assert_eq!(Thrift(&footer).has_field(3), Some(false));
        for cut in 0..footer.len() - 3 {
            assert_ne!(Thrift(&footer[..cut]).has_field(8), Some(true));
        }
        assert_eq!(Thrift(&[0x19, 0xff, 0xff, 0xff]).has_field(8), None);
    }
}
