//! `Decimal<P, S>`: exact numbers of at most `P` digits, `S` of them behind the point.

mod column;

pub use column::{DecimalBuilder, DecimalColumn};

use super::text::TextRecord;
use super::{Heap, Key, Record, mix};
use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::hash::Hasher;
use std::ops::{Add, Sub};
use std::str::FromStr;

/// An exact number of at most `P` digits (1 to 38), `S` of them behind the point (0 to `P`): Arrow's and Parquet's
/// decimal. `Decimal<9, 2>` goes to 9,999,999.99.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i128", into = "i128")]
pub struct Decimal<const P: u8, const S: i8> {
    /// The number times 10^S; less than 10^P in magnitude.
    raw: i128,
}

/// A number that is no `Decimal<P, S>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no number of at most {precision} digits, {scale} of them behind the point")]
pub struct DecimalError {
    text: String,
    precision: u8,
    scale: i8,
}

impl<const P: u8, const S: i8> Decimal<P, S> {
    /// One more than the greatest magnitude of `raw`.
    const LIMIT: i128 = {
        assert!(P >= 1 && P <= 38, "a decimal has 1 to 38 digits");
        assert!(S >= 0 && S as u8 <= P, "a decimal has 0 to P digits behind the point");
        10i128.pow(P as u32)
    };

    /// Whether any such number fits 64 bits: then columns are of these.
    pub(crate) const IS_NARROW: bool = P <= 18;

    /// 10^S.
    const ONE: i128 = 10i128.pow(S as u32);

    /// The decimal that is `raw` / 10^S, if it has at most `P` digits.
    #[inline]
    pub const fn from_raw(raw: i128) -> Option<Self> {
        let fits = if Self::IS_NARROW {
            // With what goes in one register, and one comparison: the numbers that fit, moved to begin at zero.
            let greatest = Self::LIMIT as i64 - 1;
            raw as i64 as i128 == raw
                && (raw as i64).wrapping_add(greatest) as u64 <= 2 * greatest as u64
        } else {
            raw > -Self::LIMIT && raw < Self::LIMIT
        };
        if fits { Some(Decimal { raw }) } else { None }
    }

    /// The number times 10^S.
    #[inline]
    pub const fn raw(self) -> i128 {
        self.raw
    }

    /// The decimal of a whole number.
    ///
    /// ```
    /// use windrow_datasets::record::Decimal;
    ///
    /// const ONE: Decimal<15, 2> = Decimal::whole(1);
    /// assert_eq!(ONE.to_string(), "1.00");
    /// ```
    ///
    /// # Panics
    /// If it has more than `P` digits with the `S` zeros behind the point.
    pub const fn whole(number: i64) -> Self {
        match (number as i128).checked_mul(Self::ONE) {
            Some(raw) => match Self::from_raw(raw) {
                Some(decimal) => decimal,
                None => panic!("the whole number has too many digits for this decimal"),
            },
            None => panic!("the whole number has too many digits for this decimal"),
        }
    }

    /// The exact product, as a decimal of so many digits behind the point as both factors have together.
    ///
    /// ```
    /// use windrow_datasets::record::Decimal;
    ///
    /// let price: Decimal<15, 2> = "20.50".parse()?;
    /// let share: Decimal<15, 2> = "0.07".parse()?;
    /// let product: Decimal<30, 4> = price.times(share);
    /// assert_eq!(product.to_string(), "1.4350");
    /// # Ok::<(), windrow_datasets::record::DecimalError>(())
    /// ```
    ///
    /// # Panics
    /// If the product has more than `P3` digits, which cannot be where `P3` is `P` + `P2` at least.
    #[inline]
    pub const fn times<const P2: u8, const S2: i8, const P3: u8, const S3: i8>(
        self,
        other: Decimal<P2, S2>,
    ) -> Decimal<P3, S3> {
        const {
            assert!(
                S3 as i16 == S as i16 + S2 as i16,
                "a product has the digits behind the point of both factors"
            );
        }
        let narrow = Self::IS_NARROW && Decimal::<P2, S2>::IS_NARROW;
        let raw = if narrow && Decimal::<P3, S3>::IS_NARROW {
            // All in 64 bits: an instruction, which tells if the product is longer.
            match (self.raw as i64).checked_mul(other.raw as i64) {
                Some(raw) => Some(raw as i128),
                None => None,
            }
        } else if narrow
            || self.raw as i64 as i128 == self.raw && other.raw as i64 as i128 == other.raw
        {
            // Factors of 64 bits, which is most often all there is: one instruction, too.
            Some(self.raw as i64 as i128 * other.raw as i64 as i128)
        } else {
            self.raw.checked_mul(other.raw)
        };
        let product = match raw {
            Some(raw) if P3 as u16 >= P as u16 + P2 as u16 => Some(Decimal { raw }),
            Some(raw) => Decimal::from_raw(raw),
            None => None,
        };
        match product {
            Some(product) => product,
            None => panic!(
                "a product of decimals has too many digits; take fewer digits for the factors"
            ),
        }
    }

