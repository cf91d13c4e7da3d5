//! How time grows with the input: each job on a hundredth, a tenth and all of it.

use super::flags::Compare;
use super::programs::Program;
use super::rounds::Spread;
use super::workloads::Workload;
use std::{fs, io};

/// By how many times the inputs grow.
const FACTORS: [u64; 3] = [1, 10, 100];

/// Runs each job that was asked for on growing inputs, by turns, and prints a table: the medians of the times, and the
/// exponent `e` for which time grows as the input's size to the power of `e`, fitted to the three of them by least squares of
/// their logarithms, and between the last two, where the start of a process matters less.
///
/// # Errors
/// What the file system says, and a job that fails or for which there is no binary.
pub fn run(compare: &Compare) -> io::Result<()> {
    println!(
        "| work | largest input | a hundredth | a tenth | all | exponent | of the last step |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|");
    for work in &compare.works {
        let sizes = FACTORS.map(|factor| part(compare, FACTORS[2] / factor));
        let mut times = [const { Vec::new() }; FACTORS.len()];
        for _ in 0..compare.rounds {
            for (size, times) in sizes.iter().zip(&mut times) {
                times.push(seconds(work, size)?);
            }
        }
        let medians = times.map(|times| Spread::of(times.into_iter()).median);
        let [first, second, third] = medians;
        let points = FACTORS.map(|factor| factor as f64);
        println!(
            "| {} | {} | {first:.3} s | {second:.3} s | {third:.2} s | {:.2} | {:.2} |",
            work.title,
            work.size(compare),
            exponent(&points, &medians),
            exponent(&points[1..], &medians[1..]),
        );
    }
    Ok(())
}

/// The same with inputs that are so many times smaller.
fn part(compare: &Compare, times: u64) -> Compare {
    let less = |size: u64| (size / times).max(1);
    Compare {
        bytes: less(compare.bytes),
        records: less(compare.records),
        lines: less(compare.lines),
        edges: less(compare.edges),
        points: less(compare.points),
        scale: compare.scale / times as f64,
        ..compare.clone()
    }
}

fn seconds(work: &Workload, compare: &Compare) -> io::Result<f64> {
    let input = work.input(compare)?;
    let program = Program::job(work, &input, compare)
        .ok_or_else(|| io::Error::other("--windrow or --tpch is missing"))?;
    let outputs = compare.output.join("outputs");
    if outputs.exists() {
        fs::remove_dir_all(&outputs)?;
    }
    fs::create_dir_all(&outputs)?;
    let usage = program.run(&outputs.join("0"))?;
    fs::remove_dir_all(&outputs)?;
    Ok(usage.wall)
}

/// The slope of the line through the logarithms of points.
fn exponent(sizes: &[f64], times: &[f64]) -> f64 {
    let mean = |of: &[f64]| of.iter().map(|x| x.ln()).sum::<f64>() / of.len() as f64;
    let (size, time) = (mean(sizes), mean(times));
    let apart = sizes.iter().zip(times).map(|(s, t)| (s.ln() - size, t.ln() - time));
    let (up, across) = apart.fold((0.0, 0.0), |(up, across), (s, t)| (up + s * t, across + s * s));
    up / across
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents() {
        let near = |times: [f64; 3], expected: f64| {
            let found = exponent(&[1.0, 10.0, 100.0], &times);
            assert!((found - expected).abs() < 1e-9, "{found}");
        };
        near([3.0, 30.0, 300.0], 1.0);
        near([2.0, 200.0, 20_000.0], 2.0);
        near([5.0, 5.0, 5.0], 0.0);
    }

    #[test]
    fn a_hundredth_of_everything() {
        let compare =
            Compare::parse(["--scratch", "s", "--scale", "10"].map(String::from).into_iter())
                .unwrap();
        let small = part(&compare, 100);
        assert_eq!((small.bytes, small.lines, small.scale), (10_000_000, 1_000_000, 0.1));
        assert_eq!(part(&small, 1_000_000_000).edges, 1);
    }
}
