//! Points in clusters.

use crate::{Flow, Job, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use windrow_datasets::location::Location;
use windrow_datasets::record::{ListView, mix};

/// Finds the centers of clusters of points by Lloyd's algorithm (k-means): lines `points<TAB>x,y,..`, the number of points
/// that are nearest to a center, and where it is. The first centers are points, chosen as if by chance, the same ones each
/// time.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Kmeans {
    /// Text: files, folders, patterns. A line is a point: numbers, with commas or white space between
    #[arg(long, required = true, num_args = 1.., value_name = "LOCATION")]
    pub input: Vec<Location>,
    /// The folder to write to
    #[arg(long, value_name = "LOCATION")]
    pub output: Location,
    /// How many clusters
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub clusters: u32,
    /// How many rounds at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// It ends when no center moves by more than this
    #[arg(long, default_value_t = 1e-9)]
    pub tolerance: f64,
}

/// # Panics
/// If it is no point: the job's failure names the line then.
fn point(line: &str) -> Vec<f64> {
    let numbers = line.split([',', ' ', '\t', '\r']).filter(|number| !number.is_empty());
    let numbers =
        numbers.map(|number| number.parse().ok().filter(|number: &f64| number.is_finite()));
    numbers.collect::<Option<Vec<f64>>>().filter(|point| !point.is_empty()).unwrap_or_else(|| {
        panic!("{line:?} is no point: a line has numbers, with commas or white space between")
    })
}

/// The square of the distance.
///
/// # Panics
/// If one has more numbers than the other.
fn distance(a: ListView<'_, f64>, b: ListView<'_, f64>) -> f64 {
    assert!(a.len() == b.len(), "points with {} and with {} numbers", a.len(), b.len());
    a.iter().zip(b.iter()).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// A name for a point, which says nothing about where it is.
fn name(point: ListView<'_, f64>) -> u64 {
    point.iter().fold(1, |name, number| mix(name, number.to_bits()))
}

/// Adds numbers to those that are there; to none at first.
fn add(sum: &mut Vec<f64>, more: impl Iterator<Item = f64>) {
    for (at, number) in more.enumerate() {
        match sum.get_mut(at) {
            Some(sum) => *sum += number,
            None => sum.push(number),
        }
    }
}

impl Job for Kmeans {
    const NAME: &str = "kmeans";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let lines = flow.read_lines(&self.input).filter(|line| !line.trim().is_empty());
        let points = lines.map(point).persist();
        let named = points.map(|point| (name(point), (0u64, point.iter().collect::<Vec<f64>>())));
        let start = named.top(self.clusters as usize, |a, b| a.0.cmp(&b.0));
        let tolerance = self.tolerance * self.tolerance;
        let centers = start.iterate_until(self.rounds, |centers| {
            let centers_at_hand = centers.broadcast();
            let assigned =
                points.map_with_to::<_, _, (u64, Vec<f64>)>(&centers_at_hand, |point, centers| {
                    let away = centers.iter().map(|(name, (_, at))| (name, distance(point, at)));
                    let nearest = away.min_by(|a, b| a.1.total_cmp(&b.1));
                    (nearest.map_or(0, |nearest| nearest.0), point)
                });
            let next = assigned
                .fold_by_key(
                    || (0u64, Vec::new()),
                    |(count, sum), point| {
                        *count += 1;
                        add(sum, point.iter());
                    },
                    |(count, sum), (more, other)| {
                        *count += more;
                        add(sum, other.into_iter());
                    },
                )
                .map(|(name, (count, sum))| {
                    (name, (count, sum.iter().map(|sum| sum / count as f64).collect::<Vec<f64>>()))
                });
            let changes = centers
                .join(&next)
                .filter(move |(_, ((_, before), (_, after)))| distance(before, after) > tolerance);
            (next, changes)
        });
        centers
            .map(|(_, (count, at))| (count, at.iter().collect::<Vec<f64>>()))
            .write_text(&self.output)
    }
}
