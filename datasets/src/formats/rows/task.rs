//! The file of a task that writes rows: there is none without a row, since nobody would know its columns.

use crate::commit::{AttemptFiles, PartFile};
use crate::push::PushError;
use crate::sink::{EncodePart, EncodeTask};

/// One file a task, by this encoder, if there are rows for it.
pub(crate) fn file_of_rows<C: 'static>(encoder: Box<dyn EncodePart<C>>) -> Box<dyn EncodeTask<C>> {
    Box::new(FileOfRows { encoder, file: None, rows: 0 })
}

struct FileOfRows<C> {
    encoder: Box<dyn EncodePart<C>>,
    file: Option<PartFile>,
    rows: u64,
}

impl<C> EncodeTask<C> for FileOfRows<C> {
    fn write(&mut self, chunk: C, rows: u64, files: &mut AttemptFiles) -> Result<(), PushError> {
        if rows == 0 {
            return Ok(());
        }
        self.rows += rows;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(files.only()?),
        };
        self.encoder.write(chunk, file)
    }

    fn finish(self: Box<Self>, files: &mut AttemptFiles) -> Result<(), PushError> {
        let FileOfRows { encoder, file, rows } = *self;
        let Some(mut file) = file else { return Ok(()) };
        encoder.finish(&mut file)?;
        Ok(files.end(file, rows)?)
    }
}
