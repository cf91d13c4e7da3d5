//! Columns of tuples, aggregates without a plan, and predicates against plain closures.

use super::*;
use crate::push::Selection;
use crate::record::{Builder, Decimal};
use proptest::prelude::*;

type Row = (Option<i16>, f64, Option<String>, u8);

fn batch<T: Record>(rows: &[T]) -> T::Batch {
    let mut builder = T::Builder::default();
    rows.iter().for_each(|row| builder.push(row.view()));
    builder.finish()
}

/// What an aggregate gives of rows that are cut into parts at each of `cuts`, some of which travel: by accumulators and
/// by tallies.
fn aggregate<T: Columns, A: Aggregate<T>>(
    rows: &[T],
    cuts: &[usize],
    a: A,
) -> Result<A::Out, SumOverflow>
where
    A::Out: Debug,
{
    let values = a.values(&batch(rows), Selection::All);
    let (mut pushed, mut tallied): (Option<A::Acc>, Option<A::Acc>) = (None, None);
    let mut from = 0;
    for to in 1..=rows.len() {
        if to < rows.len() && !cuts.contains(&(to - 1)) {
            continue;
        }
        let mut part = A::start(values.get(from));
        (from + 1..to).for_each(|row| A::push(&mut part, values.get(row)));
        merge::<T, A>(&mut pushed, A::from_wire(A::to_wire(&part).view()));
        let mut tally = A::empty();
        (from..to).for_each(|row| A::tally(&mut tally, values.get(row)));
        merge::<T, A>(&mut tallied, A::tallied(tally, (to - from) as u64).unwrap());
        from = to;
    }
    assert!(A::tallied(A::empty(), 0).is_none());
    let result = a.finish(&pushed.unwrap());
    assert_eq!(format!("{:?}", a.finish(&tallied.unwrap())), format!("{result:?}"));
    result
}

fn merge<T: Columns, A: Aggregate<T>>(total: &mut Option<A::Acc>, part: A::Acc) {
    match total {
        None => *total = Some(part),
        Some(total) => A::merge(total, part),
    }
}

#[test]
fn nulls_are_left_out() {
    type Pair = (Option<i32>, Option<f64>);
    let c = Pair::COLS;
    let rows: Vec<Pair> =
        vec![(None, None), (Some(4), None), (None, None), (Some(-1), None), (None, None)];
    for cuts in [&[][..], &[0, 2], &[1, 3]] {
        let sums = (c.0.sum(), c.0.mean(), c.0.min(), c.0.max());
        let expected = (Some(3i64), Some(1.5), Some(-1), Some(4));
        assert_eq!(aggregate(&rows, cuts, sums).unwrap(), expected);
        let nothing = (c.1.sum(), c.1.mean(), c.1.min(), c.1.max());
        assert_eq!(aggregate(&rows, cuts, nothing).unwrap(), (None, None, None, None));
        let counts = (c.count(), c.0.count(), c.1.count());
        assert_eq!(aggregate(&rows, cuts, counts).unwrap(), (5, 2, 0));
    }
}

#[test]
fn sums_are_wide_and_say_when_they_do_not_fit() {
    type Pair = (i64, Option<u64>);
    let c = Pair::COLS;
    let back = [(i64::MAX, None), (i64::MAX, Some(1)), (i64::MIN, None), (i64::MIN, None)];
    assert_eq!(aggregate(&back, &[1], c.0.sum()).unwrap(), -2);
    assert_eq!(aggregate(&back[..2], &[], c.0.mean()).unwrap(), i64::MAX as f64);
    let error = aggregate(&back[..2], &[], (c.count(), c.0.sum())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sum(_0) does not fit i64; make the values `f64` or a decimal with more digits first"
    );
    let much = [(0, Some(u64::MAX)), (0, Some(1))];
    assert_eq!(aggregate(&much, &[], c.1.sum()).unwrap_err().of, "u64");
}

