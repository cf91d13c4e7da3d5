//! Predicates over columns: what `|c| c.fare.gt(10.0).and(c.payment_type.eq("card"))` gives.

use super::Col;
use super::statistics::{ColumnStatistics, May, orders};
use super::values::{Coded, Comparable, MaybeNull};
use crate::push::Selection;
use crate::record::{Batch, Builder, Record};
use arrow::array::ArrayRef;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt::{self, Debug, Display, Formatter};
use std::sync::Arc;

/// A condition on the columns of a record: comparisons of a column with constants, joined by [`and`](Predicate::and),
/// [`or`](Predicate::or) and [`not`](Predicate::not).
///
/// As in SQL, what is compared with null is neither true nor false, nor is its opposite; only
/// [`is_null`](Col::is_null) tells. Floats are compared as in Rust: NaN is neither less nor greater than anything, and
/// unequal to all.
pub struct Predicate<T: Record>(Node<T>);

/// A comparison: says for which of some rows of a batch it is true, or false, as is wanted.
type Test<T> = Box<dyn Fn(&<T as Record>::Batch, Among<'_>, bool) -> usize + Send + Sync>;

enum Node<T: Record> {
    Leaf { column: &'static str, test: Test<T>, may: May, text: String, sought: bool },
    And(Box<[Node<T>; 2]>),
    Or(Box<[Node<T>; 2]>),
    Not(Box<Node<T>>),
}

impl<T: Record> Predicate<T> {
    /// Both.
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// let c = <(u32, String)>::COLS;
    /// assert_eq!(c.0.gt(1).and(c.1.ne("x")).to_string(), r#"_0 > 1 and _1 != "x""#);
    /// ```
    #[must_use]
    pub fn and(self, other: Predicate<T>) -> Predicate<T> {
        Predicate(Node::And(Box::new([self.0, other.0])))
    }

    /// One of them, or both.
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// let c = <(u32, String)>::COLS;
    /// assert_eq!(c.0.lt(1).or(c.0.ge(9)).to_string(), "_0 < 1 or _0 >= 9");
    /// ```
    #[must_use]
    pub fn or(self, other: Predicate<T>) -> Predicate<T> {
        Predicate(Node::Or(Box::new([self.0, other.0])))
    }

    /// The opposite.
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// let c = <(u32, Option<String>)>::COLS;
    /// assert_eq!(c.1.is_null().not().to_string(), "not (_1 is null)");
    /// ```
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "it is, too; so no trait has to be in scope")]
    pub fn not(self) -> Predicate<T> {
        Predicate(Node::Not(Box::new(self.0)))
    }

    /// The selected rows of a batch for which the predicate is true, into `rows`, ascending.
    pub fn select(&self, batch: &T::Batch, selection: Selection<'_>, rows: &mut Vec<u32>) {
        match selection {
            Selection::All => self.0.select(batch, rows, true),
            Selection::Rows(selected) => {
                rows.clear();
                rows.extend_from_slice(selected);
                self.0.retain(batch, rows, true);
            }
        }
    }

    /// For each of so many parts of a file, whether the predicate may be true of a row of it. `statistics` says what is
    /// known of a column, by name.
    pub fn may_hold(
        &self,
        parts: usize,
        statistics: &mut dyn FnMut(&str) -> Option<ColumnStatistics>,
    ) -> Vec<bool> {
        self.0.may(parts, statistics, true)
    }

    /// About which share of rows it is true of, by its form alone: one in ten for a comparison that seeks a constant, one
    /// in three for any other (Selinger and others, "Access Path Selection in a Relational Database Management System",
    /// 1979).
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// let c = <(u32, String)>::COLS;
    /// assert_eq!(c.1.eq("x").and(c.0.eq(2).or(c.0.eq(3))).estimated_share(), 0.1 * 0.19);
    /// ```
    pub fn estimated_share(&self) -> f64 {
        self.0.estimated_share()
    }

    /// The names of its columns.
    pub fn columns(&self) -> BTreeSet<&'static str> {
        let mut names = BTreeSet::new();
        self.0.columns(&mut names, false);
        names
    }

    /// The names of those of its columns that are sought for constants, by `eq` and `is_in`: of these it pays to know
    /// what is [absent](ColumnStatistics::absent).
    pub fn columns_sought(&self) -> BTreeSet<&'static str> {
        let mut names = BTreeSet::new();
        self.0.columns(&mut names, true);
        names
    }
}

