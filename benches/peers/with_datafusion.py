"""DataFusion, by SQL."""

import os

from common import TABLE_QUERIES, TEXT_WORKS, Took, files, records_as_parquet, with_doubles, write_table
from tpch import TABLES

WORKS = [*TEXT_WORKS, "terasort", *TABLE_QUERIES]

TEXTS = {
    "wordcount": "select word, count(*) as number from (select unnest(string_to_array(line, ' ')) as word from lines) as words where word <> '' group by word",
    "distinct": "select distinct line from lines",
    "measurements": """
        select concat_ws(';', station, cast(least / 10.0 as decimal(10, 1)),
            cast(floor((2 * total + number) / (2.0 * number)) / 10.0 as decimal(10, 1)),
            cast(greatest / 10.0 as decimal(10, 1)))
        from (
            select station, min(tenths) as least, max(tenths) as greatest, sum(tenths) as total, count(*) as number
            from (select station, cast(round(degrees * 10) as bigint) as tenths from measurements) as read
            group by station) as grouped
        order by station""",
}


def run(work, input, output, threads):
    os.environ["TOKIO_WORKER_THREADS"] = str(threads)
    import datafusion
    import pyarrow

    config = datafusion.SessionConfig().with_target_partitions(threads)
    context = datafusion.SessionContext(config)

    def register_text(name, schema, delimiter):
        os.makedirs(f"{output}-links", exist_ok=True)
        for number, path in enumerate(files(input)):
            link = f"{output}-links/{number}.csv"
            if os.path.lexists(link):
                os.unlink(link)
            os.symlink(os.path.abspath(path), link)
        context.register_csv(name, f"{output}-links/", schema=schema, has_header=False, delimiter=delimiter)

    if work in TABLE_QUERIES:
        for table in TABLES:
            context.register_parquet(table, f"{input}/{table}/")
        with Took():
            write_table(pyarrow.table(context.sql(with_doubles(work)).to_arrow_table()), output)
    elif work == "terasort":
        context.register_parquet("records", f"{records_as_parquet(input)}/")
        with Took():
            query = "select * from records order by key"
            copy = f"copy ({query}) to '{output}/part.parquet' stored as parquet options ('format.compression' 'uncompressed')"
            context.sql(copy).collect()
    else:
        if work == "measurements":
            schema = pyarrow.schema([("station", pyarrow.string()), ("degrees", pyarrow.float64())])
            register_text("measurements", schema, ";")
        else:
            register_text("lines", pyarrow.schema([("line", pyarrow.string())]), "\x01")
        query = TEXTS[work.split("-")[0]]
        with Took():
            options = "options ('format.delimiter' '\t', 'format.has_header' 'false')"
            context.sql(f"copy ({query}) to '{output}/' stored as csv {options}").collect()
