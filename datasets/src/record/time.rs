//! Dates and timestamps: days and microseconds since 1970, in the proleptic Gregorian calendar.

use super::logical::{Logical, LogicalBuilder, LogicalColumn, convert};
use super::logical::{logical_key, logical_record};
use super::text::TextRecord;
use super::{BindError, Heap, Key, Record};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A day. Its text is `2024-01-31`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Date {
    days: i32,
}

/// An instant, to the microsecond: Arrow's timestamp with a time zone. Its text is in UTC, `2024-01-31T08:30:00Z`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp {
    micros: i64,
}

/// What a calendar and a clock show somewhere, to the microsecond: Arrow's timestamp without a time zone. Its text
/// is `2024-01-31T08:30:00`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LocalTimestamp {
    micros: i64,
}

/// A text that is no date or timestamp.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {wanted}")]
pub struct ParseTimeError {
    text: String,
    wanted: &'static str,
}

impl Date {
    /// The day that is so many days after 1970-01-01.
    #[inline]
    pub const fn from_days(days: i32) -> Date {
        Date { days }
    }

    /// Days since 1970-01-01.
    #[inline]
    pub const fn days(self) -> i32 {
        self.days
    }

    /// The day of this year, month (from 1) and day of the month (from 1), if there is one.
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Date> {
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        // Years from March to February, in eras of 400 years.
        let year_of_march = i64::from(year) - i64::from(month <= 2);
        let (era, year_of_era) = (year_of_march.div_euclid(400), year_of_march.rem_euclid(400));
        let day_of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let date = Date { days: i32::try_from(era * 146_097 + day_of_era - 719_468).ok()? };
        (date.ymd() == (year, month, day)).then_some(date)
    }

    /// Year, month (from 1) and day of the month (from 1).
    pub fn ymd(self) -> (i32, u32, u32) {
        let days = i64::from(self.days) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_of_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_of_march + 2) / 5 + 1;
        let month = if month_of_march < 10 { month_of_march + 3 } else { month_of_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year as i32, month as u32, day as u32)
    }

    /// The year.
    pub fn year(self) -> i32 {
        self.ymd().0
    }

    /// The month, from 1.
    pub fn month(self) -> u32 {
        self.ymd().1
    }

    /// The day of the month, from 1.
    pub fn day(self) -> u32 {
        self.ymd().2
    }

    fn write(self, out: &mut Vec<u8>) {
        let (year, month, day) = self.ymd();
        if year < 0 {
            out.push(b'-');
        }
        let year = year.unsigned_abs();
        for unit in [1000, 100, 10] {
            if year < unit {
                out.push(b'0');
            }
        }
        out.extend_from_slice(itoa::Buffer::new().format(year).as_bytes());
        out.extend_from_slice(&[b'-', ten(month), one(month), b'-', ten(day), one(day)]);
    }
}

/// The second digit from the right.
fn ten(number: u32) -> u8 {
    b'0' + (number / 10 % 10) as u8
}

