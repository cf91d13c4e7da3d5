//! The eight tables, with the columns of the specification under its names.
#![expect(missing_docs, reason = "the specification of TPC-H says what its columns are")]

use super::{Rows, TpchTable};
use crate::record::{Date, Decimal, Record};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

/// Prices, quantities and shares: `decimal(15, 2)`.
type Money = Decimal<15, 2>;

macro_rules! table {
    (
        $record:ident $name:literal $generator:ident $arrow:ident
        units $units:literal of $rows:literal rows, fixed $fixed:literal, $bytes:literal bytes
    ) => {
        impl TpchTable for $record {
            const NAME: &str = $name;
            const UNITS: u64 = $units;
            const UNIT_ROWS: u64 = $rows;
            const FIXED: bool = $fixed;
            const FILE_ROW_BYTES: u64 = $bytes;

            fn rows(scale: f64, part: i32, parts: i32, batch_rows: usize) -> Rows {
                let generator = $generator::new(scale, part, parts);
                Box::new($arrow::new(generator).with_batch_size(batch_rows))
            }
        }
    };
}

/// A region of the world.
#[derive(Record, Clone, Debug, PartialEq)]
#[record(crate = "crate")]
pub struct Region {
    pub r_regionkey: i64,
    pub r_name: String,
    pub r_comment: String,
}

/// A nation, in a region.
#[derive(Record, Clone, Debug, PartialEq)]
#[record(crate = "crate")]
pub struct Nation {
    pub n_nationkey: i64,
    pub n_name: String,
    pub n_regionkey: i64,
    pub n_comment: String,
}

/// Who supplies parts.
#[derive(Record, Clone, Debug, PartialEq)]
#[record(crate = "crate")]
pub struct Supplier {
    pub s_suppkey: i64,
    pub s_name: String,
    pub s_address: String,
    pub s_nationkey: i64,
    pub s_phone: String,
    pub s_acctbal: Money,
    pub s_comment: String,
}

/// Who orders.
#[derive(Record, Clone, Debug, PartialEq)]
#[record(crate = "crate")]
pub struct Customer {
    pub c_custkey: i64,
    pub c_name: String,
    pub c_address: String,
    pub c_nationkey: i64,
    pub c_phone: String,
    pub c_acctbal: Money,
    pub c_mktsegment: String,
    pub c_comment: String,
}

/// What is ordered and supplied.
#[derive(Record, Clone, Debug, PartialEq)]
#[record(crate = "crate")]
pub struct Part {
    pub p_partkey: i64,
    pub p_name: String,
    pub p_mfgr: String,
    pub p_brand: String,
    pub p_type: String,
    pub p_size: i32,
    pub p_container: String,
    pub p_retailprice: Money,
    pub p_comment: String,
}

/// That a supplier has a part: four a part.
#[derive(Record, Clone, Debug, PartialEq)]
#[record(crate = "crate")]
pub struct PartSupp {
    pub ps_partkey: i64,
    pub ps_suppkey: i64,
    pub ps_availqty: i32,
    pub ps_supplycost: Money,
    pub ps_comment: String,
}

/// An order of a customer.
#[derive(Record, Clone, Debug, PartialEq)]
#[record(crate = "crate")]
pub struct Order {
    pub o_orderkey: i64,
    pub o_custkey: i64,
    pub o_orderstatus: String,
    pub o_totalprice: Money,
    pub o_orderdate: Date,
    pub o_orderpriority: String,
    pub o_clerk: String,
    pub o_shippriority: i32,
    pub o_comment: String,
}

/// A line of an order: a part, of a supplier. One to seven an order.
#[derive(Record, Clone, Debug, PartialEq)]
#[record(crate = "crate")]
pub struct LineItem {
    pub l_orderkey: i64,
    pub l_partkey: i64,
    pub l_suppkey: i64,
    pub l_linenumber: i32,
    pub l_quantity: Money,
    pub l_extendedprice: Money,
    pub l_discount: Money,
    pub l_tax: Money,
    pub l_returnflag: String,
    pub l_linestatus: String,
    pub l_shipdate: Date,
    pub l_commitdate: Date,
    pub l_receiptdate: Date,
    pub l_shipinstruct: String,
    pub l_shipmode: String,
    pub l_comment: String,
}

table!(Region "region" RegionGenerator RegionArrow units 5 of 1 rows, fixed true, 100 bytes);
table!(Nation "nation" NationGenerator NationArrow units 25 of 1 rows, fixed true, 100 bytes);
table!(Supplier "supplier" SupplierGenerator SupplierArrow units 10_000 of 1 rows, fixed false, 62 bytes);
table!(Customer "customer" CustomerGenerator CustomerArrow units 150_000 of 1 rows, fixed false, 66 bytes);
table!(Part "part" PartGenerator PartArrow units 200_000 of 1 rows, fixed false, 27 bytes);
table!(PartSupp "partsupp" PartSuppGenerator PartSuppArrow units 200_000 of 4 rows, fixed false, 40 bytes);
table!(Order "orders" OrderGenerator OrderArrow units 1_500_000 of 1 rows, fixed false, 28 bytes);
table!(LineItem "lineitem" LineItemGenerator LineItemArrow units 1_500_000 of 4 rows, fixed false, 25 bytes);
