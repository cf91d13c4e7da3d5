//! Runs programs by turns, and tells how long they took.

use std::{
    env,
    ffi::OsString,
    fmt::Write,
    fs, io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use super::flags::{Compare, Work};

/// A program to run; its output folder comes behind its other arguments.
#[derive(Clone, Debug)]
pub(super) struct Program {
    name: String,
    binary: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// The limit program of a work, which lies beside this program.
    pub(super) fn limit(work: Work, input: &Path, compare: &Compare) -> io::Result<Self> {
        let (program, first) = match work {
            Work::Tpch(_) => ("limit_tpch".to_string(), vec![work.name()]),
            _ => (format!("limit_{}", work.name()), Vec::new()),
        };
        let binary = env::current_exe()?.with_file_name(program);
        if !binary.exists() {
            let remedy = "build it: cargo build --release -p windrow-benches --bins";
            return Err(io::Error::other(format!("{} does not exist; {remedy}", binary.display())));
        }
        Ok(Self { name: "limit".into(), binary, arguments: arguments(&first, input, compare) })
    }

    /// The ready job of a work.
    pub(super) fn windrow(binary: &Path, work: Work, input: &Path, compare: &Compare) -> Self {
        let arguments = arguments(&["run", work.name()], input, compare);
        Self { name: "windrow".into(), binary: binary.to_path_buf(), arguments }
    }

    /// The ready job of a work over so many local workers, which share the threads.
    pub(super) fn windrow_over(
        workers: usize,
        binary: &Path,
        work: Work,
        input: &Path,
        compare: &Compare,
    ) -> Self {
        let each = Compare { threads: compare.threads / workers, ..compare.clone() };
        let mut program =
            Self::windrow(binary, work, input, &each).named(&format!("{workers} workers"));
        program.arguments.extend(["--workers".into(), workers.to_string().into()]);
        program
    }

    /// The same program under another name.
    pub(super) fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Runs it. What it prints is shown only if it fails.
    fn run(&self, output: &Path) -> io::Result<Time> {
        let said = output.with_extension("said");
        let start = Instant::now();
        let child = Command::new(&self.binary)
            .args(&self.arguments)
            .arg("--output")
            .arg(output)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said)?)
            .spawn()?;
        let (status, cpu, memory) = wait(child)?;
        let wall = start.elapsed();
        if !status.success() {
            let said = fs::read_to_string(&said)?;
            return Err(io::Error::other(format!("{} ended with {status}: {said}", self.name)));
        }
        Ok(Time { wall: wall.as_secs_f64(), cpu: cpu.as_secs_f64(), memory })
    }
}

/// Waits for a process: how it ended, its processor time, and the most memory that it had, in bytes.
fn wait(child: Child) -> io::Result<(ExitStatus, Duration, u64)> {
    let mut status = 0;
    // SAFETY: a plain structure, for which all zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both point to what the call fills; the child has not been waited for, and is not again, since it is ours.
    let ended = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage) };
    if ended < 0 {
        return Err(io::Error::last_os_error());
    }
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    let memory = usage.ru_maxrss as u64 * 1024;
    Ok((ExitStatus::from_raw(status), of(usage.ru_utime) + of(usage.ru_stime), memory))
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

/// What one run took: seconds, and bytes of memory at the most (pages of mapped files among them).
#[derive(Clone, Copy, Debug)]
struct Time {
    wall: f64,
    cpu: f64,
    memory: u64,
}

/// All times, by program.
pub(super) struct Rounds {
    names: Vec<String>,
    times: Vec<Vec<Time>>,
}

impl Rounds {
    /// Runs all programs in each round, in turned order each other time. `check` sees the outputs of the first round.
    pub(super) fn measure(
        programs: &[Program],
        rounds: usize,
        outputs: &Path,
        check: impl Fn(&[(String, PathBuf)]) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut times = vec![Vec::new(); programs.len()];
        let folder = |number: usize| outputs.join(number.to_string());
        let clear = || match fs::remove_dir_all(outputs) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        for round in 0..rounds {
            let mut order: Vec<_> = (0..programs.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for number in order {
                // The first round's outputs stay until all are there; they are compared.
                if round > 0 || number == 0 {
                    clear()?;
                }
                fs::create_dir_all(outputs)?;
                times[number].push(programs[number].run(&folder(number))?);
            }
            if round == 0 {
                let made: Vec<_> = programs
                    .iter()
                    .map(|program| program.name.clone())
                    .zip((0..).map(folder))
                    .collect();
                check(&made)?;
            }
        }
        clear()?;
        Ok(Self { names: programs.iter().map(|program| program.name.clone()).collect(), times })
    }

    /// A line for each program, and one for the ratio of each other one to the first.
    pub(super) fn table(&self) -> String {
        let mut table = format!(
            "{:<14}{:>9}{:>9}{:>9}{:>12}{:>12}\n",
            "", "min", "median", "max", "median cpu", "most memory"
        );
        for (name, times) in self.names.iter().zip(&self.times) {
            let wall = Spread::of(times.iter().map(|time| time.wall));
            let cpu = Spread::of(times.iter().map(|time| time.cpu));
            let memory = times.iter().map(|time| time.memory).max().unwrap_or(0) >> 20;
            let _ = writeln!(
                table,
                "{name:<14}{:>7.2} s{:>7.2} s{:>7.2} s{:>10.2} s{memory:>8} MiB",
                wall.min, wall.median, wall.max, cpu.median
            );
        }
        let mut programs = self.names.iter().zip(&self.times);
        if let Some((first, of_first)) = programs.next() {
            for (name, times) in programs {
                // Of runs of one round, which were next to each other.
                let ratio = Spread::of(
                    of_first.iter().zip(times).map(|(first, time)| time.wall / first.wall),
                );
                let _ = writeln!(
                    table,
                    "{name} : {first}: min {:.2}, median {:.2}, max {:.2}",
                    ratio.min, ratio.median, ratio.max
                );
            }
        }
        table
    }
}

/// Least, middle and greatest of some numbers.
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        let (low, high) = (numbers[(numbers.len() - 1) / 2], numbers[numbers.len() / 2]);
        Self { min: numbers[0], median: (low + high) / 2.0, max: numbers[numbers.len() - 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle() {
        let median = |numbers: &[f64]| Spread::of(numbers.iter().copied()).median;
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn the_table() {
        let time = |wall| Time { wall, cpu: 2.0 * wall, memory: 5 << 20 };
        let names = ["limit", "windrow", "2 workers"].map(String::from).to_vec();
        let times = [[1.0, 2.0], [1.5, 4.0], [1.0, 3.0]].map(|times| times.map(time).to_vec());
        let table = Rounds { names, times: times.to_vec() }.table();
        let ratios = "windrow : limit: min 1.50, median 1.75, max 2.00\n\
            2 workers : limit: min 1.00, median 1.25, max 1.50\n";
        assert!(table.ends_with(ratios), "{table}");
        assert_eq!(table.lines().count(), 6);
    }
}