#[test]
fn means_of_decimals() {
    type Price = Decimal<38, 2>;
    type Pair = (Price, ());
    let c = Pair::COLS;
    let price = |raw| (Price::from_raw(raw).unwrap(), ());
    assert_eq!(aggregate(&[price(100), price(-350)], &[0], c.0.mean()).unwrap(), -1.25);
    let most = 10i128.pow(38) - 1;
    for sign in [1, -1] {
        // Their sum is beyond an `i128`.
        let mean = aggregate(&[price(sign * most); 5], &[], c.0.mean()).unwrap();
        assert!((mean / (sign as f64 * 1e36) - 1.0).abs() < 1e-14, "{mean}");
    }
}

#[test]
fn floats_in_total_order() {
    type Pair = (f64, f32);
    let c = Pair::COLS;
    let rows = [(0.0, 1.0), (f64::NAN, 0.5), (-0.0, f32::NAN)];
    let (least, greatest) = aggregate(&rows, &[], (c.0.min(), c.0.max())).unwrap();
    assert!(least == 0.0 && least.is_sign_negative() && greatest.is_nan());
    assert!(aggregate(&rows, &[], c.0.sum()).unwrap().is_nan());
    assert_eq!(aggregate(&[(0.1, 0.0), (0.2, 0.0)], &[], c.0.mean()).unwrap(), (0.1 + 0.2) / 2.0);
    let zeros = aggregate(&[(-0.0, 0.0), (-0.0, 0.0)], &[0], (c.0.sum(), c.0.mean())).unwrap();
    assert!(zeros.0.is_sign_negative() && zeros.1.is_sign_negative());
    // In `f64`: `f32` has no 2^24 + 1.
    let rows = [(0.0, 16_777_216.0), (0.0, 1.0), (0.0, 1.0)];
    assert_eq!(aggregate(&rows, &[], c.1.mean()).unwrap(), 16_777_218.0 / 3.0);
}

