//! `generate`: input to try things on.

use super::{Failed, run};
use clap::{Args, Subcommand};
use std::path::Path;
use windrow_datasets::generate::{Edges, Generator, Measurements, Tera, Words};
use windrow_datasets::location::Location;
use windrow_jobs::Job;
use windrow_jobs::library::GenerateTpch;

/// Makes input to try things on
#[derive(Args)]
pub(crate) struct Generate {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    /// Records of 100 bytes with a key of 10, as gensort writes them
    Tera {
        /// How many records: 20M, 500K
        #[arg(long, value_parser = super::quantity::count)]
        records: u64,
        #[command(flatten)]
        target: Target,
    },
    /// Lines `station;temperature`
    Measurements {
        /// How many lines: 20M, 500K
        #[arg(long, value_parser = super::quantity::count)]
        records: u64,
        #[command(flatten)]
        target: Target,
    },
    /// Lines `from<TAB>to`: a graph, some of whose nodes have many edges
    Graph {
        /// How many edges: 50M, 500K
        #[arg(long, value_parser = super::quantity::count)]
        edges: u64,
        /// How many nodes; a tenth of the edges, if it is not said
        #[arg(long, value_parser = super::quantity::count)]
        nodes: Option<u64>,
        #[command(flatten)]
        target: Target,
    },
    /// Lines of words, frequent and rare ones as in a language
    Words {
        /// About how many bytes, with or without a unit: 1GB, 64MiB
        #[arg(long, value_parser = super::quantity::bytes)]
        bytes: u64,
        #[command(flatten)]
        target: Target,
    },
    /// The tables of TPC-H as Parquet, a folder a table, in any store; the same job is `run generate-tpch`
    Tpch {
        #[command(flatten)]
        job: GenerateTpch,
        #[command(flatten)]
        flags: Box<run::RunFlags>,
    },
}

#[derive(Args)]
struct Target {
    /// The folder to write to; it must not exist, or be empty
    #[arg(long, value_name = "LOCATION")]
    output: Location,
    /// Another number gives other input
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// About the size of a file, in bytes.
const FILE_BYTES: u64 = 128 << 20;

impl Generate {
    pub(crate) fn run(self) -> Result<(), Failed> {
        match self.kind {
            Kind::Tera { records, target } => {
                let step = FILE_BYTES / Tera::RECORD as u64;
                target.write(records, step, |part, records, seed| {
                    Box::new(Tera { records, seed: seed_of(seed, part) })
                })
            }
            Kind::Measurements { records, target } => {
                target.write(records, FILE_BYTES / 14, |part, records, seed| {
                    Box::new(Measurements { records, seed: seed_of(seed, part) })
                })
            }
            Kind::Graph { edges, nodes, target } => {
                let nodes = nodes.unwrap_or(edges / 10).max(1);
                target.write(edges, FILE_BYTES / 16, |part, edges, seed| {
                    Box::new(Edges { edges, nodes, seed: seed_of(seed, part) })
                })
            }
            Kind::Words { bytes, target } => {
                target.write(bytes, FILE_BYTES, |part, bytes, seed| {
                    Box::new(Words { bytes, seed: seed_of(seed, part) })
                })
            }
            Kind::Tpch { job, flags } => run::run_job(GenerateTpch::NAME, &job, &flags),
        }
    }
}

/// The seed of a file.
fn seed_of(seed: u64, part: u64) -> u64 {
    seed.wrapping_mul(1 << 20).wrapping_add(part)
}

impl Target {
    /// Writes files of `step` units each, `total` together.
    fn write(
        &self,
        total: u64,
        step: u64,
        make: impl Fn(u64, u64, u64) -> Box<dyn Generator>,
    ) -> Result<(), Failed> {
        let Some(folder) = self.output.as_path() else {
            let why = format!("{}: `generate` writes to local folders only", self.output);
            return Err(Failed::Because(why));
        };
        self.make(folder, total, step, make)
            .map_err(|(path, error)| Failed::Because(format!("{path}: {error}")))
    }

    fn make(
        &self,
        folder: &Path,
        total: u64,
        step: u64,
        make: impl Fn(u64, u64, u64) -> Box<dyn Generator>,
    ) -> Result<(), (String, std::io::Error)> {
        let named = |path: &Path| {
            let path = path.display().to_string();
            move |error| (path, error)
        };
        std::fs::create_dir_all(folder).map_err(named(folder))?;
        if std::fs::read_dir(folder).map_err(named(folder))?.next().is_some() {
            let error = std::io::Error::other("is not empty; write to another folder");
            return Err(named(folder)(error));
        }
        for part in 0..total.div_ceil(step).max(1) {
            let path = folder.join(format!("input-{part:05}"));
            let units = step.min(total - part * step);
            make(part, units, self.seed).write_file(&path).map_err(named(&path))?;
        }
        Ok(())
    }
}
