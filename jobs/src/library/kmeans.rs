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
    check(a.len(), b.len());
    a.iter().zip(b.iter()).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// So many centers are compared with a point in one go.
const AT_ONCE: usize = 16;

/// Centers, laid out so that a point is compared with several in one instruction.
struct Centers {
    names: Vec<u64>,
    /// For so many centers each, those of each axis. Centers that are not there are far away from everything.
    groups: Vec<Vec<[f64; AT_ONCE]>>,
}

impl Centers {
    /// # Panics
    /// If one has more numbers than another.
    fn of<'a>(centers: impl Iterator<Item = (u64, ListView<'a, f64>)>) -> Centers {
        let mut all = Centers { names: Vec::new(), groups: Vec::new() };
        for (number, (name, at)) in centers.enumerate() {
            check(at.len(), all.groups.first().map_or(at.len(), Vec::len));
            all.names.push(name);
            if number % AT_ONCE == 0 {
                all.groups.push(vec![[f64::INFINITY; AT_ONCE]; at.len()]);
            }
            let group = all.groups.last_mut().into_iter().flatten();
            group.zip(at.iter()).for_each(|(axis, at)| axis[number % AT_ONCE] = at);
        }
        all
    }

    /// The name of the center that is nearest to a point, the first of them if there are several; 0 if there is no center.
    ///
    /// # Panics
    /// If the point has more numbers than the centers, or fewer.
    fn nearest(&self, point: ListView<'_, f64>) -> u64 {
        let (Some(&first), Some(axes)) = (self.names.first(), self.groups.first()) else {
            return 0;
        };
        check(point.len(), axes.len());
        let mut nearest = (f64::INFINITY, first);
        for (group, names) in self.groups.iter().zip(self.names.chunks(AT_ONCE)) {
            let mut away = [0.0; AT_ONCE];
            for (axis, at) in group.iter().zip(point.iter()) {
                for (away, center) in away.iter_mut().zip(axis) {
                    *away += (at - center) * (at - center);
                }
            }
            for (&away, &name) in away.iter().zip(names) {
                if away < nearest.0 {
                    nearest = (away, name);
                }
            }
        }
        nearest.1
    }
}

/// # Panics
/// If points have different numbers of numbers.
fn check(one: usize, other: usize) {
    assert!(one == other, "points with {one} and with {other} numbers");
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
            let at_hand = centers
                .broadcast()
                .prepare(|centers| Centers::of(centers.iter().map(|(name, (_, at))| (name, at))));
            let assigned = points
                .map_with_to::<_, _, _, (u64, Vec<f64>)>(&at_hand, |point, centers| {
                    (centers.nearest(point), point)
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
