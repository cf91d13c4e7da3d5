//! Records as lines of text.

use crate::push::{PushError, Selection};
use crate::record::{Batch, TextRecord};
use crate::sink::{EncodeLane, EncodePart, Sink};
use std::io::Write;
use std::marker::PhantomData;

/// Writes one line a record, in the form that [`TextRecord`] gives it. Nothing is escaped.
#[derive(Clone, Debug)]
pub struct TextSink<T> {
    record: PhantomData<fn(T)>,
}

impl<T: TextRecord> TextSink<T> {
    /// A sink for files `part-….txt`.
    pub fn new() -> TextSink<T> {
        TextSink { record: PhantomData }
    }
}

impl<T: TextRecord> Default for TextSink<T> {
    fn default() -> TextSink<T> {
        TextSink::new()
    }
}

impl<T: TextRecord> Sink for TextSink<T> {
    type Item = T;
    type Chunk = Vec<u8>;

    fn format(&self) -> String {
        "text".to_string()
    }

    fn extension(&self) -> String {
        "txt".to_string()
    }

    fn lane(&self) -> Box<dyn EncodeLane<T, Vec<u8>>> {
        Box::new(TextLane { text: Vec::new() })
    }

    fn part(&self) -> Box<dyn EncodePart<Vec<u8>>> {
        Box::new(TextPart)
    }

    fn pieces<'a>(&self, chunk: &'a Vec<u8>) -> Option<Vec<&'a [u8]>> {
        Some(vec![chunk])
    }
}

struct TextLane {
    text: Vec<u8>,
}

impl<T: TextRecord> EncodeLane<T, Vec<u8>> for TextLane {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<(), PushError> {
        crate::for_selected!(selection, batch.len(), |index| {
            // SAFETY: the indexes of a selection are below the batch's length.
            T::write_text(unsafe { batch.get_unchecked(index) }, &mut self.text);
            self.text.push(b'\n');
        });
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, PushError> {
        Ok(self.text)
    }
}

struct TextPart;

impl EncodePart<Vec<u8>> for TextPart {
    fn write(&mut self, chunk: Vec<u8>, file: &mut dyn Write) -> Result<(), PushError> {
        Ok(file.write_all(&chunk)?)
    }

    fn finish(self: Box<Self>, _file: &mut dyn Write) -> Result<(), PushError> {
        Ok(())
    }
}
