//! What chaos is told.

use super::AnyError;
use std::path::PathBuf;

/// What to do.
#[derive(Clone, Debug)]
pub struct Chaos {
    /// The program to break.
    pub windrow: PathBuf,
    /// The folder for inputs, clusters and outputs.
    pub scratch: PathBuf,
    /// The number of the first run.
    pub seed: u64,
    /// How many there are.
    pub runs: u64,
    /// No run begins after so long.
    pub minutes: Option<u64>,
    /// The file to which a line about the runs is added.
    pub ledger: Option<PathBuf>,
    /// What the line says of the code.
    pub commit: String,
    /// No faults but those whose names begin like this.
    pub only: String,
    /// Rather than single runs: many small jobs on one cluster.
    pub day: Option<Day>,
}

/// Many small jobs on one cluster.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    /// How many.
    pub jobs: u64,
    /// How many at a time.
    pub clients: usize,
    /// The time between faults, on average, in milliseconds; 0 for none.
    pub fault_ms: usize,
}

impl Chaos {
    /// How it is called.
    pub const USAGE: &str = "chaos --windrow BINARY --scratch FOLDER [--runs 20] [--seed 1] [--minutes N] [--only KIND] [--ledger FILE --commit COMMIT]\n       chaos --windrow BINARY --scratch FOLDER --jobs 2000 [--clients 8] [--fault-ms 2000] [--seed 1]";

    /// Reads the flags.
    ///
    /// # Errors
    /// Which of them is wrong or missing.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Chaos, AnyError> {
        let (mut windrow, mut scratch, mut minutes, mut ledger) = (None, None, None, None);
        let (mut seed, mut runs, mut commit, mut only) = (1, 20, String::new(), String::new());
        let (mut jobs, mut clients, mut fault_ms) = (None, 8, 2_000);
        let mut words = words.into_iter();
        while let Some(flag) = words.next() {
            let value = words.next().ok_or_else(|| format!("{flag} has no value"))?;
            let number =
                || value.parse::<u64>().map_err(|error| format!("{flag} {value}: {error}"));
            match flag.as_str() {
                "--windrow" => windrow = Some(std::fs::canonicalize(&value)?),
                "--scratch" => scratch = Some(std::path::absolute(&value)?),
                "--seed" => seed = number()?,
                "--runs" => runs = number()?,
                "--minutes" => minutes = Some(number()?),
                "--ledger" => ledger = Some(PathBuf::from(value)),
                "--commit" => commit = value,
                "--only" => only = value,
                "--jobs" => jobs = Some(number()?),
                "--clients" => clients = number()? as usize,
                "--fault-ms" => fault_ms = number()? as usize,
                _ => return Err(format!("{flag} is not known").into()),
            }
        }
        let windrow = windrow.ok_or("--windrow is missing")?;
        let scratch = scratch.ok_or("--scratch is missing")?;
        let day = jobs.map(|jobs| Day { jobs, clients, fault_ms });
        Ok(Chaos { windrow, scratch, seed, runs, minutes, ledger, commit, only, day })
    }
}
