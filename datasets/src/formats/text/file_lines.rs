//! Lines of text as records, each behind the name of its file.

use super::blocks::{Region, Separator, read_lane};
use super::lines::{LineText, Lines, Pack};
use super::split_text;
use crate::formats::files;
use crate::location::{IntoLocations, Locations};
use crate::push::Push;
use crate::record::{Batch2, BytesColumn, Record};
use crate::source::{Source, SourceDescription, SourceError, Split};
use crate::storage::Storage;
use arrow::array::StringViewArray;
use std::marker::PhantomData;

/// The lines of text files, each behind the location of its file. A batch has each location once, whatever the number
/// of lines.
#[derive(Clone, Debug)]
pub struct FileLinesSource<T> {
    locations: Locations,
    sizes: files::Sizes,
    line: PhantomData<fn() -> T>,
}

impl<T: LineText> FileLinesSource<T> {
    /// The lines of all files at these locations, in order.
    pub fn new(locations: impl IntoLocations) -> FileLinesSource<T> {
        FileLinesSource {
            locations: locations.into_locations(),
            sizes: files::Sizes::default(),
            line: PhantomData,
        }
    }

    /// Other sizes, to see that they do not matter.
    #[cfg(test)]
    pub(super) fn with_sizes(self, sizes: files::Sizes) -> Self {
        Self { sizes, ..self }
    }
}

impl<T: LineText> Source for FileLinesSource<T> {
    type Item = (String, T);

    fn describe(&self) -> SourceDescription {
        SourceDescription {
            format: "text with file names".to_string(),
            locations: self.locations.names(),
            columns: None,
        }
    }

    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        split_text(storage, &self.locations, self.sizes, out)
    }

    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<(String, T)>,
    ) -> Result<(), SourceError> {
        let mut lines = Lines { views: Vec::new(), ends: Vec::new(), pack: WithFile };
        read_lane(storage, split, lane, self.sizes, Separator::LineFeed, &mut |region| {
            lines.push_region::<T>(region, out)
        })
    }
}

/// Puts the name of its file before each line.
struct WithFile;

impl<T: LineText> Pack<T> for WithFile {
    type Item = (String, T);

    fn pack(
        &mut self,
        lines: BytesColumn<T::Kind>,
        region: &Region<'_>,
        starts: impl Fn() -> Vec<usize>,
    ) -> <(String, T) as Record>::Batch {
        let mut codes: Vec<i32> = Vec::new();
        let mut names: Vec<String> = Vec::new();
        // The last byte of the name's file in the buffer.
        let mut end = 0;
        for start in starts() {
            if names.is_empty() || start >= end {
                let (file, next) = region.file_at(start);
                names.push(file.object.location.to_string());
                end = next;
            }
            codes.push(names.len() as i32 - 1);
        }
        let values = StringViewArray::from_iter_values(names);
        Batch2(BytesColumn::Dictionary { codes: codes.into(), values }, lines)
    }

    fn unpack(batch: <(String, T) as Record>::Batch) -> BytesColumn<T::Kind> {
        batch.1
    }
}
