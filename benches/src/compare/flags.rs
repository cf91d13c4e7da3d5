//! What a comparison is asked to do.

use crate::limits::tpch;
use std::path::PathBuf;

/// A workload with a limit program and a ready job of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Words of text and how often they come.
    Wordcount,
    /// Records of 100 bytes by the order of their first 10.
    Terasort,
    /// Lines `station;temperature` by station.
    Measurements,
    /// An aggregation over a table of TPC-H.
    Tpch(tpch::Work),
}

impl Work {
    /// The job's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wordcount => "wordcount",
            Self::Terasort => "terasort",
            Self::Measurements => "measurements",
            Self::Tpch(work) => work.name(),
        }
    }
}

impl Work {
    fn all() -> impl Iterator<Item = Self> {
        let tpch = tpch::Work::ALL.map(Self::Tpch);
        [Self::Wordcount, Self::Terasort, Self::Measurements].into_iter().chain(tpch)
    }

    fn of(name: &str) -> Result<Self, String> {
        Self::all().find(|work| work.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::all().map(Self::name).collect();
            format!("--work {name} is none of {}", known.join(", "))
        })
    }
}

/// The flags of `compare`.
#[derive(Clone, Debug, PartialEq)]
pub struct Compare {
    /// What to compare: word count and terasort if not said.
    pub works: Vec<Work>,
    /// The `windrow` binary; without it the limit program runs twice, which shows the noise.
    pub windrow: Option<PathBuf>,
    /// The binary of `examples/tpch`; without it the limit program runs twice, if the tables are there.
    pub tpch: Option<PathBuf>,
    /// The scale of the tables.
    pub scale: f64,
    /// Where inputs are made, and kept for the next time.
    pub scratch: PathBuf,
    /// Where outputs are written, best in memory; the scratch folder if not said.
    pub output: PathBuf,
    /// Text to count instead of made words.
    pub text: Option<PathBuf>,
    /// The size of made words.
    pub bytes: u64,
    /// The number of records to sort, or of lines with measurements.
    pub records: u64,
    /// The threads of each program.
    pub threads: usize,
    /// Local workers over which the job runs as well, with as many threads together.
    pub workers: Option<usize>,
    /// How often each program runs.
    pub rounds: usize,
    /// The memory of each program, in bytes, where that is to be little.
    pub memory: Option<u64>,
}

impl Compare {
    /// How it is to be used.
    pub const USAGE: &str = "compare --scratch FOLDER [--windrow BINARY] [--tpch BINARY] \
        [--work wordcount|terasort|measurements|q1|q6|by-order|by-part|by-mode|by-priority]... \
        [--output FOLDER] [--text PATH] [--bytes 1GB] [--records 20M] [--scale 1] \
        [--threads 2] [--workers 2] [--rounds 5] [--memory 1GiB]";

    /// The flags that these words say.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut works = Vec::new();
        let (mut windrow, mut scratch, mut output, mut text) = (None, None, None, None);
        let (mut tpch, mut scale, mut memory, mut workers) = (None, 1.0, None, None);
        let (mut bytes, mut records, mut threads, mut rounds) = (1_000_000_000, 20_000_000, 2, 5);
        while let Some(flag) = words.next() {
            let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--work" => works.push(Work::of(&value)?),
                "--windrow" => windrow = Some(value.into()),
                "--tpch" => tpch = Some(value.into()),
                "--scale" => {
                    let number = value.parse().ok().filter(|scale: &f64| *scale > 0.0);
                    scale = number.ok_or_else(|| format!("--scale {value} is not above 0"))?;
                }
                "--scratch" => scratch = Some(PathBuf::from(value)),
                "--output" => output = Some(value.into()),
                "--text" => text = Some(value.into()),
                "--bytes" => bytes = number(&flag, &value)?,
                "--records" => records = number(&flag, &value)?,
                "--threads" => threads = number(&flag, &value)? as usize,
                "--workers" => workers = Some(number(&flag, &value)? as usize),
                "--memory" => memory = Some(number(&flag, &value)?),
                "--rounds" => rounds = number(&flag, &value)? as usize,
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        if let Some(workers) = workers.filter(|workers| threads % workers != 0) {
            return Err(format!(
                "--threads {threads} cannot be shared evenly by {workers} workers"
            ));
        }
        if works.is_empty() {
            works = vec![Work::Wordcount, Work::Terasort];
        }
        let scratch = scratch.ok_or("--scratch is missing")?;
        let output = output.unwrap_or_else(|| scratch.clone());
        Ok(Self {
            works,
            windrow,
            tpch,
            scale,
            scratch,
            output,
            text,
            bytes,
            records,
            threads,
            workers,
            rounds,
            memory,
        })
    }
}

/// A number of at least 1, with or without a unit.
fn number(flag: &str, value: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("K", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
    ];
    let (digits, times) = UNITS
        .iter()
        .find_map(|(unit, times)| Some((value.strip_suffix(unit)?, *times)))
        .unwrap_or((value, 1));
    let number = digits.trim_end().parse::<u64>().ok().and_then(|number| number.checked_mul(times));
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("{flag} {value} is not a number of at least 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags() {
        let parse = |words: &str| Compare::parse(words.split(' ').map(String::from));
        let compare =
            parse("--scratch s --bytes 2GiB --work terasort --records 3M --windrow w").unwrap();
        assert_eq!(compare.works, [Work::Terasort]);
        assert_eq!((compare.bytes, compare.records), (2 << 30, 3_000_000));
        assert_eq!((&compare.output, compare.memory), (&compare.scratch, None));
        assert_eq!(parse("--scratch s --memory 1GiB").unwrap().memory, Some(1 << 30));
        assert_eq!(parse("--scratch s").unwrap().works.len(), 2);
        let compare = parse("--scratch s --work by-part --scale 0.5 --tpch t").unwrap();
        assert_eq!(compare.works, [Work::Tpch(tpch::Work::ByPart)]);
        assert_eq!((compare.scale, compare.tpch), (0.5, Some("t".into())));
        let compare = parse("--scratch s --threads 4 --workers 2").unwrap();
        assert_eq!((compare.threads, compare.workers), (4, Some(2)));
        for wrong in [
            "--bytes 1",
            "--scratch s --threads 3 --workers 2",
            "--scratch s --workers 0",
            "--scratch s --rounds 0",
            "--scratch s --work q",
            "--scratch s --scale 0",
            "--scratch s --bytes 1XB",
            "--x y",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
