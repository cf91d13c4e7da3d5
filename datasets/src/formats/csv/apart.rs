//! The rows of a CSV file, each apart: where one is wrong, the next can be read all the same.

use super::CsvOptions;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// Cuts text into rows. What a row is depends on quotes alone, so that a row is found whatever stands in it.
pub(super) struct Apart {
    /// The header is still to come.
    header: bool,
    /// The beginning of a row whose end has not come.
    rest: Vec<u8>,
}

impl Apart {
    pub(super) fn new(header: bool) -> Apart {
        Apart { header, rest: Vec::new() }
    }

    /// The rows that end in this text, which follows the one before.
    pub(super) fn rows(&mut self, text: &[u8], options: &CsvOptions) -> Vec<Vec<u8>> {
        self.rest.extend_from_slice(text);
        let mut rows = Vec::new();
        let mut at = 0;
        let mut reader = reader(options);
        while let Some(len) = row_len(&self.rest[at..], &mut reader, options) {
            if !std::mem::take(&mut self.header) {
                rows.push(self.rest[at..at + len].to_vec());
            }
            at += len;
        }
        self.rest.drain(..at);
        rows
    }

    /// What is left at the end of the file: a row without an end, if there is anything.
    pub(super) fn end(self) -> Vec<Vec<u8>> {
        let is_blank = self.rest.trim_ascii().is_empty();
        if is_blank { Vec::new() } else { vec![self.rest] }
    }
}

fn reader(options: &CsvOptions) -> Reader {
    ReaderBuilder::new()
        .delimiter(options.delimiter)
        .quote(options.quote)
        .escape(options.escape)
        .double_quote(true)
        .comment(options.comment)
        .build()
}

/// The bytes of the first row, with what is left out before it, if it ends.
fn row_len(text: &[u8], reader: &mut Reader, options: &CsvOptions) -> Option<usize> {
    if options.splittable {
        return row_len_of_lines(text, options);
    }
    reader.reset();
    // Only where the row ends matters.
    let (mut values, mut ends) = ([0; 1024], [0; 64]);
    let mut at = 0;
    while at < text.len() {
        let (result, read, ..) = reader.read_record(&text[at..], &mut values, &mut ends);
        at += read;
        match result {
            ReadRecordResult::Record => return Some(at),
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
            ReadRecordResult::InputEmpty | ReadRecordResult::End => return None,
        }
    }
    None
}

/// The same where a row is a line: quotes that are open at its end are wrong, and no reason to go on.
fn row_len_of_lines(text: &[u8], options: &CsvOptions) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = memchr::memchr(b'\n', &text[at..])? + 1;
        let line = &text[at..at + len];
        at += len;
        let is_comment = options.comment.is_some_and(|comment| line.first() == Some(&comment));
        if !is_comment && !line.trim_ascii().is_empty() {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str, cut: usize, options: &CsvOptions) -> Vec<String> {
        let mut apart = Apart::new(true);
        let mut rows = Vec::new();
        for piece in text.as_bytes().chunks(cut) {
            rows.extend(apart.rows(piece, options));
        }
        rows.extend(apart.end());
        rows.into_iter().map(|row| String::from_utf8(row).unwrap()).collect()
    }

    #[test]
    fn rows_end_outside_of_quotes() {
        let text = "a,b\n1,\"x\ny\"\n\n2,z\n#not\n3,\"open\n4,5\n";
        let options = CsvOptions::new().comment(b'#');
        let rows = ["1,\"x\ny\"\n", "\n2,z\n", "#not\n3,\"open\n4,5\n"];
        assert_eq!(all(text, 3, &options), rows);
        let rows = ["1,\"x\n", "y\"\n", "\n2,z\n", "#not\n3,\"open\n", "4,5\n"];
        assert_eq!(all(text, 3, &options.splittable()), rows);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_wherever_text_is_cut(
            text in "[ab,\"#\n\r]{0,60}",
            cut in 1..20usize,
            splittable in any::<bool>(),
        ) {
            let options = CsvOptions::new();
            let options = if splittable { options.splittable() } else { options };
            let text = format!("head\n{text}\n");
            let rows = all(&text, cut, &options);
            prop_assert_eq!(&rows, &all(&text, text.len(), &options));
            let wanted = text["head\n".len()..].trim_end();
            let found = rows.concat();
            prop_assert_eq!(found.trim_end(), wanted);
        }
    }
}
