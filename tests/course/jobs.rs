//! Jobs whose closures tell what they do, wait for one another, and do harm.

use clap::ValueEnum;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use windrow::prelude::*;
use windrow::push::{Push, Selection};
use windrow::record::mix;
use windrow::source::{Source, SourceDescription, SourceError, Split};
use windrow::storage::Storage;
use windrow::{Builder, JobEntry};

/// All jobs of this program.
pub(crate) fn all() -> Vec<JobEntry> {
    let mut jobs = windrow::library();
    jobs.extend(jobs![Course, Words, EachLine, Sales, Totals, Days]);
    jobs
}

/// What a closure does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Notes that it was called.
    Note,
    /// Waits for another process that does the same at the same time.
    Meet,
    /// Is slow.
    Sleep,
    /// Is slow in the last task.
    SleepInTheLast,
    /// In task 0, waits for the end of all others; these end, each once, the process that runs task 0.
    Drag,
    /// Once in three attempts, ends its process or is slow.
    Crash,
    /// Logs.
    Log,
    /// Logs, and panics.
    Panic,
    /// Never comes back.
    Loop,
    /// Takes memory until there is no more.
    Eat,
    /// Ends its process.
    Abort,
    /// Calls itself until there is no stack left.
    Overflow,
}

/// A task of the job `course`.
#[derive(Clone, Copy)]
struct Task {
    kind: &'static str,
    number: u64,
    /// The number of the last one of its kind.
    last: u64,
}

/// Where closures write what they do, a line each: `map 3 process 17 begins`.
#[derive(Clone)]
struct Log {
    path: PathBuf,
    /// How long what is slow takes, and how long is waited for others.
    pause: Duration,
    seed: u64,
}

impl Log {
    fn note(&self, task: Task, what: &str) {
        let line = format!("{} {} process {} {what}\n", task.kind, task.number, std::process::id());
        let file = OpenOptions::new().append(true).create(true).open(&self.path);
        // One call, so that lines of several processes do not mix.
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the log can be written");
    }

