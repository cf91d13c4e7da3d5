//! The programs that do a workload.

use super::flags::Compare;
use super::process::{self, Usage};
use super::workloads::{Input, Workload};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

/// A program to run; its output folder comes behind its other arguments.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) kind: Kind,
    binary: PathBuf,
    arguments: Vec<OsString>,
}

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Written by hand for this workload.
    Limit,
    /// The same on one thread.
    LimitOneThread,
    /// A ready job in one process.
    Windrow,
    /// The same on one thread.
    WindrowOneThread,
    /// The same over local workers.
    Workers,
    /// That of another engine.
    Peer,
}

impl Kind {
    /// What its time is told in shares of, the best first.
    pub(super) fn bases(self) -> &'static [Kind] {
        match self {
            Kind::Limit | Kind::LimitOneThread => &[],
            Kind::WindrowOneThread => &[Kind::LimitOneThread],
            Kind::Windrow => &[Kind::Limit],
            Kind::Workers | Kind::Peer => &[Kind::Limit, Kind::Windrow],
        }
    }

    /// Whether its failure, or another answer, ends the comparison.
    pub(super) fn is_ours(self) -> bool {
        self != Kind::Peer
    }
}

/// An engine, and the workloads that it has programs for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Engine {
    pub(super) name: String,
    works: Vec<String>,
}

/// The engines that are asked for, of those that the program of peers has.
pub(super) fn engines(compare: &Compare) -> io::Result<Vec<Engine>> {
    let Some(peers) = &compare.peers else { return Ok(Vec::new()) };
    let listed = Command::new(peers).arg("list").output()?;
    if !listed.status.success() {
        let said = String::from_utf8_lossy(&listed.stderr);
        return Err(io::Error::other(format!("{} list: {said}", peers.display())));
    }
    let all = list(&String::from_utf8_lossy(&listed.stdout));
    for asked in &compare.engines {
        if !all.iter().any(|engine| engine.name == *asked) {
            let known: Vec<_> = all.iter().map(|engine| engine.name.as_str()).collect();
            let known = known.join(", ");
            return Err(io::Error::other(format!("--engine {asked} is none of {known}")));
        }
    }
    let asked =
        |engine: &Engine| compare.engines.is_empty() || compare.engines.contains(&engine.name);
    Ok(all.into_iter().filter(asked).collect())
}

/// Lines `engine: workload workload ..`.
fn list(text: &str) -> Vec<Engine> {
    let engine = |line: &str| {
        let (name, works) = line.split_once(':')?;
        let works = works.split_whitespace().map(String::from).collect();
        Some(Engine { name: name.trim().into(), works })
    };
    text.lines().filter_map(engine).collect()
}

impl Program {
    /// All programs that do a workload.
    ///
    /// # Errors
    /// A limit program that is not built.
    pub(super) fn all(
        work: &Workload,
        input: &Path,
        engines: &[Engine],
        compare: &Compare,
    ) -> io::Result<Vec<Program>> {
        let one = Compare { threads: 1, ..compare.clone() };
        let mut programs = Vec::new();
        if let Some(words) = work.limit {
            programs.push(Self::limit(words, input, compare)?);
            if compare.one_thread {
                let program = Self::limit(words, input, &one)?;
                programs.push(program.named("limit, 1 thread", Kind::LimitOneThread));
            }
        }
        match Self::job(work, input, compare) {
            Some(program) => {
                programs.push(program);
                if compare.one_thread {
                    let program = Self::job(work, input, &one);
                    let named = |it: Program| it.named("windrow, 1 thread", Kind::WindrowOneThread);
                    programs.extend(program.map(named));
                }
                if let Some(workers) = compare.workers {
                    programs.extend(Self::over(workers, work, input, compare));
                }
            }
            None => {
                let again = programs.first().cloned();
                programs.extend(again.map(|limit| limit.named("limit again", Kind::Windrow)));
            }
        }
        let able = engines.iter().filter(|engine| engine.works.iter().any(|it| it == work.name));
        programs.extend(able.map(|engine| Self::peer(engine, work, input, compare)));
        Ok(programs)
    }