    /// The sum, if it has at most `P` digits.
    #[inline]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        // Each is less than 10^38, so that the sum cannot overflow; and less than 10^18 where 64 bits hold it.
        Self::from_raw(match Self::IS_NARROW {
            true => (self.raw as i64).wrapping_add(other.raw as i64) as i128,
            false => self.raw.wrapping_add(other.raw),
        })
    }

    /// The difference, if it has at most `P` digits.
    #[inline]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        Self::from_raw(match Self::IS_NARROW {
            true => (self.raw as i64).wrapping_sub(other.raw as i64) as i128,
            false => self.raw.wrapping_sub(other.raw),
        })
    }

    /// The nearest `f64`, or one next to it.
    pub fn to_f64(self) -> f64 {
        self.raw as f64 / Self::ONE as f64
    }

    fn error(text: impl Into<String>) -> DecimalError {
        DecimalError { text: text.into(), precision: P, scale: S }
    }
}

/// The exact sum.
///
/// # Panics
/// If it has more than `P` digits.
impl<const P: u8, const S: i8> Add for Decimal<P, S> {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        self.checked_add(other).expect("a sum of decimals has at most as many digits as they")
    }
}

/// The exact difference.
///
/// # Panics
/// If it has more than `P` digits.
impl<const P: u8, const S: i8> Sub for Decimal<P, S> {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        self.checked_sub(other)
            .expect("a difference of decimals has at most as many digits as they")
    }
}

impl<const P: u8, const S: i8> TryFrom<i128> for Decimal<P, S> {
    type Error = DecimalError;

    /// The decimal of a raw number, as [`Decimal::from_raw`].
    fn try_from(raw: i128) -> Result<Self, DecimalError> {
        Self::from_raw(raw).ok_or_else(|| Self::error(format!("{raw}e-{S}")))
    }
}

impl<const P: u8, const S: i8> From<Decimal<P, S>> for i128 {
    /// The raw number.
    fn from(decimal: Decimal<P, S>) -> i128 {
        decimal.raw
    }
}

impl<const P: u8, const S: i8> TextRecord for Decimal<P, S> {
    fn write_text(view: Self, out: &mut Vec<u8>) {
        if view.raw < 0 {
            out.push(b'-');
        }
        let magnitude = view.raw.unsigned_abs();
        let one = Self::ONE as u128;
        out.extend_from_slice(itoa::Buffer::new().format(magnitude / one).as_bytes());
        if S > 0 {
            out.push(b'.');
            let mut buffer = itoa::Buffer::new();
            let fraction = buffer.format(magnitude % one);
            out.extend(std::iter::repeat_n(b'0', S as usize - fraction.len()));
            out.extend_from_slice(fraction.as_bytes());
        }
    }
}

impl<const P: u8, const S: i8> fmt::Display for Decimal<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::with_capacity(41);
        Self::write_text(*self, &mut out);
        f.pad(std::str::from_utf8(&out).expect("digits and signs"))
    }
}

impl<const P: u8, const S: i8> fmt::Debug for Decimal<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const P: u8, const S: i8> FromStr for Decimal<P, S> {
    type Err = DecimalError;

    /// Reads `-12.50`; more digits behind the point than `S` are allowed where they are zeros.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let parse = || {
            let (negative, number) = match text.strip_prefix(['-', '+']) {
                Some(rest) => (text.starts_with('-'), rest),
                None => (false, text),
            };
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            let fraction = fraction.trim_end_matches('0');
            let padding = (S as usize).checked_sub(fraction.len())?;
            if number.is_empty() || number == "." {
                return None;
            }
            let mut raw = 0i128;
            for digit in whole.bytes().chain(fraction.bytes()) {
                let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
                raw = raw.checked_mul(10)?.checked_add(digit)?;
            }
            let raw = raw.checked_mul(10i128.pow(padding as u32))?;
            Self::from_raw(if negative { -raw } else { raw })
        };
        parse().ok_or_else(|| Self::error(text))
    }
}

/// A raw decimal in two words: low, high. (An `i128` would align every slot that has it to 16 bytes.)
pub type DecimalSlot = [u64; 2];

#[inline]
const fn split(raw: i128) -> DecimalSlot {
    [raw as u64, (raw >> 64) as u64]
}

