//! What is in the columns of files.

use super::files::{ReadFlags, selected};
use super::sketch::{ColumnSketch, Fact};
use crate::exec::Emitter;
use crate::{Flow, Job, Outcome, Result};
use arrow::datatypes::Fields;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::panic::Location as CodePlace;
use windrow_datasets::Record;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::record::{Encoded, Row};

/// Shows for each column of files of any format: how many values are null and how many different ones there are, about, the
/// smallest and the greatest, the mean of numbers, and those that are most often there.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// What is read.
    #[command(flatten)]
    pub read: ReadFlags,
    /// How it is shown
    #[arg(long, value_enum, default_value_t)]
    pub format: ProfileFormat,
    /// So many of the values that are most often there
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub top: u32,
}

/// How a profile is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum ProfileFormat {
    /// A table
    #[default]
    Table,
    /// JSON
    Json,
}

/// What is known of the rows so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Sketch {
    rows: u64,
    columns: Vec<ColumnSketch>,
}

impl Sketch {
    fn merge(&mut self, other: Sketch) {
        if self.columns.is_empty() {
            self.columns = other.columns;
        } else {
            self.columns.iter_mut().zip(other.columns).for_each(|(a, b)| a.merge(b));
        }
        self.rows += other.rows;
    }
}

/// A profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profiled {
    /// How many rows there are.
    pub rows: u64,
    /// The columns, in their order.
    pub columns: Vec<Fact>,
}

/// The receiver of a lane.
struct Profiling {
    sketch: Sketch,
    fields: Fields,
    out: Emitter<Encoded<Sketch>>,
}

impl Push<Row> for Profiling {
    fn batch(
        &mut self,
        batch: &<Row as Record>::Batch,
        selection: Selection<'_>,
    ) -> std::result::Result<Demand, PushError> {
        let rows = selected(batch, selection)?;
        if self.sketch.columns.is_empty() {
            self.fields = rows.schema_ref().fields().clone();
            self.sketch.columns = self.fields.iter().map(|f| ColumnSketch::new(f)).collect();
        }
        self.sketch.rows += rows.num_rows() as u64;
        for (sketch, column) in self.sketch.columns.iter_mut().zip(rows.columns()) {
            sketch.add(column)?;
        }
        Ok(Demand::More)
    }

    fn finish(&mut self) -> std::result::Result<(), PushError> {
        let sketch = Encoded(std::mem::take(&mut self.sketch));
        self.out.push(sketch.view())?;
        self.out.finish().map(|_| ())
    }
}

impl Job for Profile {
    const NAME: &str = "profile";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let top = self.top as usize;
        let lanes = self.read.rows(flow)?.narrow::<Encoded<Sketch>>(
            "profile",
            CodePlace::caller(),
            Vec::new(),
            |_, out| {
                let (sketch, fields) = (Sketch::default(), Fields::empty());
                AnyPush::new::<Row>(Box::new(Profiling { sketch, fields, out: Emitter::new(out) }))
            },
        );
        lanes
            .fold(
                || Encoded(Sketch::default()),
                |all, lane| {
                    if let Ok(lane) = lane.decode() {
                        all.0.merge(lane);
                    }
                },
                |all, other| all.0.merge(other.0),
            )
            .map(move |all| {
                let sketch = all.decode().unwrap_or_default();
                let columns = sketch.columns.iter().map(|column| column.fact(top)).collect();
                Encoded(Profiled { rows: sketch.rows, columns })
            })
            .collect("profile")
    }

    fn show(&self, outcome: &Outcome) -> Option<String> {
        let Encoded(profile) = outcome.rows::<Encoded<Profiled>>("profile").ok()?.pop()?;
        Some(match self.format {
            ProfileFormat::Json => format!("{}\n", serde_json::to_string(&profile).ok()?),
            ProfileFormat::Table => profile.table(),
        })
    }
}

impl Profiled {
    /// A table with a line for each column.
    fn table(&self) -> String {
        let head = ["column", "type", "nulls", "distinct", "min", "max", "mean", "most often"];
        let mut lines = vec![head.map(str::to_string).to_vec()];
        for fact in &self.columns {
            let about = if fact.distinct_is_exact { "" } else { "~" };
            let top = fact.top.iter().map(|(value, count)| format!("{} ({count})", cut(value, 20)));
            lines.push(vec![
                cut(&fact.column, 40),
                cut(&fact.kind, 24),
                fact.nulls.to_string(),
                fact.distinct.map_or("?".to_string(), |count| format!("{about}{count}")),
                fact.min.as_deref().map_or(String::new(), |value| cut(value, 24)),
                fact.max.as_deref().map_or(String::new(), |value| cut(value, 24)),
                fact.mean.map_or(String::new(), |mean| format!("{mean:.6}")),
                top.collect::<Vec<_>>().join(", "),
            ]);
        }
        let width =
            |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let mut text = format!("{} rows\n\n", self.rows);
        for line in &lines {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        text
    }
}

/// A text in one line, without what a terminal would obey, and no longer than so many characters.
fn cut(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for (count, letter) in text.chars().enumerate() {
        if count == most {
            shown.push('…');
            break;
        }
        if letter.is_control() { shown.extend(letter.escape_default()) } else { shown.push(letter) }
    }
    shown
}
