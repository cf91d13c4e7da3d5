//! What a comparison is asked to do.

use super::workloads::Workload;
use std::path::PathBuf;

/// The flags of `compare`.
#[derive(Clone, Debug, PartialEq)]
pub struct Compare {
    /// What to compare: word count and terasort if not said.
    pub works: Vec<&'static Workload>,
    /// The `windrow` binary; without it the limit program runs twice, which shows the noise.
    pub windrow: Option<PathBuf>,
    /// The binary of `examples/tpch`; without it the limit program runs twice, if the tables are there.
    pub tpch: Option<PathBuf>,
    /// The program that runs other engines.
    pub peers: Option<PathBuf>,
    /// The engines that are compared: all that it has if none is said.
    pub engines: Vec<String>,
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
    /// The number of records to sort.
    pub records: u64,
    /// The number of lines with measurements, or with numbers.
    pub lines: u64,
    /// The number of a graph's edges.
    pub edges: u64,
    /// The number of points.
    pub points: u64,
    /// The threads of each program.
    pub threads: usize,
    /// Whether the limit program and the job run on one thread as well.
    pub one_thread: bool,
    /// Local workers over which the job runs as well, with as many threads together.
    pub workers: Option<usize>,
    /// How often each program runs.
    pub rounds: usize,
    /// The memory of each program, in bytes, where that is to be little.
    pub memory: Option<u64>,
    /// Where the tables go, and a chart.
    pub report: Option<Report>,
}

/// Where a comparison is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Markdown.
    pub table: PathBuf,
    /// The name of the part of it that is written anew, which is between `<!-- NAME -->` and `<!-- NAME, end -->`.
    pub part: String,
    /// SVG.
    pub chart: PathBuf,
}

impl Compare {
    /// How it is to be used.
    pub const USAGE: &str = "compare --scratch FOLDER [--windrow BINARY] [--tpch BINARY] \
        [--work limits|tpch|all|NAME]... [--peers PROGRAM] [--engine NAME]... \
        [--output FOLDER] [--text PATH] [--bytes 1GB] [--records 20M] [--lines 100M] [--edges 50M] \
        [--points 5M] [--scale 1] [--threads 2] [--one-thread yes|no] [--workers 2] [--rounds 5] \
        [--memory 1GiB] [--table FILE.md --part NAME --chart FILE.svg]";

    fn new(scratch: PathBuf) -> Self {
        Self {
            works: Vec::new(),
            windrow: None,
            tpch: None,
            peers: None,
            engines: Vec::new(),
            scale: 1.0,
            output: scratch.clone(),
            scratch,
            text: None,
            bytes: 1_000_000_000,
            records: 20_000_000,
            lines: 100_000_000,
            edges: 50_000_000,
            points: 5_000_000,
            threads: 2,
            one_thread: false,
            workers: None,
            rounds: 5,
            memory: None,
            report: None,
        }
    }

    /// The flags that these words say.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut said = Self::new(PathBuf::new());
        let (mut scratch, mut output) = (None, None);
        let (mut table, mut part, mut chart) = (None, None, None);
        while let Some(flag) = words.next() {
            let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--work" => said.works.extend(Workload::named(&value)?),
                "--windrow" => said.windrow = Some(value.into()),
                "--tpch" => said.tpch = Some(value.into()),
                "--peers" => said.peers = Some(value.into()),
                "--engine" => said.engines.push(value),
                "--scale" => {
                    let number = value.parse().ok().filter(|scale: &f64| *scale > 0.0);
                    said.scale = number.ok_or_else(|| format!("--scale {value} is not above 0"))?;
                }
                "--scratch" => scratch = Some(PathBuf::from(value)),
                "--output" => output = Some(value.into()),
                "--text" => said.text = Some(value.into()),
                "--bytes" => said.bytes = number(&flag, &value)?,
                "--records" => said.records = number(&flag, &value)?,
                "--lines" => said.lines = number(&flag, &value)?,
                "--edges" => said.edges = number(&flag, &value)?,
                "--points" => said.points = number(&flag, &value)?,
                "--threads" => said.threads = number(&flag, &value)? as usize,
                "--one-thread" => said.one_thread = yes(&flag, &value)?,
                "--workers" => said.workers = Some(number(&flag, &value)? as usize),
                "--memory" => said.memory = Some(number(&flag, &value)?),
                "--rounds" => said.rounds = number(&flag, &value)? as usize,
                "--table" => table = Some(value.into()),
                "--part" => part = Some(value),
                "--chart" => chart = Some(value.into()),
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        if let Some(workers) = said.workers.filter(|workers| !said.threads.is_multiple_of(*workers))
        {
            return Err(format!(
                "--threads {} cannot be shared evenly by {workers} workers",
                said.threads
            ));
        }
        if !said.engines.is_empty() && said.peers.is_none() {
            return Err("--engine needs --peers".into());
        }
        said.report = match (table, part, chart) {
            (Some(table), Some(part), Some(chart)) => Some(Report { table, part, chart }),
            (None, None, None) => None,
            _ => return Err("--table, --part and --chart need each other".into()),
        };
        if said.works.is_empty() {
            said.works = [Workload::named("wordcount")?, Workload::named("terasort")?].concat();
        }
        said.scratch = scratch.ok_or("--scratch is missing")?;
        said.output = output.unwrap_or_else(|| said.scratch.clone());
        Ok(said)
    }
}

fn yes(flag: &str, value: &str) -> Result<bool, String> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("{flag} {value} is neither yes nor no")),
    }
}

/// A number of at least 1, with or without a unit.
pub(crate) fn number(flag: &str, value: &str) -> Result<u64, String> {
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
        let names = |compare: &Compare| compare.works.iter().map(|w| w.name).collect::<Vec<_>>();
        let compare =
            parse("--scratch s --bytes 2GiB --work terasort --records 3M --windrow w").unwrap();
        assert_eq!(names(&compare), ["terasort"]);
        assert_eq!((compare.bytes, compare.records), (2 << 30, 3_000_000));
        assert_eq!((&compare.output, compare.memory), (&compare.scratch, None));
        assert_eq!(parse("--scratch s --memory 1GiB").unwrap().memory, Some(1 << 30));
        assert_eq!(names(&parse("--scratch s").unwrap()), ["wordcount", "terasort"]);
        let compare = parse("--scratch s --work by-part --scale 0.5 --tpch t").unwrap();
        assert_eq!(names(&compare), ["by-part"]);
        assert_eq!((compare.scale, compare.tpch), (0.5, Some("t".into())));
        let compare = parse("--scratch s --threads 4 --workers 2 --one-thread yes").unwrap();
        assert_eq!((compare.threads, compare.workers, compare.one_thread), (4, Some(2), true));
        let compare = parse("--scratch s --peers p --engine a --engine b").unwrap();
        assert_eq!(compare.engines, ["a", "b"]);
        let report =
            parse("--scratch s --table a.md --part p --chart b.svg").unwrap().report.unwrap();
        let Report { table, part, chart } = report;
        assert_eq!((table, part, chart), ("a.md".into(), "p".into(), "b.svg".into()));
        for wrong in [
            "--bytes 1",
            "--scratch s --threads 3 --workers 2",
            "--scratch s --workers 0",
            "--scratch s --rounds 0",
            "--scratch s --work q",
            "--scratch s --scale 0",
            "--scratch s --bytes 1XB",
            "--scratch s --one-thread maybe",
            "--scratch s --engine a",
            "--scratch s --table a.md",
            "--x y",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
