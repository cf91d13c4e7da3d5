//! The jobs that chaos runs, their inputs, and what they give when nothing breaks.

use super::random::Random;
use super::{AnyError, Chaos};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A job and its result.
#[derive(Debug)]
pub(super) struct JobKind {
    /// The ready job.
    pub(super) name: &'static str,
    /// Its flags but those of the output.
    pub(super) flags: Vec<String>,
    /// The bytes of its part files, in the order of their names.
    pub(super) bytes: Vec<u8>,
    /// How long it takes over a cluster.
    pub(super) quiet: Duration,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Inputs(Vec<JobKind>);

/// Kinds of input: the generator's, and the flag that says how much. Each makes several map tasks.
const INPUTS: [(&str, &str, u64); 3] = [
    ("tera", "--records", 1_500_000),
    ("words", "--bytes", 200_000_000),
    ("measurements", "--records", 12_000_000),
];

/// Jobs, by the input that they read.
const JOBS: [(&str, &str); 5] = [
    ("terasort", "tera"),
    ("wordcount", "words"),
    ("distinct", "measurements"),
    ("measurements", "measurements"),
    ("index", "words"),
];

impl Inputs {
    /// Generates what is not there yet, so many times smaller, and runs each job once without faults.
    pub(super) fn make(chaos: &Chaos, smaller: u64) -> Result<Inputs, AnyError> {
        let mut kinds = Vec::new();
        let folder_of = |kind: &str| chaos.scratch.join(format!("{kind}-{smaller}"));
        for (kind, flag, many) in INPUTS {
            let folder = folder_of(kind);
            if !folder.join("_SUCCESS").exists() {
                let _ = fs::remove_dir_all(&folder);
                let mut generate = Command::new(&chaos.windrow);
                generate.args(["generate", kind, flag, &(many / smaller).to_string()]);
                generate.arg("--output").arg(&folder);
                succeed(&mut generate)?;
            }
        }
        for (name, input) in JOBS {
            let input = folder_of(input).display().to_string();
            let flags = vec!["--input".to_owned(), input];
            let output = chaos.scratch.join(format!("quiet-{name}"));
            let _ = fs::remove_dir_all(&output);
            let mut run = Command::new(&chaos.windrow);
            run.args(["run", name]).args(&flags).arg("--output").arg(&output);
            let begun = Instant::now();
            succeed(run.args(["--quiet", "--workers", "3"]))?;
            let quiet = begun.elapsed();
            let bytes = bytes_of(&output)?;
            println!("{name}: {} bytes after {:.1} s", bytes.len(), quiet.as_secs_f64());
            fs::remove_dir_all(&output)?;
            kinds.push(JobKind { name, flags, bytes, quiet });
        }
        Ok(Inputs(kinds))
    }

    /// One of the jobs.
    pub(super) fn draw(&self, random: &mut Random) -> &JobKind {
        random.one(&self.0)
    }
}

fn succeed(command: &mut Command) -> Result<(), AnyError> {
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

/// The part files of an output, one behind the other. It must be whole.
pub(super) fn bytes_of(output: &Path) -> Result<Vec<u8>, AnyError> {
    if !output.join("_SUCCESS").exists() {
        return Err(format!("{} has no _SUCCESS", output.display()).into());
    }
    let entries = fs::read_dir(output)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<Result<Vec<PathBuf>, std::io::Error>>()?;
    paths.retain(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("part-"))
    });
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        all.extend(fs::read(path)?);
    }
    Ok(all)
}