#[inline]
const fn join(slot: DecimalSlot) -> i128 {
    (((slot[1] as u128) << 64) | slot[0] as u128) as i128
}

impl<const P: u8, const S: i8> Record for Decimal<P, S> {
    type View<'a> = Self;
    type Batch = DecimalColumn<P, S>;
    type Builder = DecimalBuilder<P, S>;
    type Slot = DecimalSlot;

    #[inline]
    fn view(&self) -> Self {
        *self
    }
    #[inline]
    fn own(view: Self) -> Self {
        view
    }
    #[inline(always)]
    fn shorten<'short, 'long: 'short>(view: Self) -> Self {
        view
    }
    #[inline]
    fn keep(view: Self, _heap: &mut Heap) -> DecimalSlot {
        split(view.raw)
    }
    #[inline]
    unsafe fn slot_view(slot: &DecimalSlot) -> Self {
        Decimal { raw: join(*slot) }
    }
    fn data_type() -> DataType {
        if Self::IS_NARROW { DataType::Decimal64(P, S) } else { DataType::Decimal128(P, S) }
    }
}

/// The bits that hold any number of so many digits, with its sign: 64 and 96 where they suffice.
const fn bits_of(precision: u8) -> u32 {
    match precision {
        0..=18 => 64,
        19..=28 => 96,
        _ => 128,
    }
}

impl<const P: u8, const S: i8> Key for Decimal<P, S> {
    const PREFIX_IS_EXACT: bool = bits_of(P) <= 96;
    const PREFIX_BITS: u32 = bits_of(P);

    #[inline]
    fn probe(view: Self) -> DecimalSlot {
        split(view.raw)
    }
    #[inline]
    unsafe fn keep_slot(slot: &DecimalSlot, _heap: &mut Heap) -> DecimalSlot {
        *slot
    }
    #[inline]
    unsafe fn slot_hash(slot: &DecimalSlot) -> u64 {
        mix(slot[0], slot[1])
    }
    unsafe fn slot_feed(slot: &DecimalSlot, hasher: &mut impl Hasher) {
        slot.iter().for_each(|word| hasher.write_u64(*word));
    }
    #[inline]
    unsafe fn slot_eq(a: &DecimalSlot, b: &DecimalSlot) -> bool {
        a == b
    }
    #[inline]
    unsafe fn slot_cmp(a: &DecimalSlot, b: &DecimalSlot) -> Ordering {
        join(*a).cmp(&join(*b))
    }
    #[inline]
    unsafe fn prefix(slot: &DecimalSlot) -> u128 {
        // The sign bit of a number of that many bits is on top, and flipped.
        ((join(*slot) as u128) << (128 - bits_of(P))) ^ (1 << 127)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Batch, BindError, Builder};
    use arrow::array::{ArrayRef, Decimal64Array, Decimal128Array, Int16Array};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn orders<const P: u8, const S: i8>(a: i128, b: i128) {
        let limit = 10i128.pow(u32::from(P));
        let [a, b] = [a, b].map(|raw| Decimal::<P, S>::from_raw(raw % limit).unwrap());
        let [x, y] = [a, b].map(Decimal::<P, S>::probe);
        // SAFETY: a decimal's slot points to nothing.
        unsafe {
            assert_eq!(Decimal::<P, S>::slot_cmp(&x, &y), a.cmp(&b));
            let (p, q) = (Decimal::<P, S>::prefix(&x) >> 32, Decimal::<P, S>::prefix(&y) >> 32);
            if Decimal::<P, S>::PREFIX_IS_EXACT {
                assert_eq!(p.cmp(&q), a.cmp(&b));
            } else if p < q {
                assert!(a < b);
            }
        }
        assert_eq!(a.to_string().parse(), Ok(a));
    }

    proptest! {
        #[test]
        fn decimals_order_as_numbers(a: i128, b: i128, shift in 0..127u32) {
            orders::<38, 10>(a, b);
            orders::<28, 28>(a >> shift, b);
            orders::<18, 2>(a >> shift, b >> shift);
            orders::<1, 0>(a, b);
        }

        #[test]
        fn any_text_parses_or_not(text in "[-+0-9.e]{0,44}") {
            let _ = text.parse::<Decimal<38, 9>>();
        }
    }

    #[test]
    fn texts() {
        type Money = Decimal<9, 2>;
        for (text, raw) in [("12.5", 1250), ("-0.01", -1), ("7", 700), ("1.500", 150), (".5", 50)] {
            assert_eq!(text.parse::<Money>().unwrap().raw(), raw, "{text}");
        }
        for text in ["", "-", ".", "1.005", "10000000", "1e3", "1.2.3", "--1"] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
        assert_eq!(Money::from_raw(-5).unwrap().to_string(), "-0.05");
        assert_eq!(Decimal::<5, 0>::from_raw(42).unwrap().to_string(), "42");
        assert_eq!(Money::from_raw(1250).unwrap().to_f64(), 12.5);
    }

