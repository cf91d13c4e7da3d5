//! What it saves, or costs, to decode a filter's columns first: `late_decoding FOLDER`, with the table `lineitem` of
//! `windrow generate tpch`. Each filter reads the table on one thread: whole, and then filtered, as an operator does; and
//! by the source that the filter was given to.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use windrow_datasets::columns::Predicate;
use windrow_datasets::formats::ParquetSource;
use windrow_datasets::push::{Demand, Push, PushError, Selection};
use windrow_datasets::record::{Date, Decimal};
use windrow_datasets::source::{Source, SourceError};
use windrow_datasets::storage::Storage;
use windrow_datasets::{Batch, Columns, Record, for_selected};

type Money = Decimal<15, 2>;

#[derive(Record)]
#[record(crate = "windrow_datasets")]
struct Line {
    l_orderkey: i64,
    l_quantity: Money,
    l_extendedprice: Money,
    l_discount: Money,
    l_shipdate: Date,
    l_shipmode: String,
    l_comment: String,
}

/// How often each is measured; the least time counts.
const ROUNDS: usize = 5;

/// Looks at all columns of the rows that come, after a filter.
struct Look {
    filter: Option<Arc<Predicate<Line>>>,
    rows: Vec<u32>,
    count: u64,
    sum: i128,
}

impl Push<Line> for Look {
    fn batch(
        &mut self,
        batch: &<Line as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<Demand, PushError> {
        let selection = match &self.filter {
            Some(filter) => {
                filter.select(batch, selection, &mut self.rows);
                Selection::Rows(&self.rows)
            }
            None => selection,
        };
        for_selected!(selection, batch.len(), |index| {
            let line = batch.get(index);
            let texts = line.l_comment.len() + line.l_shipmode.len();
            let numbers =
                line.l_extendedprice.raw() + line.l_discount.raw() + line.l_quantity.raw();
            let days = i128::from(line.l_shipdate.days()) + i128::from(line.l_orderkey);
            self.sum += numbers + days + texts as i128;
            self.count += 1;
        });
        Ok(Demand::More)
    }

    fn finish(&mut self) -> Result<(), PushError> {
        Ok(())
    }
}

fn read(
    source: &ParquetSource<Line>,
    filter: Option<Arc<Predicate<Line>>>,
) -> Result<(Duration, u64, i128), SourceError> {
    let storage = Storage::new();
    let mut splits = Vec::new();
    source.split(&storage, &mut |split| {
        splits.push(split);
        Ok(())
    })?;
    let mut look = Look { filter, rows: Vec::new(), count: 0, sum: 0 };
    let begun = Instant::now();
    for split in &splits {
        for lane in 0..split.lanes {
            source.read(&storage, split, lane, &mut look)?;
        }
    }
    Ok((begun.elapsed(), look.count, black_box(look.sum)))
}

fn measure(folder: &str) -> Result<(), SourceError> {
    let whole = ParquetSource::<Line>::new(folder);
    let (_, all, _) = read(&whole, None)?;
    let c = Line::COLS;
    let pieces = |n: i64| Money::whole(n);
    let filters: Vec<Box<dyn Fn() -> Predicate<Line>>> = vec![
        Box::new(move || c.l_quantity.eq(pieces(1)).and(c.l_discount.eq(Money::whole(0)))),
        Box::new(move || c.l_quantity.eq(pieces(1))),
        Box::new(move || c.l_quantity.le(pieces(5))),
        Box::new(move || c.l_quantity.le(pieces(10))),
        Box::new(move || c.l_quantity.le(pieces(25))),
        Box::new(move || c.l_quantity.le(pieces(45))),
        Box::new(move || c.l_quantity.ge(pieces(0))),
        Box::new(move || c.l_shipmode.eq("RAIL")),
        Box::new(move || c.l_shipmode.ne("RAIL")),
        Box::new(move || c.l_shipdate.between(Date::from_days(8766), Date::from_days(9131))),
        Box::new(move || c.l_orderkey.lt(60_000)),
    ];
    println!(
        "{:>9} {:>10} {:>10} {:>6}  filter, of {all} rows",
        "passes", "after ms", "first ms", "ratio"
    );
    for filter in filters {
        let predicate = Arc::new(filter());
        let Some(pruned) = whole.pruned(predicate.clone()) else { continue };
        let mut best = [Duration::MAX; 2];
        let mut counts = [(0, 0); 2];
        for _ in 0..ROUNDS {
            for (at, run) in [read(&whole, Some(predicate.clone()))?, read(&pruned.source, None)?]
                .into_iter()
                .enumerate()
            {
                best[at] = best[at].min(run.0);
                counts[at] = (run.1, run.2);
            }
        }
        assert_eq!(counts[0], counts[1], "{predicate}: other rows");
        let [after, first] = best.map(|time| time.as_secs_f64() * 1000.0);
        let passes = counts[0].0 as f64 / all as f64;
        println!("{passes:>9.5} {after:>10.1} {first:>10.1} {:>6.2}  {predicate}", first / after);
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("late_decoding FOLDER: the folder `lineitem` of `windrow generate tpch`");
        return ExitCode::from(2);
    };
    match measure(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
