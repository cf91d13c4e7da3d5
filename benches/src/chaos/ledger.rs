//! What many runs have shown.

use super::faults::Kind;
use super::{AnyError, Chaos, Ran};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// The sums.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    passed: u64,
    failed: u64,
    /// Runs whose job failed as it should, since all disks were full.
    full: u64,
    /// Runs in which no fault had anything to break.
    quiet: u64,
    fired: BTreeMap<Kind, u64>,
    seconds: f64,
}

impl Ledger {
    /// A run gave the same bytes, or the error that it should.
    pub(super) fn passed(&mut self, ran: &Ran) {
        self.passed += 1;
        self.full += u64::from(ran.full);
        self.quiet += u64::from(ran.fired.is_empty());
        self.seconds += ran.seconds;
        for kind in &ran.fired {
            *self.fired.entry(*kind).or_default() += 1;
        }
    }

    /// A run did not.
    pub(super) fn failed(&mut self) {
        self.failed += 1;
    }

    /// How many did not.
    pub(super) fn failures(&self) -> u64 {
        self.failed
    }

    /// For people.
    pub(super) fn summary(&self) -> String {
        let mut text = format!(
            "{} runs gave the same bytes, {} the error that all disks are full; {} were without a fault; {} failed; {:.1} s a job",
            self.passed - self.full,
            self.full,
            self.quiet,
            self.failed,
            self.seconds / self.passed.max(1) as f64
        );
        for (kind, count) in &self.fired {
            let _ = write!(text, "\n  {kind:?}: {count}");
        }
        text
    }

    /// Adds a line of a table in Markdown: commit, runs, those with a fault, outcome, seconds.
    pub(super) fn append(
        &self,
        file: &Path,
        chaos: &Chaos,
        took: Duration,
    ) -> Result<(), AnyError> {
        let mut file = OpenOptions::new().create(true).append(true).open(file)?;
        let faults: u64 = self.fired.values().sum();
        let ran = self.passed + self.failed;
        let range = format!("{} to {}", chaos.seed, chaos.seed + ran.saturating_sub(1));
        let (commit, passed, failed, seconds) =
            (&chaos.commit, self.passed - self.quiet, self.failed, took.as_secs());
        writeln!(
            file,
            "| {commit} | chaos | {range} | {passed} | {faults} | {failed} | {seconds} |"
        )?;
        Ok(())
    }
}
