//! `inspect`: what lies at a location.

use super::quantity::human;
use super::stores::StoreFlags;
use super::{Failed, number_of};
use arrow::datatypes::Field;
use clap::Args;
use windrow_datasets::commit::{Leftover, Manifest, State, leftovers, sweep};
use windrow_datasets::inspect::{
    Bound, ColumnFacts, Content, Inspection, ParquetFacts, RowsFacts, inspect,
};
use windrow_datasets::location::Location;
use windrow_datasets::storage::{Storage, StorageError};

/// The longest value that is shown in a table, and the longest line, in characters.
const CELL: usize = 40;
const LINE: usize = 200;

/// `windrow inspect`.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// A file, a folder, a pattern or the output of a job
    #[arg(value_name = "LOCATION")]
    location: Location,
    /// Print only the struct that reads the columns of the files
    #[arg(long)]
    rust: bool,
    /// So many of the first rows or lines
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=10_000))]
    rows: u32,
    /// Remove what killed jobs have left in an output: of those that are certainly dead, or of this one
    #[arg(long, value_name = "JOB", num_args = 0..=1, require_equals = true)]
    sweep: Option<Option<String>>,
    #[command(flatten)]
    stores: StoreFlags,
}

impl Inspect {
    pub(super) fn run(self) -> Result<(), Failed> {
        let storage = Storage::with_options(self.stores.options()?);
        if let Some(job) = &self.sweep {
            return self.sweep(&storage, job.as_deref());
        }
        let rows = if self.rust { 0 } else { self.rows as usize };
        let found = inspect(&storage, &self.location, rows);
        if !self.rust && !self.location.is_pattern() {
            match leftovers(&storage, &self.location) {
                Ok(left) => {
                    super::print(&left.iter().map(|left| self.left(left)).collect::<String>())?;
                }
                Err(error) if found.as_ref().is_ok_and(|found| found.manifest.is_some()) => {
                    super::print(&format!("what killed jobs have left cannot be told: {error}\n"))?;
                }
                // It is no output.
                Err(_) => {}
            }
        }
        let found = found.map_err(|error| Failed::Because(error.to_string()))?;
        if !self.rust {
            return super::print(&shown(&found));
        }
        let failed = |why: &str| Failed::Because(format!("{}: {why}", self.location));
        match &found.content {
            Content::Parquet(facts) => super::print(&facts.rust().map_err(|why| failed(&why))?),
            Content::Rows(facts) => super::print(&facts.rust().map_err(|why| failed(&why))?),
            _ => Err(failed("has no columns; --rust needs some")),
        }
    }
}

impl Inspect {
    /// Sweeps what jobs have left: this one, or all that are dead.
    fn sweep(&self, storage: &Storage, job: Option<&str>) -> Result<(), Failed> {
        let because = |error: StorageError| Failed::Because(error.to_string());
        let left = leftovers(storage, &self.location).map_err(because)?;
        let chosen = |left: &&Leftover| match job {
            Some(job) => left.job == job,
            None => left.state == State::Dead,
        };
        let chosen: Vec<&Leftover> = left.iter().filter(chosen).collect();
        if let (Some(job), true) = (job, chosen.is_empty()) {
            let why = format!("{}: job {job} has left nothing there", self.location);
            return Err(Failed::Because(why));
        }
        if let Some(running) = chosen.iter().find(|left| left.state == State::Running) {
            let why = format!("{}: job {} still runs; stop it first", self.location, running.job);
            return Err(Failed::Because(why));
        }
        for left in chosen {
            sweep(storage, &self.location, &left.job).map_err(because)?;
            super::print(&format!("swept: job {}, {}\n", left.job, number_of(left.files, "file")))?;
        }
        Ok(())
    }

    fn left(&self, left: &Leftover) -> String {
        let Leftover { job, files, state, .. } = left;
        let files = number_of(*files, "staged file");
        let then = match state {
            State::Running => return format!("job {job} is writing: {files}\n"),
            State::Dead => "it is dead; the next job removes it, or --sweep".to_string(),
            State::Unknown => {
                format!("it may still run on a cluster; if it does not: --sweep={job}")
            }
        };
        format!("left by job {job}: {files}; {then}\n")
    }
}