impl<T: Record> std::ops::Not for Predicate<T> {
    type Output = Predicate<T>;

    fn not(self) -> Predicate<T> {
        self.not()
    }
}

impl<T: Record> Node<T> {
    /// The rows of a batch for which this is `wanted`, as in [`Node::retain`].
    fn select(&self, batch: &T::Batch, rows: &mut Vec<u32>, wanted: bool) {
        match (self, wanted) {
            (Node::Leaf { test, .. }, _) => {
                let mut marks = vec![false; batch.len()];
                let count = test(batch, Among::All(&mut marks), wanted);
                marked(&marks, count, rows);
            }
            (Node::Not(node), _) => node.select(batch, rows, !wanted),
            (Node::And(nodes), true) | (Node::Or(nodes), false) => {
                let [a, b] = &**nodes;
                a.select(batch, rows, wanted);
                b.retain(batch, rows, wanted);
            }
            (Node::And(_), false) | (Node::Or(_), true) => {
                rows.clear();
                rows.extend(0..batch.len() as u32);
                self.retain(batch, rows, wanted);
            }
        }
    }

    /// Keeps the rows for which this is `wanted`: true or false. Where it is unknown, because of a null, it is neither.
    fn retain(&self, batch: &T::Batch, rows: &mut Vec<u32>, wanted: bool) {
        match (self, wanted) {
            (Node::Leaf { test, .. }, _) => {
                let kept = test(batch, Among::Rows(rows), wanted);
                rows.truncate(kept);
            }
            (Node::Not(node), _) => node.retain(batch, rows, !wanted),
            (Node::And(nodes), true) | (Node::Or(nodes), false) => {
                nodes.iter().for_each(|node| node.retain(batch, rows, wanted));
            }
            (Node::And(nodes), false) | (Node::Or(nodes), true) => {
                let [a, b] = &**nodes;
                let mut of_a = rows.clone();
                a.retain(batch, &mut of_a, wanted);
                let mut of_b = without(rows, &of_a);
                b.retain(batch, &mut of_b, wanted);
                merge(&of_a, &of_b, rows);
            }
        }
    }

    fn may(
        &self,
        parts: usize,
        statistics: &mut dyn FnMut(&str) -> Option<ColumnStatistics>,
        wanted: bool,
    ) -> Vec<bool> {
        match (self, wanted) {
            (Node::Leaf { column, may, .. }, _) => match statistics(column) {
                Some(known) if known.rows.len() == parts => may(&known, wanted),
                _ => vec![true; parts],
            },
            (Node::Not(node), _) => node.may(parts, statistics, !wanted),
            (Node::And(nodes) | Node::Or(nodes), _) => {
                let both = matches!((self, wanted), (Node::And(_), true) | (Node::Or(_), false));
                let [a, b] = &**nodes;
                let (a, b) = (a.may(parts, statistics, wanted), b.may(parts, statistics, wanted));
                a.into_iter().zip(b).map(|(a, b)| if both { a && b } else { a || b }).collect()
            }
        }
    }

    fn estimated_share(&self) -> f64 {
        match self {
            Node::Leaf { sought: true, .. } => 0.1,
            Node::Leaf { .. } => 1.0 / 3.0,
            Node::And(nodes) => nodes[0].estimated_share() * nodes[1].estimated_share(),
            Node::Or(nodes) => {
                let [a, b] = [nodes[0].estimated_share(), nodes[1].estimated_share()];
                a + b - a * b
            }
            Node::Not(node) => 1.0 - node.estimated_share(),
        }
    }

    fn columns(&self, names: &mut BTreeSet<&'static str>, only_sought: bool) {
        match self {
            Node::Leaf { column, sought, .. } => {
                if *sought || !only_sought {
                    names.insert(column);
                }
            }
            Node::Not(node) => node.columns(names, only_sought),
            Node::And(nodes) | Node::Or(nodes) => {
                nodes.iter().for_each(|node| node.columns(names, only_sought));
            }
        }
    }

