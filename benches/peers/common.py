"""What the programs of all engines share."""

import shutil
import time
from pathlib import Path

from tpch import QUERIES

# As in `windrow run kmeans` and `pagerank`.
DAMPING = 0.85
ROUNDS = 10

GROUPED = """
    select count(*) as groups, cast(sum(lines) as bigint) as lines, max(pieces) as most,
        cast(sum(mark * lines) as bigint) as mark
    from (select {mark} as mark, count(*) as lines, sum(l_quantity) as pieces from lineitem group by {keys}) as grouped"""

TABLE_QUERIES = {
    **{name: query.replace("FRACTION", "0.0001") for name, query in QUERIES.items()},
    "by-mode": """
        select l_shipmode, count(*) as lines, sum(l_quantity) as pieces
        from lineitem group by l_shipmode order by l_shipmode""",
    "by-order": GROUPED.format(mark="l_orderkey % 1009", keys="l_orderkey"),
    "by-part": GROUPED.format(mark="(l_partkey + 7 * l_suppkey) % 1009", keys="l_partkey, l_suppkey"),
    "by-priority": """
        select o_orderpriority, count(*) as lines, sum(l_extendedprice) as price
        from lineitem, orders where l_orderkey = o_orderkey
        group by o_orderpriority order by o_orderpriority""",
}

# Means and shares, which some engines give as decimals: Windrow gives doubles.
DOUBLES = ["avg_qty", "avg_price", "avg_disc", "mkt_share", "promo_revenue", "avg_yearly"]



def with_doubles(work):
    """A query for engines that divide decimals to a few digits."""
    share = "sum(case when nation = 'BRAZIL' then volume else 0 end) / sum(volume)"
    return TABLE_QUERIES[work].replace(share, share.replace("sum(volume)", "cast(sum(volume) as double)"))


TEXT_WORKS = ["wordcount", "wordcount-zipf", "wordcount-one", "measurements", "distinct"]


def files(folder):
    """The files of an input, which may be one."""
    folder = Path(folder)
    if folder.is_file():
        return [str(folder)]
    return sorted(str(path) for path in folder.iterdir() if path.is_file() and path.name[0] not in "._")


def records_as_parquet(folder):
    """A folder with the same records of 100 bytes as Parquet, with a key of 10 bytes and the rest; made once."""
    import numpy
    import pyarrow
    import pyarrow.parquet

    made = Path(str(folder) + "-parquet")
    if not made.exists():
        unfinished = Path(str(made) + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for path in files(folder):
            records = numpy.fromfile(path, dtype=numpy.uint8).reshape(-1, 100)
            columns = {}
            for name, part in [("key", records[:, :10]), ("rest", records[:, 10:])]:
                data = pyarrow.py_buffer(numpy.ascontiguousarray(part).tobytes())
                offsets = numpy.arange(0, len(records) + 1, dtype=numpy.int32) * part.shape[1]
                columns[name] = pyarrow.Array.from_buffers(
                    pyarrow.binary(), len(records), [None, pyarrow.py_buffer(offsets.tobytes()), data]
                )
            table = pyarrow.table(columns)
            name = Path(path).name + ".parquet"
            pyarrow.parquet.write_table(table, unfinished / name, compression="none", use_dictionary=False)
        unfinished.rename(made)
    return made


def write_table(table, output):
    """Writes an Arrow table, with doubles where Windrow has them."""
    import pyarrow
    import pyarrow.parquet

    for number, name in enumerate(table.column_names):
        if name in DOUBLES:
            table = table.set_column(number, name, table[name].cast(pyarrow.float64()))
    Path(output).mkdir(parents=True)
    pyarrow.parquet.write_table(table, Path(output) / "part-00000.parquet")


class Took:
    """Tells what the work took, without the start of the engine."""

    def __enter__(self):
        self.start = time.monotonic()

    def __exit__(self, kind, *_):
        if kind is None:
            print(f"took {time.monotonic() - self.start:.4f}", flush=True)
