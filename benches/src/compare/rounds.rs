//! Runs programs by turns, and tells how long they took.

use super::process::Usage;
use super::programs::{Kind, Program};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A peer that takes longer than so many seconds runs once.
const LONG: f64 = 10.0;

/// What one program took, in each round that it ran in.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// By round; fewer than the others have, where it takes long or has failed.
    usages: Vec<Usage>,
    /// Why it has no times that count.
    pub(super) wrong: Option<String>,
}

/// An output of the first round: whose it is, and where.
pub(super) struct Made<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    pub(super) folder: PathBuf,
}

impl Measured {
    fn new(program: &Program) -> Self {
        let (name, kind) = (program.name.clone(), program.kind);
        Self { name, kind, usages: Vec::new(), wrong: None }
    }

    /// Its times, from least to most, if it has any that count.
    pub(super) fn wall(&self) -> Option<Spread> {
        let counts = self.wrong.is_none() && !self.usages.is_empty();
        counts.then(|| Spread::of(self.usages.iter().map(|usage| usage.wall)))
    }

    /// The most memory of a round, in bytes.
    pub(super) fn memory(&self) -> u64 {
        self.usages.iter().map(|usage| usage.memory).max().unwrap_or(0)
    }

    /// Its times in shares of those of the same rounds of another.
    fn ratio(&self, base: &Measured) -> Option<Spread> {
        let both = self.usages.iter().zip(&base.usages);
        let counts = self.wrong.is_none() && !self.usages.is_empty();
        counts.then(|| Spread::of(both.map(|(one, base)| one.wall / base.wall)))
    }

    fn again(&self) -> bool {
        self.wrong.is_none()
            && (self.kind.is_ours() || self.usages.last().is_none_or(|last| last.wall < LONG))
    }
}

/// All programs of one workload.
pub(super) struct Rounds(Vec<Measured>);

impl Rounds {
    /// Runs all programs in each round, in turned order each other time. `check` sees the outputs of the first round, and
    /// says which peers gave another answer, by number and with what is wrong.
    ///
    /// # Errors
    /// What the file system says, and a program of ours that fails.
    pub(super) fn measure(
        programs: &[Program],
        rounds: usize,
        outputs: &Path,
        check: impl Fn(&[Made<'_>]) -> io::Result<Vec<(usize, String)>>,
    ) -> io::Result<Self> {
        let mut all: Vec<_> = programs.iter().map(Measured::new).collect();
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
                if !all[number].again() {
                    continue;
                }
                fs::create_dir_all(outputs)?;
                match programs[number].run(&folder(number)) {
                    Ok(usage) => all[number].usages.push(usage),
                    Err(error) if programs[number].kind.is_ours() => return Err(error),
                    Err(error) => all[number].wrong = Some(error.to_string()),
                }
            }
            if round == 0 {
                let done = all.iter().enumerate().filter(|(_, one)| one.wrong.is_none());
                let (numbers, made): (Vec<_>, Vec<_>) = done
                    .map(|(at, one)| {
                        (at, Made { name: &one.name, kind: one.kind, folder: folder(at) })
                    })
                    .unzip();
                for (at, wrong) in check(&made)? {
                    all[numbers[at]].wrong = Some(wrong);
                }
            }
        }
        clear()?;
        Ok(Self(all))
    }

    /// What the programs took.
    pub(super) fn all(&self) -> &[Measured] {
        &self.0
    }

    /// The program of a kind, if there is one whose times count.
    pub(super) fn of(&self, kind: Kind) -> Option<&Measured> {
        self.0.iter().find(|one| one.kind == kind && one.wall().is_some())
    }

    /// A program's time in shares of that which it is compared with, and the name of that.
    pub(super) fn ratio(&self, one: &Measured) -> Option<(&str, Spread)> {
        let base = one.kind.bases().iter().find_map(|kind| self.of(*kind))?;
        Some((&base.name, one.ratio(base)?))
    }

    /// A line for each program, and one for the ratio of each to the one that it is compared with.
    pub(super) fn table(&self) -> String {
        let mut table = format!(
            "{:<18}{:>9}{:>9}{:>9}{:>12}{:>12}\n",
            "", "min", "median", "max", "median cpu", "most memory"
        );
        for one in &self.0 {
            let Some(wall) = one.wall() else {
                let wrong = one.wrong.as_deref().unwrap_or("it did not run");
                let _ = writeln!(table, "{:<18} {wrong}", one.name);
                continue;
            };
            let cpu = Spread::of(one.usages.iter().map(|usage| usage.cpu));
            let _ = writeln!(
                table,
                "{:<18}{:>7.2} s{:>7.2} s{:>7.2} s{:>10.2} s{:>8} MiB",
                one.name,
                wall.min,
                wall.median,
                wall.max,
                cpu.median,
                one.memory() >> 20
            );
        }
        for one in &self.0 {
            if let Some((base, ratio)) = self.ratio(one) {
                let _ = writeln!(
                    table,
                    "{} : {base}: min {:.2}, median {:.2}, max {:.2}",
                    one.name, ratio.min, ratio.median, ratio.max
                );
            }
        }
        table
    }
}

/// Least, middle and greatest of some numbers.
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Spread {
    pub(super) fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        let (low, high) = (numbers[(numbers.len() - 1) / 2], numbers[numbers.len() / 2]);
        Self { min: numbers[0], median: (low + high) / 2.0, max: numbers[numbers.len() - 1] }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Programs with these times.
    pub(in super::super) fn rounds(programs: &[(&str, Kind, &[f64])]) -> Rounds {
        let usage = |wall: &f64| Usage { wall: *wall, cpu: 2.0 * wall, memory: 5 << 20 };
        let one = |(name, kind, times): &(&str, Kind, &[f64])| Measured {
            name: name.to_string(),
            kind: *kind,
            usages: times.iter().map(usage).collect(),
            wrong: times.is_empty().then(|| format!("{name} failed")),
        };
        Rounds(programs.iter().map(one).collect())
    }

    #[test]
    fn the_middle() {
        let median = |numbers: &[f64]| Spread::of(numbers.iter().copied()).median;
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn the_table() {
        let table = rounds(&[
            ("limit", Kind::Limit, &[1.0, 2.0]),
            ("windrow", Kind::Windrow, &[1.5, 4.0]),
            ("2 workers", Kind::Workers, &[1.0, 3.0]),
            ("slow", Kind::Peer, &[70.0]),
            ("broken", Kind::Peer, &[]),
        ])
        .table();
        let ratios = "windrow : limit: min 1.50, median 1.75, max 2.00\n\
            2 workers : limit: min 1.00, median 1.25, max 1.50\n\
            slow : limit: min 70.00, median 70.00, max 70.00\n";
        assert!(table.ends_with(ratios), "{table}");
        assert!(table.contains("broken             broken failed\n"), "{table}");
        assert_eq!(table.lines().count(), 9);
    }

    #[test]
    fn without_a_limit_the_job_is_what_others_are_compared_with() {
        let rounds = rounds(&[("windrow", Kind::Windrow, &[2.0]), ("duckdb", Kind::Peer, &[3.0])]);
        assert!(rounds.ratio(&rounds.all()[0]).is_none());
        let (base, ratio) = rounds.ratio(&rounds.all()[1]).unwrap();
        assert_eq!((base, ratio.median), ("windrow", 1.5));
    }
}