    /// Writes it, in parentheses where it would bind less than what is around it.
    fn write(&self, f: &mut Formatter<'_>, around: u8) -> fmt::Result {
        let (binds, word, nodes) = match self {
            Node::Leaf { text, .. } => return f.write_str(text),
            Node::Not(node) => {
                f.write_str("not (")?;
                node.write(f, 0)?;
                return f.write_str(")");
            }
            Node::Or(nodes) => (1, " or ", nodes),
            Node::And(nodes) => (2, " and ", nodes),
        };
        if binds < around {
            f.write_str("(")?;
        }
        nodes[0].write(f, binds)?;
        f.write_str(word)?;
        nodes[1].write(f, binds)?;
        if binds < around {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl<T: Record> Display for Predicate<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.write(f, 0)
    }
}

impl<T: Record> Debug for Predicate<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Predicate({self})")
    }
}

/// The rows that are not among `others`, which are some of them; both ascend.
fn without(rows: &[u32], others: &[u32]) -> Vec<u32> {
    let mut others = others.iter().peekable();
    rows.iter().copied().filter(|row| others.next_if_eq(&row).is_none()).collect()
}

/// The rows of both, ascending, into `out`.
fn merge(a: &[u32], b: &[u32], out: &mut Vec<u32>) {
    out.clear();
    let mut b = b.iter().copied().peekable();
    for &row in a {
        while let Some(other) = b.next_if(|other| *other < row) {
            out.push(other);
        }
        out.push(row);
    }
    out.extend(b);
}

/// What is tested.
enum Among<'r> {
    /// These rows: those that pass come to the front.
    Rows(&'r mut [u32]),
    /// All rows of a batch: each is told whether it passes.
    All(&'r mut [bool]),
}

impl Among<'_> {
    /// How many rows are tested.
    fn len(&self) -> usize {
        match self {
            Among::Rows(rows) => rows.len(),
            Among::All(marks) => marks.len(),
        }
    }

    /// Tests the rows; how many pass.
    #[inline(always)]
    fn test(self, passes: impl Fn(usize) -> bool) -> usize {
        match self {
            Among::Rows(rows) => keep(rows, passes),
            Among::All(marks) => mark(marks, passes),
        }
    }
}

// Of the loops below each writes a slice alone: so the compiler knows that the batch stays as it is meanwhile, and loads
// its parts once. None has a branch for the processor to guess.

/// Moves the rows that pass to the front; how many.
#[inline(always)]
fn keep(rows: &mut [u32], passes: impl Fn(usize) -> bool) -> usize {
    let mut kept = 0;
    for at in 0..rows.len() {
        let row = rows[at];
        // Written always, and counted if it passes.
        rows[kept] = row;
        kept += usize::from(passes(row as usize));
    }
    kept
}

/// Marks the rows that pass; how many.
#[inline(always)]
fn mark(marks: &mut [bool], passes: impl Fn(usize) -> bool) -> usize {
    let mut count = 0;
    for (row, mark) in marks.iter_mut().enumerate() {
        *mark = passes(row);
        count += usize::from(*mark);
    }
    count
}

/// The rows that are marked, `count` of them, ascending, into `rows`.
fn marked(marks: &[bool], count: usize, rows: &mut Vec<u32>) {
    rows.clear();
    // One more, since each row is written, and stays if it is marked.
    rows.resize(count + 1, 0);
    let mut kept = 0;
    for (row, &mark) in (0_u32..).zip(marks) {
        rows[kept] = row;
        kept += usize::from(mark);
    }
    rows.truncate(kept);
}

/// Values as an Arrow array.
fn array_of<V: Record>(values: &[V]) -> ArrayRef {
    let mut builder = V::Builder::default();
    values.iter().for_each(|value| builder.push(value.view()));
    builder.finish().to_array()
}

/// What a column is compared with.
type Value<V> = <V as MaybeNull>::Value;
type ValueView<'v, V> = <Value<V> as Record>::View<'v>;

