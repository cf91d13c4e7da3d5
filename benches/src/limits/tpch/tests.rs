//! The works against plain loops over the same rows.

use super::*;
use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use windrow_datasets::generate::tpch::{LineItem, Order, TpchTable};
use windrow_datasets::record::Batch;

/// A table in two files of several row groups, and its rows.
fn table<T: TpchTable>(folder: &Path) -> Vec<T> {
    let table = folder.join(T::NAME);
    fs::create_dir(&table).unwrap();
    let mut records = Vec::new();
    for part in 1..=2 {
        let file = fs::File::create(table.join(format!("part-{part}.parquet"))).unwrap();
        let properties =
            WriterProperties::builder().set_max_row_group_row_count(Some(5000)).build();
        let mut writer = None;
        for rows in T::rows(0.005, part, 2, 3000) {
            let rows = rows.unwrap();
            writer
                .get_or_insert_with(|| {
                    ArrowWriter::try_new(
                        file.try_clone().unwrap(),
                        rows.schema(),
                        Some(properties.clone()),
                    )
                    .unwrap()
                })
                .write(&rows)
                .unwrap();
            let rows: ArrayRef = Arc::new(arrow::array::StructArray::from(rows));
            let rows = T::Batch::from_array(&rows).unwrap();
            records.extend((0..rows.len()).map(|row| T::own(rows.get(row))));
        }
        writer.unwrap().close().unwrap();
    }
    records
}

fn answer(work: Work, input: &Path, threads: usize) -> RecordBatch {
    let output = tempfile::tempdir().unwrap();
    let output = output.path().join("out");
    run(work, input, &output, threads).unwrap();
    let file = fs::File::open(output.join("part-00000.parquet")).unwrap();
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.next().unwrap().unwrap()
}

fn decimal(batch: &RecordBatch, name: &str) -> Vec<i128> {
    batch.column_by_name(name).unwrap().as_primitive::<Decimal128Type>().values().to_vec()
}

fn number(batch: &RecordBatch, name: &str) -> Vec<i64> {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn works_are_what_loops_give() {
    let folder = tempfile::tempdir().unwrap();
    let lines = table::<LineItem>(folder.path());
    let orders_of = table::<Order>(folder.path());
    let q6: i128 = lines
        .iter()
        .filter(|l| l.l_shipdate.year() == 1994 && (5..=7).contains(&l.l_discount.raw()))
        .filter(|l| l.l_quantity.raw() < 2400)
        .map(|l| l.l_extendedprice.raw() * l.l_discount.raw())
        .sum();
    let mut q1 = BTreeMap::<_, (i128, i64)>::new();
    let mut orders = BTreeMap::<_, (i64, i64)>::new();
    let mut parts = BTreeMap::<_, (i64, i64)>::new();
    let mut modes = BTreeMap::<_, (i64, i64)>::new();
    let priority_of: BTreeMap<_, _> =
        orders_of.iter().map(|o| (o.o_orderkey, &o.o_orderpriority)).collect();
    let mut priorities = BTreeMap::<_, (i64, i64)>::new();
    for l in &lines {
        let quantity = l.l_quantity.raw() as i64;
        let of = |(sum, count): (i64, i64)| (sum + quantity, count + 1);
        let order = orders.entry(l.l_orderkey).or_default();
        *order = of(*order);
        let part = parts.entry((l.l_partkey, l.l_suppkey)).or_default();
        *part = of(*part);
        let mode = modes.entry(&l.l_shipmode).or_default();
        *mode = of(*mode);
        let (price, count) = priorities.entry(priority_of[&l.l_orderkey]).or_default();
        *price += l.l_extendedprice.raw() as i64;
        *count += 1;
        if l.l_shipdate.ymd() <= (1998, 9, 2) {
            let price = l.l_extendedprice.raw() * (100 - l.l_discount.raw());
            let (charge, count) = q1.entry((&l.l_returnflag, &l.l_linestatus)).or_default();
            *charge += price * (100 + l.l_tax.raw());
            *count += 1;
        }
    }
    for threads in [1, 3] {
        assert_eq!(decimal(&answer(Work::Q6, folder.path(), threads), "revenue"), [q6]);
        let found = answer(Work::Q1, folder.path(), threads);
        assert_eq!(decimal(&found, "sum_charge"), q1.values().map(|of| of.0).collect::<Vec<_>>());
        assert_eq!(number(&found, "count_order"), q1.values().map(|of| of.1).collect::<Vec<_>>());
        for (work, key, sum, groups) in [
            (Work::ByMode, "l_shipmode", "pieces", &modes),
            (Work::ByPriority, "o_orderpriority", "price", &priorities),
        ] {
            let found = answer(work, folder.path(), threads);
            let texts = found.column_by_name(key).unwrap().as_string::<i32>();
            let texts: Vec<_> = texts.iter().flatten().collect();
            assert_eq!(texts, groups.keys().map(|text| &***text).collect::<Vec<_>>());
            let sums: Vec<_> = groups.values().map(|of| i128::from(of.0)).collect();
            assert_eq!(decimal(&found, sum), sums);
            assert_eq!(number(&found, "lines"), groups.values().map(|of| of.1).collect::<Vec<_>>());
        }
        for (work, groups, mark) in [
            (
                Work::ByOrder,
                orders.values().collect::<Vec<_>>(),
                orders.iter().map(|(k, of)| k % 1009 * of.1).sum(),
            ),
            (
                Work::ByPart,
                parts.values().collect::<Vec<_>>(),
                parts.iter().map(|(k, of)| (k.0 + 7 * k.1) % 1009 * of.1).sum::<i64>(),
            ),
        ] {
            let found = answer(work, folder.path(), threads);
            assert_eq!(number(&found, "groups"), [groups.len() as i64]);
            assert_eq!(number(&found, "lines"), [lines.len() as i64]);
            assert_eq!(
                decimal(&found, "most"),
                [i128::from(groups.iter().map(|of| of.0).max().unwrap())]
            );
            assert_eq!(number(&found, "mark"), [mark]);
        }
    }
}
