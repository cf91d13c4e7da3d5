//! How CSV files are written down.

use arrow::csv::reader::Format;
use serde::{Deserialize, Serialize};

/// What stands between, around and in place of values.
///
/// ```
/// use windrow_datasets::formats::CsvOptions;
///
/// let options = CsvOptions::new().delimiter(b';').null("NA").splittable();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvOptions {
    pub(super) header: bool,
    pub(super) delimiter: u8,
    pub(super) quote: u8,
    pub(super) escape: Option<u8>,
    pub(super) comment: Option<u8>,
    pub(super) null: String,
    pub(super) splittable: bool,
}

impl Default for CsvOptions {
    fn default() -> CsvOptions {
        CsvOptions::new()
    }
}

impl CsvOptions {
    /// A header, commas, double quotes that are doubled within a value, nothing for a null.
    pub fn new() -> CsvOptions {
        CsvOptions {
            header: true,
            delimiter: b',',
            quote: b'"',
            escape: None,
            comment: None,
            null: String::new(),
            splittable: false,
        }
    }

    /// Without a row of names: columns are matched with fields by position.
    #[must_use]
    pub fn without_header(self) -> Self {
        CsvOptions { header: false, ..self }
    }

    /// This byte between values.
    #[must_use]
    pub fn delimiter(self, delimiter: u8) -> Self {
        CsvOptions { delimiter, ..self }
    }

    /// This byte around values.
    #[must_use]
    pub fn quote(self, quote: u8) -> Self {
        CsvOptions { quote, ..self }
    }

    /// This byte before a quote within a quoted value, rather than a second quote.
    #[must_use]
    pub fn escape(self, escape: u8) -> Self {
        CsvOptions { escape: Some(escape), ..self }
    }

    /// Lines that begin with this byte are left out.
    #[must_use]
    pub fn comment(self, comment: u8) -> Self {
        CsvOptions { comment: Some(comment), ..self }
    }

    /// This text, rather than an empty one, is a null.
    #[must_use]
    pub fn null(self, null: impl Into<String>) -> Self {
        CsvOptions { null: null.into(), ..self }
    }

    /// No value has a line break: a large file may be read from any line on, by several threads. If one has a break all
    /// the same, reading fails and says so.
    #[must_use]
    pub fn splittable(self) -> Self {
        CsvOptions { splittable: true, ..self }
    }

    /// As the reader wants them.
    pub(super) fn format(&self) -> Format {
        let mut format = Format::default().with_delimiter(self.delimiter).with_quote(self.quote);
        if let Some(escape) = self.escape {
            format = format.with_escape(escape);
        }
        if let Some(comment) = self.comment {
            format = format.with_comment(comment);
        }
        if !self.null.is_empty() {
            let text = format!("^(?:{})$", regex::escape(&self.null));
            format = format.with_null_regex(
                regex::Regex::new(&text).expect("an escaped text is a regular expression"),
            );
        }
        format
    }

    /// Whether a line begins and ends outside of quotes.
    pub(super) fn is_whole(&self, line: &[u8]) -> bool {
        let Some(escape) = self.escape else {
            return memchr::memchr_iter(self.quote, line).count().is_multiple_of(2);
        };
        let (mut quotes, mut at) = (0usize, 0);
        while let Some(found) = memchr::memchr2(self.quote, escape, &line[at..]) {
            at += found + 1;
            if line[at - 1] == escape && escape != self.quote {
                at = (at + 1).min(line.len());
            } else {
                quotes += 1;
            }
        }
        quotes.is_multiple_of(2)
    }
}