fn shown(found: &Inspection) -> String {
    let mut text = found.manifest.as_ref().map(output).unwrap_or_default();
    let size = format!("{}, {}", number_of(found.files, "file"), human(found.bytes));
    match &found.content {
        Content::Nothing => text += &format!("empty: {size}\n"),
        Content::Lines(lines) => {
            text += &format!("text: {size}\n");
            if !lines.is_empty() {
                text += "\n";
            }
            for line in lines {
                text += &format!("{}\n", cut(line, LINE));
            }
        }
        Content::Parquet(facts) => text += &parquet(facts, &size),
        Content::Rows(facts) => text += &rows(facts, &size),
    }
    text
}

/// The main facts of a manifest.
fn output(manifest: &Manifest) -> String {
    let mut text = format!(
        "output of job {} ({}): {}\n",
        manifest.job_name,
        manifest.job,
        number_of(manifest.rows, "row")
    );
    for (name, count) in &manifest.counters {
        text += &format!("  {name}: {count}\n");
    }
    text
}

fn parquet(facts: &ParquetFacts, size: &str) -> String {
    let (groups, rows) = (number_of(facts.groups, "row group"), number_of(facts.rows, "row"));
    let by = facts.created_by.as_ref().map(|by| format!(", written by {by}")).unwrap_or_default();
    let mut text = format!("parquet: {size}, {groups}, {rows}{by}\n");
    const OTHERS: usize = 10;
    for (file, why) in facts.others.iter().take(OTHERS) {
        text += &format!("another schema: {file}: {why}\n");
    }
    if facts.others.len() > OTHERS {
        text += &format!("another schema: {} files more\n", facts.others.len() - OTHERS);
    }
    let head = ["column", "type", "size", "nulls", "min", "max"].map(str::to_string).to_vec();
    let columns = facts.columns.iter().map(column);
    text += "\n";
    text += &table(std::iter::once(head).chain(columns).collect());
    if !facts.first.is_empty() {
        let names = facts.schema.fields().iter().map(|field| cut(field.name(), CELL)).collect();
        let rows = facts.first.iter().map(|row| row.iter().map(|cell| cut(cell, CELL)).collect());
        text += "\n";
        text += &table(std::iter::once(names).chain(rows).collect());
    }
    text
}

fn rows(facts: &RowsFacts, size: &str) -> String {
    let mut text = format!("{}: {size}\n\n", facts.format);
    let head = ["column", "type", "nulls"].map(str::to_string).to_vec();
    let column = |field: &std::sync::Arc<Field>| {
        let nulls = if field.is_nullable() { "may be" } else { "none" };
        vec![cut(field.name(), CELL), cut(&field.data_type().to_string(), CELL), nulls.to_string()]
    };
    text += &table(std::iter::once(head).chain(facts.fields.iter().map(column)).collect());
    if !facts.first.is_empty() {
        let names = facts.fields.iter().map(|field| cut(field.name(), CELL)).collect();
        let rows = facts.first.iter().map(|row| row.iter().map(|cell| cut(cell, CELL)).collect());
        text += "\n";
        text += &table(std::iter::once(names).chain(rows).collect());
    }
    text
}

/// A line of the table of columns.
fn column(facts: &ColumnFacts) -> Vec<String> {
    let ColumnFacts { name, kind, bytes, nulls, min, max } = facts;
    let nulls = nulls.map_or_else(|| "?".to_string(), |nulls| nulls.to_string());
    // That a value is no row's, but all rows are within it, is what the sign says.
    let bound = |bound: &Option<Bound>, sign: &str| match bound {
        Some(Bound { value, exact }) => {
            format!("{}{}", if *exact { "" } else { sign }, cut(value, CELL))
        }
        None => "?".to_string(),
    };
    let (min, max) = (bound(min, "≥ "), bound(max, "≤ "));
    vec![cut(name, CELL), cut(kind, CELL), human(*bytes), nulls, min, max]
}

/// Rows of cells, the columns one below the other.
fn table(rows: Vec<Vec<String>>) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// A text in one line, without what a terminal would obey, and no longer than so many characters.
fn cut(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for (count, letter) in text.chars().enumerate() {
        if count == most {
            shown.push('…');
            break;
        }
        if letter.is_control() && letter != '\t' {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}
