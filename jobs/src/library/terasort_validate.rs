//! Whether the output of a sort is one.

use crate::{Flow, Job, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use windrow_datasets::Record;
use windrow_datasets::location::Location;

/// Checks that records of 100 bytes are in the order of their first 10 bytes, within files and from one file to the
/// next in the order of their names. Counts `records`, and the sum of their CRC-32s as `checksum`: of the same records in
/// another order both are the same.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct TerasortValidate {
    /// Files of records of 100 bytes, as `terasort` writes them
    #[arg(long, required = true, num_args = 1.., value_name = "LOCATION")]
    pub input: Vec<Location>,
    /// Fails unless there are so many records
    #[arg(long)]
    pub records: Option<u64>,
    /// Fails unless this is the sum of their checksums
    #[arg(long)]
    pub checksum: Option<u64>,
    /// Counts only, whatever the order: for the input of a sort
    #[arg(long)]
    pub unsorted: bool,
}

/// Records that follow one another.
#[derive(Clone, Record)]
#[record(crate = "windrow_datasets")]
struct Run {
    records: u64,
    checksum: u64,
    /// The keys of the first and the last record, if there are any.
    first: [u8; 10],
    last: [u8; 10],
}

impl Run {
    const NONE: Run = Run { records: 0, checksum: 0, first: [0; 10], last: [0; 10] };

    fn join(&mut self, next: Run, sorted: bool) {
        let both = self.records > 0 && next.records > 0;
        assert!(
            !(sorted && both && next.first < self.last),
            "not sorted: key {} comes behind {}, which is greater",
            next.first.escape_ascii(),
            self.last.escape_ascii()
        );
        let first = if self.records > 0 { self.first } else { next.first };
        let last = if next.records > 0 { next.last } else { self.last };
        let checksum = self.checksum.wrapping_add(next.checksum);
        *self = Run { records: self.records + next.records, checksum, first, last };
    }
}

impl Job for TerasortValidate {
    const NAME: &str = "terasort-validate";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let (sorted, records, checksum) = (!self.unsorted, self.records, self.checksum);
        let (counted, summed) = (flow.counter("records"), flow.counter("checksum"));
        flow.read_fixed::<100>(&self.input)
            .fold(
                || Run::NONE,
                move |run, record| {
                    let key = *record.first_chunk().expect("a record is longer than its key");
                    let checksum = u64::from(crc32fast::hash(record));
                    run.join(Run { records: 1, checksum, first: key, last: key }, sorted);
                },
                move |run, next| run.join(next, sorted),
            )
            .map(move |run| {
                let same = records.is_none_or(|records| records == run.records);
                assert!(same, "{} records, not {}", run.records, records.unwrap_or_default());
                let same = checksum.is_none_or(|checksum| checksum == run.checksum);
                let expected = checksum.unwrap_or_default();
                assert!(same, "the checksum is {}, not {expected}", run.checksum);
                counted.add(run.records);
                summed.add(run.checksum);
                (run.records, run.checksum)
            })
            .collect("validated")
    }
}