/// The last digit.
fn one(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

/// Date and time of day to the microsecond, with six digits only where they are needed.
fn write_micros(micros: i64, out: &mut Vec<u8>) {
    Date::from_days(micros.div_euclid(MICROS_PER_DAY) as i32).write(out);
    let of_day = micros.rem_euclid(MICROS_PER_DAY);
    let second = (of_day / MICROS_PER_SECOND) as u32;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    out.push(b'T');
    for (number, behind) in [(hour, Some(b':')), (minute, Some(b':')), (second, None)] {
        out.extend_from_slice(&[ten(number), one(number)]);
        out.extend(behind);
    }
    let mut fraction = (of_day % MICROS_PER_SECOND) as u32;
    if fraction > 0 {
        let mut digits = *b".000000";
        for digit in digits[1..].iter_mut().rev() {
            *digit = one(fraction);
            fraction /= 10;
        }
        out.extend_from_slice(&digits);
    }
}

/// A number of exactly as many digits.
fn digits(text: &str) -> Option<i64> {
    let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

fn parse_date(text: &str) -> Option<Date> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() < 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let year = i32::try_from(digits(year)?).ok()?;
    let year = if negative { -year } else { year };
    Date::from_ymd(year, digits(month)? as u32, digits(day)? as u32)
}

/// `date T time` without a zone, in microseconds.
fn parse_micros(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = whole.split(':');
    let mut part = |most: i64| {
        let text = parts.next().filter(|part| part.len() == 2)?;
        digits(text).filter(|&number| number <= most)
    };
    let (hour, minute) = (part(23)?, part(59)?);
    let second = part(59)?;
    if parts.next().is_some() || fraction.len() > 6 {
        return None;
    }
    let fraction = digits(fraction)? * 10i64.pow(6 - fraction.len() as u32);
    let of_day = ((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + fraction;
    i64::from(parse_date(date)?.days()).checked_mul(MICROS_PER_DAY)?.checked_add(of_day)
}

/// A zone at the end: `Z`, `+02:00`, `-0530`; what is before it, and its offset in microseconds.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(rest) = text.strip_suffix(['Z', 'z']) {
        return Some((rest, 0));
    }
    let at = text.rfind(['+', '-']).filter(|&at| text[..at].contains([':', 'T']))?;
    let (rest, zone) = text.split_at(at);
    let (hour, minute) = match zone.len() {
        6 if zone.as_bytes()[3] == b':' => (zone.get(1..3)?, zone.get(4..6)?),
        5 => (zone.get(1..3)?, zone.get(3..5)?),
        _ => return None,
    };
    let (hour, minute) = (digits(hour)?, digits(minute).filter(|&m| m < 60)?);
    let offset = (hour * 60 + minute) * 60 * MICROS_PER_SECOND;
    Some((rest, if zone.starts_with('-') { -offset } else { offset }))
}

macro_rules! by_text {
    ($type:ty, $wanted:literal, |$value:ident, $out:ident| $write:expr, $parse:expr) => {
        impl TextRecord for $type {
            fn write_text($value: $type, $out: &mut Vec<u8>) {
                $write
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut out = Vec::with_capacity(32);
                <$type as TextRecord>::write_text(*self, &mut out);
                f.pad(std::str::from_utf8(&out).expect("digits and signs"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $type {
            type Err = ParseTimeError;

            fn from_str(text: &str) -> Result<$type, ParseTimeError> {
                let parse: fn(&str) -> Option<$type> = $parse;
                parse(text).ok_or_else(|| ParseTimeError { text: text.into(), wanted: $wanted })
            }
        }
    };
}

by_text!(Date, "date such as 2024-01-31", |date, out| date.write(out), parse_date);
by_text!(
    Timestamp,
    "timestamp with a zone such as 2024-01-31T08:30:00Z",
    |time, out| {
        write_micros(time.micros, out);
        out.push(b'Z');
    },
    |text| {
        let (local, offset) = split_zone(text)?;
        parse_micros(local)?.checked_sub(offset).map(Timestamp::from_micros)
    }
);
by_text!(
    LocalTimestamp,
    "timestamp without a zone such as 2024-01-31T08:30:00",
    |time, out| write_micros(time.micros, out),
    |text| parse_micros(text).map(LocalTimestamp::from_micros)
);

macro_rules! timestamp {
    ($type:ident, $zone:expr, $said:literal) => {
        impl $type {
            #[doc = concat!("So many microseconds after 1970-01-01 00:00:00", $said, ".")]
            #[inline]
            pub const fn from_micros(micros: i64) -> $type {
                $type { micros }
            }

            #[doc = concat!("Microseconds since 1970-01-01 00:00:00", $said, ".")]
            #[inline]
            pub const fn micros(self) -> i64 {
                self.micros
            }

            #[doc = concat!("The day", $said, ".")]
            pub fn date(self) -> Date {
                Date::from_days(self.micros.div_euclid(MICROS_PER_DAY) as i32)
            }

            #[doc = concat!("The hour of the day", $said, ", 0 to 23.")]
            pub fn hour(self) -> u32 {
                (self.micros.rem_euclid(MICROS_PER_DAY) / (3600 * MICROS_PER_SECOND)) as u32
            }

            #[doc = concat!("The minute of the hour", $said, ", 0 to 59.")]
            pub fn minute(self) -> u32 {
                (self.micros.rem_euclid(MICROS_PER_DAY) / (60 * MICROS_PER_SECOND) % 60) as u32
            }

            /// The second of the minute, 0 to 59.
            pub fn second(self) -> u32 {
                (self.micros.rem_euclid(MICROS_PER_DAY) / MICROS_PER_SECOND % 60) as u32
            }
        }

        impl Logical for $type {
            type Arrow = TimestampMicrosecondType;
            const DATA_TYPE: fn() -> DataType =
                || DataType::Timestamp(TimeUnit::Microsecond, $zone.map(Into::into));

            #[inline]
            fn of(micros: i64) -> $type {
                $type { micros }
            }
            #[inline]
            fn raw(self) -> i64 {
                self.micros
            }
            fn bind(array: &ArrayRef) -> Result<ScalarBuffer<i64>, BindError> {
                let zone: Option<&str> = $zone;
                match array.data_type() {
                    DataType::Timestamp(unit, found) if found.is_some() == zone.is_some() => {
                        bind_micros(array, *unit)
                    }
                    // Midnight of the day; in which zone, nobody says.
                    DataType::Date32 if zone.is_none() => {
                        convert(array.as_primitive::<Date32Type>(), |days| {
                            Ok(i64::from(days) * 86_400 * MICROS_PER_SECOND)
                        })
                    }
                    found => Err(BindError::wrong_type::<$type>(found)),
                }
            }
        }

        logical_record!($type);
        logical_key!($type as i64);
    };
}

timestamp!(Timestamp, Some("UTC"), " in UTC");
timestamp!(LocalTimestamp, None::<&str>, "");

/// The microseconds of a timestamp array of any unit.
fn bind_micros(array: &ArrayRef, unit: TimeUnit) -> Result<ScalarBuffer<i64>, BindError> {
    let times = |factor: i64| {
        move |value: i64| {
            let micros = value.checked_mul(factor);
            micros.ok_or_else(|| format!("{value} is beyond the range of microseconds"))
        }
    };
    match unit {
        TimeUnit::Second => {
            convert(array.as_primitive::<TimestampSecondType>(), times(MICROS_PER_SECOND))
        }
        TimeUnit::Millisecond => {
            convert(array.as_primitive::<TimestampMillisecondType>(), times(1000))
        }
        TimeUnit::Microsecond => {
            Ok(array.as_primitive::<TimestampMicrosecondType>().values().clone())
        }
        TimeUnit::Nanosecond => convert(array.as_primitive::<TimestampNanosecondType>(), |nanos| {
            if nanos % 1000 == 0 {
                Ok(nanos / 1000)
            } else {
                Err(format!("{nanos} nanoseconds are no whole microseconds; read it as `i64`"))
            }
        }),
    }
}

impl Logical for Date {
    type Arrow = Date32Type;
    const DATA_TYPE: fn() -> DataType = || DataType::Date32;

    #[inline]
    fn of(days: i32) -> Date {
        Date { days }
    }
    #[inline]
    fn raw(self) -> i32 {
        self.days
    }
    fn bind(array: &ArrayRef) -> Result<ScalarBuffer<i32>, BindError> {
        match array.data_type() {
            DataType::Date32 => Ok(array.as_primitive::<Date32Type>().values().clone()),
            DataType::Date64 => convert(array.as_primitive::<Date64Type>(), |millis| {
                let days = (millis % 86_400_000 == 0).then_some(millis / 86_400_000);
                let days = days.and_then(|days| i32::try_from(days).ok());
                days.ok_or_else(|| format!("{millis} milliseconds are no day"))
            }),
            found => Err(BindError::wrong_type::<Date>(found)),
        }
    }
}

logical_record!(Date);
logical_key!(Date as i32);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Batch;
    use arrow::array::{Date64Array, TimestampMillisecondArray, TimestampNanosecondArray};
    use proptest::prelude::*;
    use std::sync::Arc;

    proptest! {
        #[test]
        fn days_have_a_date_and_back(days: i32) {
            let date = Date::from_days(days);
            let (year, month, day) = date.ymd();
            prop_assert_eq!(Date::from_ymd(year, month, day), Some(date));
            prop_assert_eq!(date.to_string().parse(), Ok(date));
        }

        #[test]
        fn timestamps_are_read_as_they_are_written(micros: i64) {
            let (time, local) = (Timestamp::from_micros(micros), LocalTimestamp::from_micros(micros));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
            prop_assert_eq!(local.to_string().parse(), Ok(local));
        }

        #[test]
        fn any_text_parses_or_not(text in "[0-9TZ:+. é-]{0,30}") {
            let _ = (text.parse::<Date>(), text.parse::<Timestamp>(), text.parse::<LocalTimestamp>());
        }
    }

    #[test]
    fn texts() {
        assert_eq!(Date::from_days(0).to_string(), "1970-01-01");
        assert_eq!(Date::from_ymd(2024, 2, 29).unwrap().days(), 19_782);
        assert_eq!(Date::from_ymd(2023, 2, 29), None);
        assert_eq!(Date::from_ymd(2023, 4, 31), None);
        let time: Timestamp = "2024-01-31T08:30:00.5+02:00".parse().unwrap();
        assert_eq!(time.to_string(), "2024-01-31T06:30:00.500000Z");
        assert_eq!((time.hour(), time.minute(), time.second()), (6, 30, 0));
        assert_eq!(time.date().to_string(), "2024-01-31");
        let local: LocalTimestamp = "1969-12-31 23:59:59".parse().unwrap();
        assert_eq!(local.micros(), -MICROS_PER_SECOND);
        for text in ["2024-1-31", "24-01-31", "2024-13-01", "", "2024-01-31-", "é024-01-31"] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
        for text in ["2024-01-31T08:30:00", "2024-01-31T24:00:00Z", "2024-01-31T08:30Z", "+0é:00"]
        {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        assert_eq!(
            "x".parse::<Date>().unwrap_err().to_string(),
            "`x` is no date such as 2024-01-31"
        );
    }

    #[test]
    fn other_units_bind_where_nothing_is_lost() {
        let millis: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1, -2]));
        let column = LogicalColumn::<LocalTimestamp>::from_array(&millis).unwrap();
        assert_eq!(column.get(1).micros(), -2000);
        let error = LogicalColumn::<Timestamp>::from_array(&millis).unwrap_err();
        assert!(matches!(error, BindError::Type { .. }), "{error}");
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![5000, 5001]));
        let error = LogicalColumn::<LocalTimestamp>::from_array(&nanos).unwrap_err();
        assert!(matches!(error, BindError::Value { row: 1, .. }), "{error}");
        let days: ArrayRef = Arc::new(arrow::array::Date32Array::from(vec![-1]));
        let column = LogicalColumn::<LocalTimestamp>::from_array(&days).unwrap();
        assert_eq!(column.get(0).to_string(), "1969-12-31T00:00:00");
        let days: ArrayRef = Arc::new(Date64Array::from(vec![-86_400_000]));
        assert_eq!(LogicalColumn::<Date>::from_array(&days).unwrap().get(0).days(), -1);
    }
}
