//! Compares `windrow run`, in one process and over local workers, with the limit programs and with other engines: one
//! command makes the input, runs them by turns, checks that they gave the same, and tells times, peak memory, and ratios.
//!
//! By turns, because machines are noisy: only what ran in the same minutes can be compared, and of that the median.

mod chart;
mod check;
mod flags;
mod growth;
mod inputs;
mod process;
mod programs;
mod report;
mod rounds;
mod workloads;

pub use flags::{Compare, Report};
pub use growth::run as growth;
use programs::Program;
use report::Row;
use rounds::{Made, Rounds};
use std::{fs, io, path::Path};
use workloads::Answer;
pub use workloads::Workload;

/// Compares all works that were asked for; prints a table for each, and writes the report as far as there is one.
///
/// # Errors
/// What the file system says, a program of ours that fails, and outputs of ours that differ.
pub fn run(compare: &Compare) -> io::Result<()> {
    let engines = programs::engines(compare)?;
    let mut rows = Vec::new();
    for work in &compare.works {
        let input = work.input(compare)?;
        let programs = Program::all(work, &input, &engines, compare)?;
        let outputs = compare.output.join("outputs");
        let rounds = Rounds::measure(&programs, compare.rounds, &outputs, |made| {
            check_round(work, &input, made)
        })?;
        println!(
            "{}, {}, {} threads, {} rounds",
            work.name,
            input.display(),
            compare.threads,
            compare.rounds
        );
        print!("{}", rounds.table());
        rows.push(Row { title: work.title, size: work.size(compare), rounds });
        if let Some(report) = &compare.report {
            report::write(report, &rows, compare.threads)?;
            fs::write(&report.chart, chart::svg(&rows))?;
        }
    }
    Ok(())
}

/// Checks what the programs of the first round made: the peers that gave something else, and what is wrong with it.
fn check_round(
    work: &Workload,
    input: &Path,
    made: &[Made<'_>],
) -> io::Result<Vec<(usize, String)>> {
    let mut first = match work.answer {
        Answer::Records => Some(("the input", check::records(input, false)?)),
        _ => None,
    };
    let mut wrong = Vec::new();
    for (number, Made { name, kind, folder }) in made.iter().enumerate() {
        let digest = match work.answer {
            Answer::Lines => check::lines(folder),
            Answer::RoughLines => check::rough_lines(folder),
            // Engines that do not read records of a fixed length write them as rows, too.
            Answer::Records => check::is_parquet(folder).and_then(|is_parquet| match is_parquet {
                true => check::record_rows(folder),
                false => check::records(folder, true),
            }),
            Answer::Rows => check::rows(folder),
        };
        let difference = match (digest, &first) {
            (Ok(digest), None) => {
                println!("{}: {name} gave {digest}", work.name);
                first = Some((name, digest));
                continue;
            }
            (Ok(digest), Some((_, expected))) if expected.agrees(&digest) => {
                println!("{}: {name} gave {digest}", work.name);
                continue;
            }
            (Ok(digest), Some((of, expected))) => format!("gave {digest}, {of} has {expected}"),
            (Err(error), _) => error.to_string(),
        };
        if kind.is_ours() {
            return Err(io::Error::other(format!("{name}: {difference}")));
        }
        wrong.push((number, difference));
    }
    Ok(wrong)
}
