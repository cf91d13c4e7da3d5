//! What Parquet files are to be like.

use super::part::BLOCK_ROWS;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};
use serde::{Deserialize, Serialize};

/// The rows in a page at most, so that lanes which read the file have whole pages.
const PAGE_ROWS: usize = 16_384;

/// The rows in a row group at most; whole blocks.
const GROUP_ROWS: usize = 1 << 20;

/// A row group ends with the block that brings it to so many bytes of values, before encoding.
const GROUP_BYTES: usize = 512 << 20;

/// A task's rows are set aside by partition up to so many bytes of values.
const BUFFER_BYTES: usize = 64 << 20;

/// How the pages of Parquet files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParquetCompression {
    /// Not at all.
    None,
    /// Fast to write and read.
    Snappy,
    /// As fast as Snappy to write, faster to read (`LZ4_RAW`).
    Lz4,
    /// As fast to read, and about a quarter smaller than Snappy; level 1 unless another is asked for.
    #[default]
    Zstd,
    /// For readers that know nothing else; level 6 unless another is asked for.
    Gzip,
    /// Small, and slow to write; level 1 unless another is asked for.
    Brotli,
}

/// What Parquet files say of the values that are in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParquetStatistics {
    /// Nothing.
    None,
    /// The least and the greatest value and the nulls of each row group.
    Groups,
    /// Those of each page too: readers find the pages that they need.
    #[default]
    Pages,
}

/// A bloom filter, which tells readers of a row group that a value is certainly not in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BloomFilter {
    /// How many different values a row group has at most; `None` for as many as it has rows. A filter that turns out too
    /// large is made smaller when the row group is written.
    pub values: Option<u64>,
    /// How often a filter may say "perhaps" of a value that is not there: 0.01 unless said otherwise.
    pub false_positives: f64,
}

impl Default for BloomFilter {
    fn default() -> BloomFilter {
        BloomFilter { values: None, false_positives: 0.01 }
    }
}

/// What is said of one top-level column.
#[derive(Clone, Debug)]
enum OfColumn {
    Bloom(BloomFilter),
    Dictionary(bool),
}

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) compression: ParquetCompression,
    pub(super) level: Option<u32>,
    pub(super) group_rows: usize,
    pub(super) group_bytes: usize,
    pub(super) file_bytes: Option<u64>,
    pub(super) page_rows: usize,
    pub(super) statistics: ParquetStatistics,
    pub(super) page_index: bool,
    pub(super) dictionaries: bool,
    /// Columns, and whether they descend.
    pub(super) sorted_by: Vec<(&'static str, bool)>,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) buffer_bytes: usize,
    columns: Vec<(&'static str, OfColumn)>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            compression: ParquetCompression::default(),
            level: None,
            group_rows: GROUP_ROWS,
            group_bytes: GROUP_BYTES,
            file_bytes: None,
            page_rows: PAGE_ROWS,
            statistics: ParquetStatistics::default(),
            page_index: true,
            dictionaries: true,
            sorted_by: Vec::new(),
            metadata: Vec::new(),
            buffer_bytes: BUFFER_BYTES,
            columns: Vec::new(),
        }
    }
}

impl Options {
    pub(super) fn set_group_rows(&mut self, rows: usize) {
        self.group_rows = rows.div_ceil(BLOCK_ROWS).max(1) * BLOCK_ROWS;
    }

    pub(super) fn bloom(&mut self, columns: Vec<&'static str>, filter: BloomFilter) {
        self.columns.extend(columns.into_iter().map(|name| (name, OfColumn::Bloom(filter))));
    }

    pub(super) fn dictionary(&mut self, columns: Vec<&'static str>, on: bool) {
        self.columns.extend(columns.into_iter().map(|name| (name, OfColumn::Dictionary(on))));
    }

    fn codec(&self) -> Compression {
        // Levels are within what the codec has, and then they are valid.
        let level = |default: u32, range: std::ops::RangeInclusive<u32>| {
            self.level.unwrap_or(default).clamp(*range.start(), *range.end())
        };
        match self.compression {
            ParquetCompression::None => Compression::UNCOMPRESSED,
            ParquetCompression::Snappy => Compression::SNAPPY,
            ParquetCompression::Lz4 => Compression::LZ4_RAW,
            ParquetCompression::Zstd => {
                let level = ZstdLevel::try_new(level(1, 1..=22) as i32);
                Compression::ZSTD(level.unwrap_or_default())
            }
            ParquetCompression::Gzip => {
                Compression::GZIP(GzipLevel::try_new(level(6, 0..=9)).unwrap_or_default())
            }
            ParquetCompression::Brotli => {
                Compression::BROTLI(BrotliLevel::try_new(level(1, 0..=11)).unwrap_or_default())
            }
        }
    }

    /// The properties of files with these columns; what is said of columns that are not in them is left out.
    pub(super) fn properties(&self, columns: &SchemaDescriptor) -> WriterProperties {
        let leaves = |name: &str| -> Vec<(i32, ColumnPath)> {
            let of = columns.columns().iter().zip(0..);
            of.filter(|(leaf, _)| leaf.path().parts().first().is_some_and(|first| first == name))
                .map(|(leaf, at)| (at, leaf.path().clone()))
                .collect()
        };
        let statistics = match (self.statistics, self.page_index) {
            (ParquetStatistics::None, _) => EnabledStatistics::None,
            (ParquetStatistics::Groups, _) | (_, false) => EnabledStatistics::Chunk,
            (ParquetStatistics::Pages, true) => EnabledStatistics::Page,
        };
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("windrow version ", env!("CARGO_PKG_VERSION")).to_string())
            .set_data_page_row_count_limit(self.page_rows.max(1))
            .set_max_row_group_row_count(None)
            .set_compression(self.codec())
            .set_statistics_enabled(statistics)
            .set_offset_index_disabled(!self.page_index)
            .set_dictionary_enabled(self.dictionaries);
        let sorted: Vec<SortingColumn> = self
            .sorted_by
            .iter()
            .map_while(|(name, descending)| match leaves(name).as_slice() {
                [(at, _)] => Some(SortingColumn {
                    column_idx: *at,
                    descending: *descending,
                    // As this engine sorts: `None` is the least.
                    nulls_first: !*descending,
                }),
                // Of a column with columns inside no order can be said, nor of what comes after it.
                _ => None,
            })
            .collect();
        if !sorted.is_empty() {
            properties = properties.set_sorting_columns(Some(sorted));
        }
        if !self.metadata.is_empty() {
            let pair = |(key, value): &(String, String)| KeyValue::new(key.clone(), value.clone());
            properties =
                properties.set_key_value_metadata(Some(self.metadata.iter().map(pair).collect()));
        }
        for (name, of) in &self.columns {
            for (_, path) in leaves(name) {
                properties = match of {
                    OfColumn::Dictionary(on) => properties.set_column_dictionary_enabled(path, *on),
                    OfColumn::Bloom(BloomFilter { values, false_positives }) => properties
                        .set_column_bloom_filter_enabled(path.clone(), true)
                        .set_column_bloom_filter_fpp(path.clone(), *false_positives)
                        .set_column_bloom_filter_max_ndv(
                            path,
                            values.unwrap_or(self.group_rows as u64).max(1),
                        ),
                };
            }
        }
        properties.build()
    }
}
