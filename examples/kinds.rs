//! Parquet with a column of each kind, with bloom filters and a declared order; in Hive partitions too, if it is asked for.
//! `scripts/check-formats` reads it by other programs.
//!
//! ```sh
//! cargo run --example kinds -- run kinds --rows 1000 --output /tmp/kinds
//! cargo run --example kinds -- run kinds --rows 1000 --output /tmp/by-month --by-month
//! ```

use bytes::Bytes;
use windrow::formats::{BloomFilter, ParquetCompression, ParquetSink};
use windrow::jobs;
use windrow::prelude::*;
use windrow::record::{Date, Decimal, LocalTimestamp, Timestamp};

#[derive(Args, Serialize, Deserialize)]
struct Kinds {
    /// How many rows
    #[arg(long, default_value_t = 1000)]
    rows: u64,
    /// The codec: none, snappy, lz4, zstd, gzip, brotli
    #[arg(long, default_value = "zstd", value_parser = codec)]
    codec: ParquetCompression,
    /// In folders by year and month
    #[arg(long)]
    by_month: bool,
    /// In folders by day: up to 20,000, with the rows of each spread over the whole
    #[arg(long, conflicts_with = "by_month")]
    by_day: bool,
    /// The folder to write to
    #[arg(long)]
    output: Location,
}

fn codec(name: &str) -> std::result::Result<ParquetCompression, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

#[derive(Record)]
struct Place {
    name: String,
    floor: Option<i8>,
}

#[derive(Record)]
struct Row {
    id: u64,
    year: i32,
    month: u8,
    small: i8,
    word: i16,
    long: i64,
    count: u32,
    half: f32,
    whole: f64,
    yes: bool,
    text: String,
    few: Option<String>,
    raw: Bytes,
    code: [u8; 4],
    day: Date,
    at: Timestamp,
    local: LocalTimestamp,
    price: Decimal<12, 2>,
    place: Option<Place>,
    tags: Vec<String>,
    numbers: Option<Vec<Option<i64>>>,
}

/// The row of a number: `scripts/check-formats` says the same in Python.
fn row(id: u64) -> Row {
    let n = id as i64;
    let micros = 1_700_000_000_000_000 + n * 1_000_001;
    Row {
        id,
        year: 2020 + (id % 3) as i32,
        month: 1 + (id % 12) as u8,
        small: (id % 200) as u8 as i8,
        word: -(id as i16),
        long: n * -1_000_000_007,
        count: id as u32 * 3,
        half: n as f32 / 2.0,
        whole: n as f64 * 0.1,
        yes: id.is_multiple_of(3),
        text: format!("row {id} é"),
        few: (!id.is_multiple_of(4)).then(|| format!("kind {}", id % 5)),
        raw: Bytes::from(vec![0xff, (id % 256) as u8]),
        code: (id as u32).to_be_bytes(),
        day: Date::from_days((id % 20_000) as i32),
        at: Timestamp::from_micros(micros),
        local: LocalTimestamp::from_micros(micros),
        price: Decimal::from_raw(i128::from(n) * 7 - 500).expect("has few digits"),
        place: (!id.is_multiple_of(5)).then(|| Place {
            name: format!("place {}", id % 7),
            floor: id.is_multiple_of(2).then_some((id % 9) as i8 - 4),
        }),
        tags: (0..id % 4).map(|tag| format!("tag {tag}")).collect(),
        numbers: (!id.is_multiple_of(6))
            .then(|| (0..n % 3).map(|at| (at != 1).then_some(n + at)).collect()),
    }
}

impl Job for Kinds {
    const NAME: &str = "kinds";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let rows = flow.generate(self.rows, row);
        let sink = ParquetSink::<Row>::new()
            .with_compression(self.codec)
            .with_group_rows(8192)
            .with_page_rows(1000)
            .with_bloom_filter(|c| (c.id, c.text), BloomFilter::default())
            .with_metadata("made by", "an example");
        if self.by_month {
            rows.write(sink.partitioned_by(|c| (c.year, c.month)), &self.output)
        } else if self.by_day {
            rows.write(sink.partitioned_by(|c| c.day), &self.output)
        } else {
            rows.write(sink.with_sort_order(|c| c.id), &self.output)
        }
    }
}

fn main() -> ExitCode {
    windrow::main(jobs![Kinds])
}