    /// The lines of all tasks of a kind.
    fn of_kind(&self, kind: &str) -> Vec<String> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(kind)).map(str::to_string).collect()
    }

    fn act(&self, act: Act, task: Task) {
        self.note(task, "begins");
        match act {
            Act::Meet => self.meet(task),
            Act::Sleep => std::thread::sleep(self.pause),
            Act::SleepInTheLast if task.number == task.last => std::thread::sleep(self.pause),
            Act::Drag => self.drag(task),
            Act::Crash => self.crash(task),
            _ => harm(act),
        }
        self.note(task, "ends");
    }

    /// Waits until another process has begun a task of this kind: as long as this one runs, both do.
    fn meet(&self, task: Task) {
        let own = format!(" process {} ", std::process::id());
        let begun = Instant::now();
        let met = || self.of_kind(task.kind).iter().any(|line| !line.contains(&own));
        while !met() {
            if begun.elapsed() > self.pause {
                return self.note(task, "met nobody");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.note(task, "met another");
    }

    fn drag(&self, task: Task) {
        let begun = Instant::now();
        let wait = |for_what: &dyn Fn(&[String]) -> bool| {
            while !for_what(&self.of_kind(task.kind)) && begun.elapsed() < self.pause {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        if task.number == 0 {
            let ended = |line: &&String| line.ends_with(" ends");
            return wait(&|lines| lines.iter().filter(ended).count() as u64 == task.last);
        }
        let own = format!("{} {} ", task.kind, task.number);
        if !self.of_kind(&own).iter().any(|line| line.ends_with(" exits")) {
            let together = format!("{} 0 process {} begins", task.kind, std::process::id());
            wait(&|lines| lines.contains(&together));
            self.note(task, "exits");
            std::process::exit(7);
        }
    }

    /// What happens depends on the task, and on how often it was begun.
    fn crash(&self, task: Task) {
        let begins = format!("{} {} ", task.kind, task.number);
        let begun = self.of_kind(&begins).iter().filter(|line| line.ends_with(" begins")).count();
        let kind = u64::from(task.kind == "map");
        match mix(mix(task.number * 2 + kind, self.seed), begun as u64) % 6 {
            0 => {
                self.note(task, "exits");
                std::process::exit(7);
            }
            1 => {
                self.note(task, "sleeps");
                std::thread::sleep(self.pause);
            }
            _ => {}
        }
    }
}

fn harm(act: Act) {
    match act {
        Act::Panic => {
            tracing::warn!("too much");
            panic!("this line is too much")
        }
        Act::Loop => loop {
            std::hint::spin_loop();
        },
        Act::Log => tracing::info!(count = 3, "seen"),
        Act::Abort => std::process::abort(),
        Act::Overflow => {
            fn deeper(at: u64) -> u64 {
                let room = std::hint::black_box([at; 512]);
                if at == u64::MAX { 0 } else { deeper(at + 1) + room[at as usize % 512] }
            }
            std::hint::black_box(deeper(0));
        }
        Act::Eat => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(vec![1u8; 16 << 20]);
                std::hint::black_box(&eaten);
            }
        }
        _ => {}
    }
}

/// Map tasks of one record each, and reduce tasks that get one of each of these.
#[derive(Args, Serialize, Deserialize)]
struct Course {
    /// Map tasks
    #[arg(long, default_value_t = 8)]
    maps: u32,
    /// Reduce tasks
    #[arg(long, default_value_t = 4)]
    reduces: u32,
    /// What each map task does
    #[arg(long, value_enum, default_value_t = Act::Note)]
    map: Act,
    /// What each reduce task does
    #[arg(long, value_enum, default_value_t = Act::Note)]
    reduce: Act,
    /// How long is slow
    #[arg(long, default_value_t = 0)]
    ms: u64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where closures write what they do
    #[arg(long)]
    log: PathBuf,
    #[arg(long)]
    output: Location,
}

impl Job for Course {
    const NAME: &str = "course";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let (map, reduce) = (self.map, self.reduce);
        let (maps, reduces) = (u64::from(self.maps), u64::from(self.reduces));
        let log =
            Log { path: self.log.clone(), pause: Duration::from_millis(self.ms), seed: self.seed };
        let of_map = log.clone();
        flow.read(Numbers(self.maps))
            .flat_map(move |number| {
                of_map.act(map, Task { kind: "map", number, last: maps - 1 });
                (0..reduces).map(move |reduce| (number, reduce)).collect::<Vec<_>>()
            })
            // The record of this number in a lane goes to the partition of this number.
            .repartition(self.reduces)
            .map(move |(of, number)| {
                if of == 0 {
                    log.act(reduce, Task { kind: "reduce", number, last: reduces - 1 });
                }
                (number, of, mix(number, of))
            })
            .write_text(&self.output)
    }
}

/// Numbers from 0 on, each in a split of its own that is so large, as it says, that it is a task of its own.
struct Numbers(u32);

impl Source for Numbers {
    type Item = u64;

    fn describe(&self) -> SourceDescription {
        SourceDescription { format: "numbers".to_string(), locations: Vec::new(), columns: None }
    }

    fn split(
        &self,
        _: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        (0..u64::from(self.0)).try_for_each(|number| {
            out(Split {
                payload: number.to_le_bytes().to_vec(),
                bytes: 64 << 20,
                lanes: 1,
                hosts: Vec::new(),
            })
        })
    }

    fn read(
        &self,
        _: &Storage,
        split: &Split,
        _: u32,
        out: &mut dyn Push<u64>,
    ) -> Result<(), SourceError> {
        let mut builder = <u64 as Record>::Builder::default();
        builder.push(u64::from_le_bytes(split.payload[..].try_into().unwrap()));
        out.batch(&builder.finish(), Selection::All)?;
        Ok(())
    }
}

