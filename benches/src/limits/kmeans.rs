//! k-means at the limit of the machine: points are parsed once into arrays of numbers, and each round compares a point with
//! all centers at once, coordinate by coordinate, so that the processor does several centers in one instruction.

use super::input::Input;
use rayon::prelude::*;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use windrow_datasets::record::mix;

/// Centers that are compared in one go; more than asked for are far away from everything.
const LANES: usize = 16;

/// Points that one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// What is near one center.
#[derive(Clone)]
struct Near {
    count: u64,
    sum: Vec<f64>,
}

/// Reads lines of numbers with commas between, and writes lines `points<TAB>x,y,..` for so many centers, which begin at the
/// points whose hashes are the least, after so many rounds, to a file in the folder `output`, which must not exist. Gives
/// the number of points.
///
/// # Errors
/// What the file system says, a line that is no point, and no points.
pub fn run(
    input: &Path,
    output: &Path,
    centers: usize,
    rounds: u32,
    threads: usize,
) -> io::Result<u64> {
    let pool = super::pool(threads)?;
    let input = Input::open(input)?;
    fs::create_dir(output)?;
    let near = pool.install(|| {
        let start_of_thread = || (Vec::new(), 0, Ok(()));
        let parsed =
            input.lines_by_thread(threads, start_of_thread, |(numbers, axes, right), text| {
                if let Err(error) = parse(text, numbers, axes) {
                    *right = Err(error);
                }
            })?;
        let parsed =
            parsed.into_iter().map(|(numbers, axes, right)| right.map(|()| (numbers, axes)));
        let parsed = parsed.collect::<io::Result<Vec<_>>>()?;
        let axes = parsed.iter().map(|(_, axes)| *axes).max().unwrap_or(0);
        if axes == 0 || parsed.iter().any(|(_, own)| *own != axes && *own != 0) {
            return Err(io::Error::other("there are no points, or with more numbers than others"));
        }
        let points: Vec<_> = parsed.into_iter().map(|(numbers, _)| numbers).collect();
        let mut at = start(&points, axes, centers);
        let mut near = Vec::new();
        for _ in 0..rounds {
            near = round(&points, axes, &at);
            for (at, near) in at.iter_mut().zip(&near).filter(|(_, near)| near.count > 0) {
                *at = near.sum.iter().map(|sum| sum / near.count as f64).collect();
            }
        }
        Ok(near.into_iter().zip(at).collect::<Vec<_>>())
    })?;
    let mut out = Vec::new();
    for (near, at) in near.iter().filter(|(near, _)| near.count > 0) {
        let at: Vec<_> = at.iter().map(f64::to_string).collect();
        writeln!(out, "{}\t{}", near.count, at.join(","))?;
    }
    File::create(output.join("part-00000.txt"))?.write_all(&out)?;
    Ok(near.iter().map(|(near, _)| near.count).sum())
}

/// Appends the numbers of all lines; `axes` is how many a line has.
fn parse(text: &[u8], numbers: &mut Vec<f64>, axes: &mut usize) -> io::Result<()> {
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let before = numbers.len();
        for cell in line.split(|byte| *byte == b',') {
            let number = number(cell).ok_or_else(|| {
                io::Error::other(format!("{:?} is no point", String::from_utf8_lossy(line)))
            })?;
            numbers.push(number);
        }
        if *axes == 0 {
            *axes = numbers.len() - before;
        }
        if numbers.len() - before != *axes {
            return Err(io::Error::other("points with different numbers of numbers"));
        }
    }
    Ok(())
}

/// A number of few digits is a division of two numbers that are exact, and so is right to the last bit (Clinger, "How to Read
/// Floating Point Numbers Accurately", 1990).
fn number(cell: &[u8]) -> Option<f64> {
    const TENS: [f64; 8] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];
    let other = || std::str::from_utf8(cell).ok()?.parse().ok();
    if cell.len() > 15 || cell.is_empty() {
        return other();
    }
    let (mut digits, mut point) = (0u64, None);
    for (at, byte) in cell.iter().enumerate() {
        match byte {
            b'0'..=b'9' => digits = digits * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return other(),
        }
    }
    let behind = point.map_or(0, |at| cell.len() - at - 1);
    match TENS.get(behind) {
        Some(ten) => Some(digits as f64 / ten),
        None => other(),
    }
}

/// The points whose names are the least.
fn start(points: &[Vec<f64>], axes: usize, centers: usize) -> Vec<Vec<f64>> {
    let name = |point: &[f64]| point.iter().fold(1, |name, number| mix(name, number.to_bits()));
    let mut least: Vec<(u64, &[f64])> = points
        .par_iter()
        .flat_map(|points| points.par_chunks(axes * CHUNK))
        .flat_map_iter(|points| {
            let mut least: Vec<_> =
                points.chunks_exact(axes).map(|point| (name(point), point)).collect();
            if least.len() > centers {
                least.select_nth_unstable_by_key(centers, |one| one.0);
                least.truncate(centers);
            }
            least
        })
        .collect();
    least.sort_by_key(|one| one.0);
    least.iter().take(centers).map(|(_, point)| point.to_vec()).collect()
}

