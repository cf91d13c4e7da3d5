//! Workloads over text by Renoir: `peer-renoir WORK THREADS FILE OUTPUT`.

use renoir::prelude::*;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Least, greatest, sum and number of tenths of degrees.
type Seen = (i64, i64, i64, i64);

fn merge(one: &mut Seen, other: Seen) {
    *one = (one.0.min(other.0), one.1.max(other.1), one.2 + other.2, one.3 + other.3);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [work, threads, input, output] = words.as_slice() else {
        return Err("peer-renoir WORK THREADS FILE OUTPUT".into());
    };
    let start = Instant::now();
    let context = StreamContext::new(RuntimeConfig::local(threads.parse()?)?);
    let lines = context.stream(FileSource::new(input)).batch_mode(BatchMode::fixed(1024));
    let mut out = BufWriter::with_capacity(1 << 20, File::create(output)?);
    let missing = "Renoir gave nothing";
    match work.as_str() {
        "wordcount" => {
            let counts = lines
                .flat_map(|line: String| {
                    line.split_ascii_whitespace().map(String::from).collect::<Vec<_>>()
                })
                .group_by_count(|word: &String| word.clone())
                .collect_vec();
            context.execute_blocking();
            for (word, count) in counts.get().ok_or(missing)? {
                writeln!(out, "{word}\t{count}")?;
            }
        }
        "distinct" => {
            let distinct = lines
                .map(|line: String| line.trim_end().to_string())
                .group_by_fold(String::clone, (), |_, _| (), |_, _| ())
                .collect_vec();
            context.execute_blocking();
            for (line, ()) in distinct.get().ok_or(missing)? {
                writeln!(out, "{line}")?;
            }
        }
        "measurements" => {
            let stations = lines
                .map(|line: String| {
                    let (station, degrees) =
                        line.trim_end().split_once(';').expect("a measurement");
                    let degrees: f64 = degrees.parse().expect("a number");
                    (station.to_string(), (degrees * 10.0).round() as i64)
                })
                .group_by_fold(
                    |(station, _)| station.clone(),
                    (i64::MAX, i64::MIN, 0, 0),
                    |seen, (_, tenths)| merge(seen, (tenths, tenths, tenths, 1)),
                    merge,
                )
                .collect_vec();
            context.execute_blocking();
            let degrees = |tenths: i64| format!("{:.1}", tenths as f64 / 10.0);
            for (station, (least, greatest, sum, count)) in stations.get().ok_or(missing)? {
                let mean = (2 * sum + count).div_euclid(2 * count);
                let (least, greatest) = (degrees(least), degrees(greatest));
                writeln!(out, "{station};{least};{};{greatest}", degrees(mean))?;
            }
        }
        _ => return Err(format!("no such work: {work}").into()),
    }
    out.flush()?;
    println!("took {:.4}", start.elapsed().as_secs_f64());
    Ok(())
}