impl<T: Record, V: Record> Col<T, V> {
    /// The predicate that is `test` of a value, and unknown of null.
    fn test(
        self,
        text: String,
        test: impl for<'a> Fn(ValueView<'a, V>) -> bool + Send + Sync + 'static,
        may: May,
        sought: bool,
    ) -> Predicate<T>
    where
        V: MaybeNull,
    {
        let test: Test<T> = Box::new(move |batch, among, wanted| {
            let column = self.of(batch);
            if let Some(Coded { codes, nulls, values }) = V::coded(column)
                && values.len() < among.len()
            {
                // Once a value, not once a row.
                let passes: Vec<bool> =
                    (0..values.len()).map(|at| test(values.get(at)) == wanted).collect();
                let passes = |row: usize| passes.get(codes[row] as usize).is_some_and(|&p| p);
                return match nulls {
                    None => among.test(passes),
                    Some(nulls) => among.test(|row| nulls.is_valid(row) && passes(row)),
                };
            }
            among.test(|row| {
                // SAFETY: rows of a selection are below the batch's length, and no column is shorter.
                let value = V::value(unsafe { column.get_unchecked(row) });
                value.is_some_and(|value| test(value) == wanted)
            })
        });
        Predicate(Node::Leaf { column: self.name, test, may, text, sought })
    }

    /// The predicate whether the order of a value to a constant is one that is `accepted`.
    fn compare(
        self,
        sign: &str,
        with: ValueView<'_, V>,
        accepted: impl Fn(Option<Ordering>) -> bool + Send + Sync + 'static,
    ) -> Predicate<T>
    where
        V: MaybeNull,
    {
        let with = Arc::new((<Value<V>>::own(with), accepted));
        let text = format!("{} {sign} {:?}", self.name, with.0);
        let of_may = with.clone();
        // Only what is equal to a constant is missed where the constant is absent.
        let sought = sign == "=";
        let values = array_of(std::slice::from_ref(&with.0));
        let may: May = Box::new(move |known, wanted| {
            let (constant, accepted) = &*of_may;
            let accepted = |order| accepted(order) == wanted;
            let may = known.values::<Value<V>>(accepted(None), |least, greatest| {
                orders::<Value<V>>(least, greatest, constant, |order| accepted(Some(order)))
            });
            if sought && wanted { known.without_absent(may, &values) } else { may }
        });
        let test = move |value: ValueView<'_, V>| {
            let (constant, accepted) = &*with;
            accepted(<Value<V>>::compare(value, constant.view()))
        };
        self.test(text, test, may, sought)
    }

    /// Equal to a constant.
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// assert_eq!(<(u32, String)>::COLS.1.eq("card").to_string(), r#"_1 = "card""#);
    /// ```
    pub fn eq(self, value: ValueView<'_, V>) -> Predicate<T>
    where
        V: MaybeNull,
    {
        self.compare("=", value, |order| order == Some(Ordering::Equal))
    }

    /// Other than a constant.
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// assert_eq!(<(u32, String)>::COLS.0.ne(7).to_string(), "_0 != 7");
    /// ```
    pub fn ne(self, value: ValueView<'_, V>) -> Predicate<T>
    where
        V: MaybeNull,
    {
        self.compare("!=", value, |order| order != Some(Ordering::Equal))
    }

    /// Less than a constant.
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// assert_eq!(<(u32, f64)>::COLS.1.lt(0.5).to_string(), "_1 < 0.5");
    /// ```
    pub fn lt(self, value: ValueView<'_, V>) -> Predicate<T>
    where
        V: MaybeNull,
    {
        self.compare("<", value, |order| order == Some(Ordering::Less))
    }

    /// Less than a constant, or equal.
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// assert_eq!(<(u32, f64)>::COLS.1.le(0.5).to_string(), "_1 <= 0.5");
    /// ```
    pub fn le(self, value: ValueView<'_, V>) -> Predicate<T>
    where
        V: MaybeNull,
    {
        self.compare("<=", value, |order| order.is_some_and(Ordering::is_le))
    }

    /// Greater than a constant.
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// assert_eq!(<(u32, Option<f64>)>::COLS.1.gt(10.0).to_string(), "_1 > 10.0");
    /// ```
    pub fn gt(self, value: ValueView<'_, V>) -> Predicate<T>
    where
        V: MaybeNull,
    {
        self.compare(">", value, |order| order == Some(Ordering::Greater))
    }

    /// Greater than a constant, or equal.
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// assert_eq!(<(u32, f64)>::COLS.0.ge(10).to_string(), "_0 >= 10");
    /// ```
    pub fn ge(self, value: ValueView<'_, V>) -> Predicate<T>
    where
        V: MaybeNull,
    {
        self.compare(">=", value, |order| order.is_some_and(Ordering::is_ge))
    }

    /// From one constant to another, both included.
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// assert_eq!(<(u32, f64)>::COLS.0.between(1, 9).to_string(), "_0 between 1 and 9");
    /// ```
    pub fn between(self, least: ValueView<'_, V>, greatest: ValueView<'_, V>) -> Predicate<T>
    where
        V: MaybeNull,
    {
        let ends = Arc::new((<Value<V>>::own(least), <Value<V>>::own(greatest)));
        let text = format!("{} between {:?} and {:?}", self.name, ends.0, ends.1);
        let of_may = ends.clone();
        let may: May = Box::new(move |known, wanted| {
            let (from, to) = &*of_may;
            known.values::<Value<V>>(!wanted, |least, greatest| {
                let reaches = |end, accepted: fn(Ordering) -> bool| {
                    let least = <Value<V>>::shorten(least);
                    orders::<Value<V>>(least, <Value<V>>::shorten(greatest), end, accepted)
                };
                if wanted {
                    reaches(from, Ordering::is_ge) && reaches(to, Ordering::is_le)
                } else {
                    reaches(from, Ordering::is_lt) || reaches(to, Ordering::is_gt)
                }
            })
        });
        let test = move |value: ValueView<'_, V>| {
            let from = <Value<V>>::compare(<Value<V>>::shorten(value), ends.0.view());
            let to = <Value<V>>::compare(value, ends.1.view());
            from.is_some_and(Ordering::is_ge) && to.is_some_and(Ordering::is_le)
        };
        self.test(text, test, may, false)
    }

    /// One of several constants.
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// let c = <(u32, String)>::COLS;
    /// assert_eq!(c.0.is_in([7, 3]).to_string(), "_0 in (3, 7)");
    /// assert_eq!(c.1.is_in(["card", "cash"]).to_string(), r#"_1 in ("card", "cash")"#);
    /// ```
    pub fn is_in<'v>(self, values: impl IntoIterator<Item = ValueView<'v, V>>) -> Predicate<T>
    where
        V: MaybeNull,
    {
        let compare = |a: &Value<V>, b: &Value<V>| <Value<V>>::compare(a.view(), b.view());
        let mut values: Vec<Value<V>> = values.into_iter().map(<Value<V>>::own).collect();
        // Nothing equals NaN, so that those that are left have a total order.
        values.retain(|value| compare(value, value).is_some());
        values.sort_by(|a, b| compare(a, b).unwrap_or(Ordering::Equal));
        values.dedup_by(|a, b| compare(a, b) == Some(Ordering::Equal));
        let texts: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        let text = format!("{} in ({})", self.name, texts.join(", "));
        let values = Arc::new(values);
        let of_may = values.clone();
        let array = array_of(&values);
        let may: May = Box::new(move |known, wanted| {
            let may = known.values::<Value<V>>(!wanted, |least, greatest| {
                let equals = |value| {
                    let least = <Value<V>>::shorten(least);
                    orders::<Value<V>>(least, <Value<V>>::shorten(greatest), value, Ordering::is_eq)
                };
                // That all values are among the constants is not looked into.
                !wanted || of_may.iter().any(equals)
            });
            if wanted { known.without_absent(may, &array) } else { may }
        });
        let test = move |value: ValueView<'_, V>| {
            let order = |other: &Value<V>| {
                <Value<V>>::compare(other.view(), <Value<V>>::shorten(value))
                    .unwrap_or(Ordering::Less)
            };
            values.binary_search_by(order).is_ok()
        };
        self.test(text, test, may, true)
    }

    /// Null. Of a column without nulls it is false.
    ///
    /// ```
    /// # use windrow_datasets::Columns;
    /// assert_eq!(<(u32, Option<f64>)>::COLS.1.is_null().to_string(), "_1 is null");
    /// ```
    pub fn is_null(self) -> Predicate<T> {
        let test: Test<T> = Box::new(move |batch, among, wanted| {
            let column = self.of(batch);
            among.test(|row| {
                // SAFETY: rows of a selection are below the batch's length, and no column is shorter.
                V::is_null(unsafe { column.get_unchecked(row) }) == wanted
            })
        });
        let may: May = Box::new(|known, wanted| known.nulls(wanted));
        let text = format!("{} is null", self.name);
        Predicate(Node::Leaf { column: self.name, test, may, text, sought: false })
    }
}