#[test]
fn predicates_as_text() {
    let c = Row::COLS;
    let (a, b) = (|| c.0.lt(1), || c.2.eq("x"));
    let text = |predicate: Predicate<Row>| predicate.to_string();
    assert_eq!(text(a().or(b()).and(a())), r#"(_0 < 1 or _2 = "x") and _0 < 1"#);
    assert_eq!(text(a().or(b().and(a()))), r#"_0 < 1 or _2 = "x" and _0 < 1"#);
    assert_eq!(text(!a().or(b())), r#"not (_0 < 1 or _2 = "x")"#);
    assert_eq!(text(c.1.is_in([f64::NAN, 2.0, 1.0, 2.0])), "_1 in (1.0, 2.0)");
}

#[test]
fn a_key_of_columns_shares_their_buffers() {
    let batch = batch(&[(7u32, "a text that is not inline".to_string())]);
    let c = <(u32, String)>::COLS;
    let keys = (c.1, c.0).keys(&batch);
    assert_eq!(keys.get(0), ("a text that is not inline", 7));
    assert_eq!(keys.0.get(0).as_ptr(), batch.1.get(0).as_ptr());
    assert_eq!((c.1, c.0).describe(), "_1, _0");
}

/// True, false, or unknown.
type Truth = Option<bool>;

fn and(a: Truth, b: Truth) -> Truth {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// A predicate as data.
#[derive(Clone, Debug)]
enum Expression {
    Leaf(u8, (i16, i16), (&'static str, &'static str), f64),
    And(Box<(Expression, Expression)>),
    Or(Box<(Expression, Expression)>),
    Not(Box<Expression>),
}

const TEXTS: [&str; 4] = ["", "a", "b", "a text that is not inline"];

impl Expression {
    fn predicate(&self) -> Predicate<Row> {
        let c = Row::COLS;
        match self {
            &Expression::Leaf(kind, (n, m), (s, t), x) => match kind {
                0 => c.0.eq(n),
                1 => c.0.ne(n),
                2 => c.0.between(n, m),
                3 => c.0.is_in([n, m]),
                4 => c.0.is_null(),
                5 => c.1.lt(x),
                6 => c.1.le(x),
                7 => c.1.gt(x),
                8 => c.1.ge(x),
                9 => c.1.is_in([x, 0.0]),
                10 => c.1.ne(x),
                11 => c.2.gt(s),
                _ => c.2.is_in([s, t]),
            },
            Expression::And(both) => both.0.predicate().and(both.1.predicate()),
            Expression::Or(both) => both.0.predicate().or(both.1.predicate()),
            Expression::Not(other) => !other.predicate(),
        }
    }

    fn truth(&self, row: &Row) -> Truth {
        let not = |truth: Truth| truth.map(|truth| !truth);
        let (number, float, text) = (row.0, row.1, row.2.as_deref());
        match self {
            &Expression::Leaf(kind, (n, m), (s, t), x) => match kind {
                0 => number.map(|v| v == n),
                1 => number.map(|v| v != n),
                2 => number.map(|v| v >= n && v <= m),
                3 => number.map(|v| v == n || v == m),
                4 => Some(number.is_none()),
                5 => Some(float < x),
                6 => Some(float <= x),
                7 => Some(float > x),
                8 => Some(float >= x),
                9 => Some(float == x || float == 0.0),
                10 => Some(float != x),
                11 => text.map(|v| v > s),
                _ => text.map(|v| v == s || v == t),
            },
            Expression::And(both) => and(both.0.truth(row), both.1.truth(row)),
            // By the law of de Morgan.
            Expression::Or(both) => not(and(not(both.0.truth(row)), not(both.1.truth(row)))),
            Expression::Not(other) => not(other.truth(row)),
        }
    }
}

fn expression() -> impl Strategy<Value = Expression> {
    let text = || prop::sample::select(TEXTS.to_vec());
    let float = prop::sample::select(vec![0.0, -0.0, 1.5, f64::NAN, f64::INFINITY]);
    let leaf = (0..13u8, (-3i16..3, -3i16..3), (text(), text()), float)
        .prop_map(|(kind, numbers, texts, x)| Expression::Leaf(kind, numbers, texts, x));
    leaf.prop_recursive(4, 12, 2, |inner| {
        let two = (inner.clone(), inner.clone()).prop_map(Box::new);
        prop_oneof![
            two.clone().prop_map(Expression::And),
            two.prop_map(Expression::Or),
            inner.prop_map(|other| Expression::Not(Box::new(other))),
        ]
    })
}

fn row() -> impl Strategy<Value = Row> {
    let text = prop::sample::select(TEXTS.to_vec());
    (
        prop::option::of(-3i16..3),
        prop::sample::select(vec![0.0, -0.0, 1.5, -2.0, f64::NAN, f64::INFINITY]),
        prop::option::of(text.prop_map(String::from)),
        any::<u8>(),
    )
}

proptest! {
    #[test]
    fn predicates_keep_what_they_are_true_of(
        rows in prop::collection::vec(row(), 0..40),
        expression in expression(),
        selected in prop::option::of(prop::collection::vec(any::<bool>(), 40)),
    ) {
        let predicate = expression.predicate();
        let of_all = (0..rows.len() as u32).collect::<Vec<_>>();
        let selected: Option<Vec<u32>> = selected
            .map(|mask| of_all.iter().copied().filter(|row| mask[*row as usize]).collect());
        let selection = selected.as_deref().map_or(Selection::All, Selection::Rows);
        let mut found = vec![77];
        predicate.select(&batch(&rows), selection, &mut found);
        let expected: Vec<u32> = selected
            .unwrap_or(of_all)
            .into_iter()
            .filter(|row| expression.truth(&rows[*row as usize]) == Some(true))
            .collect();
        prop_assert_eq!(found, expected, "{} of {:?}", predicate, rows);
    }

    #[test]
    fn what_statistics_rule_out_does_not_hold(
        rows in prop::collection::vec(row(), 1..40),
        cuts in prop::collection::btree_set(1..40usize, 0..6),
        expression in expression(),
        told in prop::collection::vec(any::<[bool; 3]>(), 7),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < rows.len()).collect();
        cuts.insert(0, 0);
        cuts.push(rows.len());
        let parts: Vec<&[Row]> = cuts.windows(2).map(|cut| &rows[cut[0]..cut[1]]).collect();
        let mut statistics = |column: &str| match column {
            "_0" => Some(statistics_of(&parts, &told, |row| row.0, Ord::cmp)),
            "_1" => {
                let number = |row: &Row| (!row.1.is_nan()).then_some(row.1);
                let mut known = statistics_of(&parts, &told, number, f64::total_cmp);
                known.nulls = vec![Some(0); parts.len()];
                Some(known)
            }
            "_2" => Some(statistics_of(&parts, &told, |row| row.2.clone(), Ord::cmp)),
            _ => None,
        };
        let predicate = expression.predicate();
        let may = predicate.may_hold(parts.len(), &mut statistics);
        for (part, may) in parts.iter().zip(may) {
            let holds = part.iter().any(|row| expression.truth(row) == Some(true));
            prop_assert!(may || !holds, "{predicate} of {part:?}");
        }
    }
}

/// Statistics of parts, as far as they are told: the bounds, the number of nulls; bounds may be wider than the values.
fn statistics_of<V: Record + Clone>(
    parts: &[&[Row]],
    told: &[[bool; 3]],
    value: impl Fn(&Row) -> Option<V>,
    order: impl Fn(&V, &V) -> std::cmp::Ordering,
) -> ColumnStatistics {
    let (mut least, mut greatest, mut nulls) = (Vec::new(), Vec::new(), Vec::new());
    let all = || parts.iter().copied().flatten().filter_map(&value);
    for (part, [bounds, count, wide]) in parts.iter().zip(told) {
        let values: Vec<V> =
            if *wide { all().collect() } else { part.iter().filter_map(&value).collect() };
        least.push(values.iter().min_by(|a, b| order(a, b)).cloned().filter(|_| *bounds));
        greatest.push(values.iter().max_by(|a, b| order(a, b)).cloned().filter(|_| *bounds));
        let of_part = part.iter().filter(|row| value(row).is_none()).count() as u64;
        nulls.push(count.then_some(of_part));
    }
    ColumnStatistics {
        least: batch(&least).to_array(),
        greatest: batch(&greatest).to_array(),
        nulls,
        rows: parts.iter().map(|part| part.len() as u64).collect(),
        absent: None,
    }
}

#[test]
fn statistics_rule_out_parts() {
    let part = |from: i16, to: i16, nulls: u64| (Some(from), Some(to), nulls);
    let parts = [part(0, 4, 0), part(5, 9, 1), (None, None, 10), part(7, 7, 0), part(20, 29, 3)];
    let statistics = ColumnStatistics {
        least: batch(&parts.map(|part| part.0)).to_array(),
        greatest: batch(&parts.map(|part| part.1)).to_array(),
        nulls: parts.iter().map(|part| Some(part.2)).collect(),
        rows: vec![10; 5],
        absent: None,
    };
    let c = Row::COLS;
    let check = |predicate: Predicate<Row>, expected: &str| {
        let may = predicate.may_hold(5, &mut |column| {
            assert_eq!(column, "_0");
            Some(statistics.clone())
        });
        let found: String = may.iter().map(|may| if *may { 'x' } else { '.' }).collect();
        assert_eq!(found, expected, "{predicate}");
    };
    check(c.0.eq(7), ".x.x.");
    check(c.0.ne(7), "xx..x");
    check(c.0.lt(5), "x....");
    check(c.0.le(5), "xx...");
    check(c.0.gt(9), "....x");
    check(c.0.ge(9), ".x..x");
    check(c.0.between(4, 5), "xx...");
    check(!c.0.between(5, 9), "x...x");
    check(c.0.is_in([4, 21]), "x...x");
    check(c.0.is_null(), ".xx.x");
    check(!c.0.is_null(), "xx.xx");
    check(c.0.eq(7).or(c.0.gt(28)), ".x.xx");
    check(!(c.0.ge(5).and(c.0.lt(20))), "x...x");
    assert!(c.0.eq(7).and(c.1.lt(0.5)).columns().into_iter().eq(["_0", "_1"]));
}