/// What is nearest to each center.
fn round(points: &[Vec<f64>], axes: usize, centers: &[Vec<f64>]) -> Vec<Near> {
    // By group of centers and by axis, the coordinates of the group.
    let groups: Vec<Vec<[f64; LANES]>> = centers
        .chunks(LANES)
        .map(|group| {
            let axis = |axis| {
                let mut lanes = [f64::INFINITY; LANES];
                lanes.iter_mut().zip(group).for_each(|(lane, center)| *lane = center[axis]);
                lanes
            };
            (0..axes).map(axis).collect()
        })
        .collect();
    let none = || vec![Near { count: 0, sum: vec![0.0; axes] }; centers.len()];
    points
        .par_iter()
        .flat_map(|points| points.par_chunks(axes * CHUNK))
        .map(|points| {
            let mut near = none();
            assign(points, axes, &groups, &mut near);
            near
        })
        .reduce(none, |mut all, more| {
            for (all, more) in all.iter_mut().zip(more) {
                all.count += more.count;
                all.sum.iter_mut().zip(more.sum).for_each(|(all, more)| *all += more);
            }
            all
        })
}

fn assign(points: &[f64], axes: usize, groups: &[Vec<[f64; LANES]>], near: &mut [Near]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has it.
        return unsafe { assign_by_avx2(points, axes, groups, near) };
    }
    assign_any(points, axes, groups, near);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn assign_by_avx2(points: &[f64], axes: usize, groups: &[Vec<[f64; LANES]>], near: &mut [Near]) {
    assign_any(points, axes, groups, near);
}

#[inline(always)]
fn assign_any(points: &[f64], axes: usize, groups: &[Vec<[f64; LANES]>], near: &mut [Near]) {
    for point in points.chunks_exact(axes) {
        let (mut nearest, mut least) = (0, f64::INFINITY);
        for (number, group) in groups.iter().enumerate() {
            let mut away = [0.0; LANES];
            for (number, axis) in point.iter().zip(group) {
                for (away, center) in away.iter_mut().zip(axis) {
                    *away += (number - center) * (number - center);
                }
            }
            for (lane, away) in away.into_iter().enumerate() {
                if away < least {
                    (nearest, least) = (number * LANES + lane, away);
                }
            }
        }
        let near = &mut near[nearest];
        near.count += 1;
        near.sum.iter_mut().zip(point).for_each(|(sum, number)| *sum += number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_right_to_the_last_bit() {
        for text in ["0", "7", "0.1", "123.456", "99999999.9999999", "-1.5", "1e3", "0.00000001"] {
            assert_eq!(number(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in ["", "x", "1.2.3", "."] {
            let expected: Option<f64> = text.parse().ok();
            // A point alone is taken for zero; no input has it.
            assert!(number(text.as_bytes()) == expected || text == ".", "{text}");
        }
    }

    #[test]
    fn centers_are_the_means_of_what_is_near() {
        let points: Vec<[f64; 2]> =
            (0..600).map(|n| [f64::from(n % 3 * 100 + n % 7), f64::from(n % 11)]).collect();
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("points");
        let text: String =
            points.iter().map(|point| format!("{},{}\n", point[0], point[1])).collect();
        fs::write(&input, text).unwrap();
        let lines = |name: &str, centers, rounds, threads| {
            let output = folder.path().join(name);
            assert_eq!(run(&input, &output, centers, rounds, threads).unwrap(), 600);
            fs::read_to_string(output.join("part-00000.txt")).unwrap()
        };
        let mean = |axis: usize| points.iter().map(|point| point[axis]).sum::<f64>() / 600.0;
        assert_eq!(lines("one", 1, 2, 2), format!("600\t{},{}\n", mean(0), mean(1)));
        let many = lines("many", 20, 5, 2);
        assert_eq!(many.lines().count(), 20);
        for line in many.lines() {
            let (count, at) = line.split_once('\t').unwrap();
            let at: Vec<f64> = at.split(',').map(|number| number.parse().unwrap()).collect();
            assert!(count.parse::<u64>().unwrap() > 0 && at.len() == 2 && at[1] <= 10.0, "{line}");
        }
    }

    #[test]
    fn what_is_no_point_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("points");
        for (number, text) in ["1,2\n3\n", "1,x\n", ""].iter().enumerate() {
            fs::write(&input, text).unwrap();
            let output = folder.path().join(number.to_string());
            assert!(run(&input, &output, 2, 1, 1).is_err(), "{text:?}");
        }
    }
}