    #[test]
    fn products_are_exact() {
        type Money = Decimal<15, 2>;
        let money = |raw| Money::from_raw(raw).unwrap();
        let product: Decimal<30, 4> = money(-2050).times(money(7));
        assert_eq!(product.to_string(), "-1.4350");
        let most = 10i128.pow(15) - 1;
        let square: Decimal<30, 4> = money(most).times(money(-most));
        assert_eq!(square.raw(), -most * most);
        let great = Decimal::<30, 0>::from_raw(10i128.pow(22)).unwrap();
        let product: Decimal<38, 2> = great.times(money(10i128.pow(14)));
        assert_eq!(product.raw(), 10i128.pow(36));
        let fits: Decimal<4, 4> = money(33).times(money(33));
        assert_eq!(fits.to_string(), "0.1089");
        assert_eq!(money(100) - money(7) + Money::whole(2), money(293));
    }

    #[test]
    #[should_panic(expected = "too many digits")]
    fn a_product_of_too_many_digits_panics() {
        let great = Decimal::<38, 0>::from_raw(10i128.pow(37)).unwrap();
        let _: Decimal<38, 0> = great.times(great);
    }

    #[test]
    #[should_panic(expected = "a sum of decimals")]
    fn a_sum_of_too_many_digits_panics() {
        let _ = Decimal::<3, 0>::whole(999) + Decimal::whole(1);
    }

    #[test]
    fn narrower_decimals_and_integers_bind() {
        let array = Decimal128Array::from(vec![125]).with_precision_and_scale(5, 1).unwrap();
        let array: ArrayRef = Arc::new(array);
        let column = DecimalColumn::<9, 3>::from_array(&array).unwrap();
        assert_eq!(column.get(0).to_string(), "12.500");
        let error = DecimalColumn::<9, 0>::from_array(&array).unwrap_err();
        assert!(matches!(error, BindError::Type { .. }), "{error}");
        let array: ArrayRef = Arc::new(Int16Array::from(vec![-7]));
        let column = DecimalColumn::<9, 2>::from_array(&array).unwrap();
        assert_eq!(column.get(0).to_string(), "-7.00");
    }

    #[test]
    fn a_value_of_too_many_digits_is_refused() {
        let values = vec![1, 100_000];
        let array = Decimal128Array::from(values.clone()).with_precision_and_scale(5, 1).unwrap();
        let error = DecimalColumn::<5, 1>::from_array(&(Arc::new(array) as ArrayRef));
        assert!(matches!(error.unwrap_err(), BindError::Value { row: 1, .. }));
        let array = Decimal64Array::from(vec![1, -100_000, i64::MIN]);
        let array = array.with_precision_and_scale(5, 1).unwrap();
        let error = DecimalColumn::<5, 1>::from_array(&(Arc::new(array) as ArrayRef));
        assert!(matches!(error.unwrap_err(), BindError::Value { row: 1, .. }));
        let array = Decimal128Array::from(vec![10i128.pow(20), 0, 10i128.pow(20) - 1]);
        let array = array.with_precision_and_scale(20, 1).unwrap();
        let error = DecimalColumn::<20, 1>::from_array(&(Arc::new(array) as ArrayRef));
        assert!(matches!(error.unwrap_err(), BindError::Value { row: 0, .. }));
    }

    #[test]
    fn columns_of_few_and_of_many_digits_give_what_was_put_in() {
        fn check<const P: u8, const S: i8>(raws: &[i128], width: usize) {
            let mut builder = DecimalBuilder::<P, S>::default();
            raws.iter().for_each(|&raw| builder.push(Decimal::from_raw(raw).unwrap()));
            builder.push_blank();
            assert_eq!(builder.len(), raws.len() + 1);
            let array = builder.finish().to_array();
            assert_eq!(array.data_type().primitive_width(), Some(width));
            let column = DecimalColumn::<P, S>::from_array(&array).unwrap();
            let found: Vec<i128> = (0..raws.len()).map(|row| column.get(row).raw()).collect();
            assert_eq!(found, raws);
        }
        let most = |digits| 10i128.pow(digits) - 1;
        check::<18, 2>(&[0, -1, most(18), -most(18)], 8);
        check::<19, 2>(&[0, -1, most(19), -most(19)], 16);
        check::<38, 0>(&[most(38), -most(38)], 16);
    }
}