/// A word count by closures.
#[derive(Args, Serialize, Deserialize)]
struct Words {
    #[arg(long)]
    input: Location,
    #[arg(long)]
    output: Location,
}

impl Job for Words {
    const NAME: &str = "words";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let words = |line: &str| -> Vec<(String, u64)> {
            line.split(' ').filter(|w| !w.is_empty()).map(|w| (w.to_string(), 1)).collect()
        };
        flow.read_lines(&self.input)
            .flat_map(words)
            .group_by_key()
            .map(|word, counts| (word.to_string(), counts.sum::<u64>()))
            .write_text(&self.output)
    }
}

/// Copies lines, and does something at one of them.
#[derive(Args, Serialize, Deserialize)]
struct EachLine {
    #[arg(long)]
    input: Location,
    #[arg(long)]
    output: Location,
    /// The line
    #[arg(long)]
    at: String,
    /// What is done there
    #[arg(long, value_enum)]
    act: Act,
    /// Made before that, if it is not there: then, and only then, something is done
    #[arg(long)]
    once: Option<PathBuf>,
    /// Lines are copied where this label is, and counted anywhere
    #[arg(long)]
    label: Option<String>,
}

impl Job for EachLine {
    const NAME: &str = "each-line";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let (at, act, once) = (self.at.clone(), self.act, self.once.clone());
        let new = |path: &Path| OpenOptions::new().write(true).create_new(true).open(path).is_ok();
        let copied = flow.read_lines(&self.input).map(move |line| {
            if line == at && once.as_deref().is_none_or(new) {
                harm(act);
            }
            line.to_string()
        });
        match &self.label {
            Some(label) => {
                let counted = copied.needs_label(label).count_by_value();
                counted.map(|(line, count)| format!("{line} {count}")).write_text(&self.output)
            }
            None => copied.write_text(&self.output),
        }
    }
}

/// A sale.
#[derive(Record)]
struct Sale {
    shop: u32,
    day: u32,
    item: String,
    price: u64,
}

/// Makes sales, by day, as Parquet.
#[derive(Args, Serialize, Deserialize)]
struct Sales {
    #[arg(long)]
    output: Location,
    #[arg(long)]
    records: u64,
}

impl Job for Sales {
    const NAME: &str = "sales";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let records = self.records;
        flow.generate(records, move |n| Sale {
            shop: (mix(n, 1) % 500) as u32,
            day: (n * 100 / records) as u32,
            item: format!("item {}", mix(n, 2) % 5000),
            price: mix(n, 3) % 10_000,
        })
        .repartition(40)
        .write_parquet(&self.output)
    }
}

/// What was sold in the last days, by shop and item, in order.
#[derive(Args, Serialize, Deserialize)]
struct Totals {
    #[arg(long)]
    input: Location,
    #[arg(long)]
    output: Location,
}

impl Job for Totals {
    const NAME: &str = "totals";

    fn plan(&self, flow: &Flow) -> Result<()> {
        flow.read_parquet::<Sale>(&self.input)
            .filter_by(|c| c.day.ge(40).and(c.price.gt(100)))
            .aggregate_by(|c| (c.shop, c.item), |c| (c.price.sum(), c.count()))
            .sort_by_key()
            .write_parquet(&self.output)
    }
}

/// Something of a day, which is in a folder of that day.
#[derive(Record)]
struct OfDay {
    day: u32,
    number: u64,
    text: String,
}

/// Writes something of each of some days.
#[derive(Args, Serialize, Deserialize)]
struct Days {
    #[arg(long)]
    from: u32,
    #[arg(long)]
    until: u32,
    #[arg(long)]
    text: String,
    #[arg(long)]
    output: Location,
}

impl Job for Days {
    const NAME: &str = "days";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let (from, text) = (self.from, self.text.clone());
        flow.generate(u64::from(self.until - from) * 50, move |number| OfDay {
            day: from + number as u32 / 50,
            number,
            text: text.clone(),
        })
        .write_parquet_by(|c| c.day, &self.output)
    }
}
