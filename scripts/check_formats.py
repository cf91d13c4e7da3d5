"""Compares the Parquet files of the example `kinds` with what they should have; called by scripts/check-formats."""

import datetime
import decimal
import glob
import math
import struct
import sys

import duckdb
import polars
import pyarrow.dataset
import pyarrow.parquet

folder, rows = sys.argv[1], int(sys.argv[2])
EPOCH = datetime.datetime(1970, 1, 1)


def wrapped(value, bits):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def row(n):
    at = EPOCH + datetime.timedelta(microseconds=1_700_000_000_000_000 + n * 1_000_001)
    return {
        "id": n,
        "year": 2020 + n % 3,
        "month": 1 + n % 12,
        "small": wrapped(n % 200, 8),
        "word": wrapped(-n, 16),
        "long": n * -1_000_000_007,
        "count": n * 3,
        "half": n / 2,
        "whole": n * 0.1,
        "yes": n % 3 == 0,
        "text": f"row {n} é",
        "few": None if n % 4 == 0 else f"kind {n % 5}",
        "raw": bytes([0xFF, n % 256]),
        "code": struct.pack(">I", n),
        "day": datetime.date(1970, 1, 1) + datetime.timedelta(days=n % 20_000),
        "at": at,
        "local": at,
        "price": decimal.Decimal(n * 7 - 500) / 100,
        "place": None
        if n % 5 == 0
        else {"name": f"place {n % 7}", "floor": n % 9 - 4 if n % 2 == 0 else None},
        "tags": [f"tag {tag}" for tag in range(n % 4)],
        "numbers": None if n % 6 == 0 else [None if at == 1 else n + at for at in range(n % 3)],
    }


EXPECTED = [row(n) for n in range(rows)]


def plain(value):
    """A value without what differs between programs: time zones, kinds of numbers."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc)
        return value.replace(tzinfo=None)
    if isinstance(value, bytearray):
        return bytes(value)
    return value


def compare(who, what, found):
    found.sort(key=lambda row: row["id"])
    assert len(found) == rows, f"{who}, {what}: {len(found)} rows"
    for got, want in zip(found, EXPECTED):
        assert set(got) == set(want), f"{who}, {what}: columns {sorted(got)}"
        for name, expected in want.items():
            value = plain(got[name])
            same = math.isclose(value, expected) if isinstance(expected, float) else value == expected
            assert same, f"{who}, {what}: row {want['id']}, {name}: {value!r}, and not {expected!r}"
    print(f"{who:8} {what:9} {rows} rows")


def by_duckdb(pattern, hive):
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    types = ", hive_types={'year': INT, 'month': INT}" if hive else ""
    hive = "true" if hive else "false"
    query = f"from read_parquet('{pattern}', hive_partitioning={hive}{types})"
    table = connection.sql(query).to_arrow_table()
    return table.to_pylist()


for codec in ["none", "snappy", "lz4", "zstd", "gzip", "brotli", "by-month"]:
    hive = codec == "by-month"
    pattern = f"{folder}/{codec}/**/*.parquet"
    files = sorted(glob.glob(pattern, recursive=True))
    assert len(files) == 12 if hive else len(files) >= 1, files
    compare("DuckDB", codec, by_duckdb(pattern, hive))
    compare("Polars", codec, polars.read_parquet(pattern, hive_partitioning=hive).to_dicts())
    partitioning = (
        pyarrow.dataset.partitioning(
            pyarrow.schema([("year", pyarrow.int32()), ("month", pyarrow.uint8())]), flavor="hive"
        )
        if hive
        else None
    )
    dataset = pyarrow.dataset.dataset(
        f"{folder}/{codec}", format="parquet", partitioning=partitioning,
        ignore_prefixes=["_", "."],
    )
    compare("PyArrow", codec, dataset.to_table().to_pylist())

    facts = duckdb.execute(
        f"select path_in_schema, bool_and(bloom_filter_offset is not null) from parquet_metadata('{pattern}') group by 1"
    ).fetchall()
    blooms = {name for name, has in facts if has}
    assert blooms == {"id", "text"}, blooms
    probe = f"select bloom_filter_excludes from parquet_bloom_probe('{pattern}', 'text', 'is not there')"
    assert any(excluded for (excluded,) in duckdb.execute(probe).fetchall())
    for file in files:
        metadata = pyarrow.parquet.ParquetFile(file).metadata
        for group in range(metadata.num_row_groups):
            for column in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(column)
                assert chunk.has_offset_index and chunk.has_column_index, (file, chunk)
                assert chunk.is_stats_set, (file, chunk)
        if not hive:
            assert metadata.row_group(0).sorting_columns[0].column_index == 0
        assert metadata.metadata[b"made by"] == b"an example"
print("page indexes, bloom filters, statistics and metadata are in all files")