    /// A limit program, which lies beside this program.
    fn limit(words: &[&str], input: &Path, compare: &Compare) -> io::Result<Self> {
        let binary = env::current_exe()?.with_file_name(words[0]);
        if !binary.exists() {
            let remedy = "build it: cargo build --release -p windrow-benches --bins";
            return Err(io::Error::other(format!("{} does not exist; {remedy}", binary.display())));
        }
        let arguments = arguments(&words[1..], input, compare);
        Ok(Self { name: "limit".into(), kind: Kind::Limit, binary, arguments })
    }

    /// The ready job of a workload, if there is a binary for it.
    pub(super) fn job(work: &Workload, input: &Path, compare: &Compare) -> Option<Self> {
        let is_table = work.input == Input::Tables;
        let binary = if is_table { compare.tpch.clone()? } else { compare.windrow.clone()? };
        let arguments = arguments(&[&["run"], work.job].concat(), input, compare);
        Some(Self { name: "windrow".into(), kind: Kind::Windrow, binary, arguments })
    }

    /// The same over so many local workers, which share the threads.
    fn over(workers: usize, work: &Workload, input: &Path, compare: &Compare) -> Option<Self> {
        let each = Compare { threads: compare.threads / workers, ..compare.clone() };
        let mut program =
            Self::job(work, input, &each)?.named(&format!("{workers} workers"), Kind::Workers);
        program.arguments.extend(["--workers".into(), workers.to_string().into()]);
        Some(program)
    }

    /// The program of another engine.
    fn peer(engine: &Engine, work: &Workload, input: &Path, compare: &Compare) -> Self {
        let Some(binary) = compare.peers.clone() else {
            unreachable!("engines come from the program that is asked for them")
        };
        let arguments = arguments(&[&engine.name, work.name], input, compare);
        Self { name: engine.name.clone(), kind: Kind::Peer, binary, arguments }
    }

    /// The same program under another name.
    fn named(self, name: &str, kind: Kind) -> Self {
        Self { name: name.into(), kind, ..self }
    }

    /// Runs it; it writes into the folder `output`, which is not there yet.
    pub(super) fn run(&self, output: &Path) -> io::Result<Usage> {
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).arg("--output").arg(output);
        process::run(&mut command, &output.with_extension("said"))
            .map_err(|error| io::Error::other(format!("{}: {error}", self.name)))
    }
}

fn arguments(first: &[&str], input: &Path, compare: &Compare) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = first.iter().map(Into::into).collect();
    let threads = compare.threads.to_string();
    arguments.extend(["--threads".into(), threads.into(), "--input".into(), input.into()]);
    if let Some(memory) = compare.memory {
        let scratch = compare.scratch.clone();
        arguments.extend(["--memory".into(), memory.to_string().into()]);
        arguments.extend(["--scratch".into(), scratch.into()]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_of_a_list() {
        let engines = list("duckdb: wordcount q1\n\nrenoir: wordcount\nno engine\n");
        let names: Vec<_> = engines.iter().map(|engine| engine.name.as_str()).collect();
        assert_eq!(names, ["duckdb", "renoir"]);
        assert_eq!(engines[0].works, ["wordcount", "q1"]);
    }

    #[test]
    fn what_runs() {
        let flags = "--scratch s --tpch t --workers 2 --one-thread yes --peers p";
        let compare = Compare::parse(flags.split(' ').map(String::from)).unwrap();
        let work = Workload::named("q5").unwrap()[0];
        let engines = list("duckdb: wordcount q5\nrenoir: wordcount\n");
        let programs = Program::all(work, Path::new("in"), &engines, &compare).unwrap();
        let names: Vec<_> = programs.iter().map(|program| program.name.as_str()).collect();
        assert_eq!(names, ["windrow", "windrow, 1 thread", "2 workers", "duckdb"]);
        let words = |program: &Program| {
            program
                .arguments
                .iter()
                .map(|word| word.to_str().unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(words(&programs[1]), "run q5 --threads 1 --input in");
        assert_eq!(words(&programs[2]), "run q5 --threads 1 --input in --workers 2");
        assert_eq!(words(&programs[3]), "duckdb q5 --threads 2 --input in");
    }
}
