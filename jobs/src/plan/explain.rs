//! A plan as text, for `--explain`: a tree of stages, their operators, the columns read, the splits.

use super::{Output, Plan, Root};
use std::fmt::{self, Display, Formatter};
use windrow_datasets::scan::Scan;

/// A plan, to be displayed.
pub struct Explained<'p> {
    plan: &'p Plan,
    /// For each stage that lists a source: splits, lanes, logical bytes.
    splits: Vec<(usize, Splits)>,
}

/// What a source was cut into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Splits {
    /// How many splits.
    pub splits: u64,
    /// How many lanes in all.
    pub lanes: u64,
    /// Logical bytes in all.
    pub bytes: u64,
    /// What was left out.
    pub scan: Scan,
}

impl Plan {
    /// The plan as a tree; `splits` as far as sources were listed.
    pub fn explain(&self, splits: Vec<(usize, Splits)>) -> Explained<'_> {
        Explained { plan: self, splits }
    }
}

impl Display for Explained<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "job {}", self.plan.name)?;
        for (number, stage) in self.plan.stages.iter().enumerate() {
            let sample = if stage.sample { " (a sample)" } else { "" };
            writeln!(f, "stage {number}{sample}: {}", stage.name)?;
            match &stage.root {
                Root::Source { listed_by } => self.source(f, number, *listed_by)?,
                Root::Shuffles(shuffles) => {
                    for shuffle in shuffles {
                        let producers = &self.plan.shuffle_producers[*shuffle as usize];
                        let from: Vec<String> =
                            producers.iter().map(|stage| format!("stage {stage}")).collect();
                        let or_not = match self.plan.probe(*shuffle) {
                            Some(_) => ", or looks its rows up as they come",
                            None => "",
                        };
                        writeln!(f, "  reads shuffle {shuffle} of {}{or_not}", from.join(", "))?;
                    }
                }
            }
            for detail in &stage.details {
                writeln!(f, "  {detail}")?;
            }
            for collect in &stage.whole_inputs {
                writeln!(f, "  reads collected {collect} whole")?;
            }
            for output in &stage.outputs {
                match output {
                    Output::Shuffle(shuffle) => {
                        let partitions = match self.plan.shuffle(*shuffle).partitions {
                            Some(partitions) => format!("{partitions} partitions"),
                            None => "partitions by the size of the input".to_string(),
                        };
                        writeln!(f, "  writes shuffle {shuffle}, {partitions}")?;
                    }
                    Output::Sink(sink) => {
                        let sink = self.plan.sink(*sink);
                        writeln!(f, "  writes {} to {}", sink.code.format(), sink.location)?;
                    }
                    Output::Collect(collect) => match self.plan.collect(*collect).name {
                        "" => writeln!(f, "  collects {collect}")?,
                        name => writeln!(f, "  collects `{name}`")?,
                    },
                }
            }
        }
        Ok(())
    }
}

impl Explained<'_> {
    fn source(&self, f: &mut Formatter<'_>, stage: usize, listed_by: usize) -> fmt::Result {
        let Some(source) = self.plan.source(stage) else { return Ok(()) };
        let described = source.describe();
        let locations = match described.locations.len() {
            0 => String::new(),
            1..=4 => format!(" from {}", described.locations.join(", ")),
            many => format!(" from {} and {} more", described.locations[..3].join(", "), many - 3),
        };
        writeln!(f, "  reads {}{locations}", described.format)?;
        if let Some(columns) = described.columns {
            writeln!(f, "    columns {}", columns.join(", "))?;
        }
        if let Some((_, s)) = self.splits.iter().find(|(stage, _)| *stage == listed_by) {
            writeln!(f, "    {} splits, {} lanes, {} bytes", s.splits, s.lanes, s.bytes)?;
            for line in s.scan.listed() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}
