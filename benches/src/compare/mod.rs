//! Compares `windrow run`, in one process and over local workers, with the limit programs: one command makes the input,
//! runs them by turns, checks that they gave the same, and prints times, peak memory, and their ratios.
//!
//! By turns, because machines are noisy: only what ran in the same minutes can be compared, and of that the median.

mod check;
mod flags;
mod inputs;
mod rounds;

use std::{io, path::Path};

pub use flags::{Compare, Work};
use rounds::{Program, Rounds};

/// Compares all works that were asked for; prints a table for each.
///
/// # Errors
/// What the file system says, a program that fails, and outputs that differ.
pub fn run(compare: &Compare) -> io::Result<()> {
    for &work in &compare.works {
        let input = match (work, &compare.text) {
            (Work::Wordcount, Some(text)) => text.clone(),
            (Work::Wordcount, None) => inputs::words(&compare.scratch, compare.bytes)?,
            (Work::Terasort, _) => inputs::tera(&compare.scratch, compare.records)?,
            (Work::Measurements, _) => inputs::measurements(&compare.scratch, compare.records)?,
            (Work::Tpch(_), _) => {
                inputs::tpch(&compare.scratch, compare.scale, compare.tpch.as_deref())?
            }
        };
        let limit = Program::limit(work, &input, compare)?;
        let binary = match work {
            Work::Tpch(_) => &compare.tpch,
            _ => &compare.windrow,
        };
        let mut programs = vec![limit];
        match binary {
            Some(binary) => {
                programs.push(Program::windrow(binary, work, &input, compare));
                programs.extend(
                    compare.workers.map(|workers| {
                        Program::windrow_over(workers, binary, work, &input, compare)
                    }),
                );
            }
            None => programs.push(programs[0].clone().named("limit again")),
        }
        let outputs = compare.output.join("outputs");
        let rounds = Rounds::measure(&programs, compare.rounds, &outputs, |made| {
            check_round(work, &input, made)
        })?;
        println!(
            "{}, {}, {} threads, {} rounds",
            work.name(),
            input.display(),
            compare.threads,
            compare.rounds
        );
        print!("{}", rounds.table());
    }
    Ok(())
}

/// Checks what the programs of the first round made.
fn check_round(work: Work, input: &Path, made: &[(String, std::path::PathBuf)]) -> io::Result<()> {
    let mut first = match work {
        Work::Wordcount | Work::Measurements | Work::Tpch(_) => None,
        Work::Terasort => Some(("the input".to_string(), check::records(input, false)?)),
    };
    for (name, output) in made {
        let digest = match work {
            Work::Wordcount | Work::Measurements => check::lines(output)?,
            Work::Terasort => check::records(output, true)?,
            Work::Tpch(_) => check::rows(output)?,
        };
        println!("{}: {name} gave {digest}", work.name());
        match &first {
            None => first = Some((name.clone(), digest)),
            Some((of, expected)) if *expected != digest => {
                return Err(io::Error::other(format!("{name} gave {digest}, {of} has {expected}")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
