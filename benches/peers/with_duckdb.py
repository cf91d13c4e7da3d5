"""DuckDB, by SQL."""

from pathlib import Path

from common import DAMPING, ROUNDS, TABLE_QUERIES, TEXT_WORKS, Took, files, records_as_parquet, write_table
from tpch import TABLES

WORKS = [*TEXT_WORKS, "terasort", "pagerank", *TABLE_QUERIES]

LINES = "read_csv({files}, delim='\x01', quote='', escape='', header=false, columns={{'line': 'VARCHAR'}})"

TEXTS = {
    "wordcount": "select word, count(*) from (select unnest(string_split(line, ' ')) as word from LINES) where word <> '' group by word",
    "distinct": "select distinct line from LINES",
    "measurements": """
        select station || ';' || format('{:.1f}', least / 10.0) || ';'
            || format('{:.1f}', floor((2 * total + number) / (2 * number)) / 10.0) || ';'
            || format('{:.1f}', greatest / 10.0)
        from (
            select station, min(tenths) as least, max(tenths) as greatest, sum(tenths) as total, count(*) as number
            from (select station, cast(degrees * 10 as bigint) as tenths from MEASUREMENTS)
            group by station)
        order by station""",
}


def run(work, input, output, threads):
    import duckdb

    database = duckdb.connect()
    database.sql(f"set threads = {threads}")
    if work in TABLE_QUERIES:
        for table in TABLES:
            database.sql(f"create view {table} as select * from read_parquet('{input}/{table}/*.parquet')")
        with Took():
            write_table(database.sql(TABLE_QUERIES[work]).to_arrow_table(), output)
    elif work == "terasort":
        rows = f"read_parquet('{records_as_parquet(input)}/*.parquet')"
        Path(output).mkdir()
        with Took():
            database.sql(f"copy (from {rows} order by key) to '{output}/part.parquet' (compression uncompressed)")
    elif work == "pagerank":
        with Took():
            pagerank(database, input, output)
    else:
        lines = LINES.format(files=files(input))
        measurements = f"read_csv({files(input)}, delim=';', header=false, " + (
            "columns={'station': 'VARCHAR', 'degrees': 'DECIMAL(5,1)'})"
        )
        query = TEXTS[work.split("-")[0]].replace("LINES", lines).replace("MEASUREMENTS", measurements)
        format = "(format csv, delimiter '\t', header false, quote '', escape '', per_thread_output true)"
        with Took():
            database.sql(f"copy ({query}) to '{output}' {format}")


def pagerank(database, input, output):
    run = database.sql
    source = f"read_csv({files(input)}, delim='\t', header=false, columns={{'source': 'BIGINT', 'target': 'BIGINT'}})"
    run(f"create table edges as select * from {source}")
    run("create table leaving as select source, count(*) as edges from edges group by source")
    run("create table nodes as select source as node from edges union select target from edges")
    count = run("select count(*) from nodes").fetchall()[0][0]
    run(f"create table ranks as select node, 1.0 / {count} :: double as rank from nodes")
    for _ in range(ROUNDS):
        lost = run("select coalesce(sum(rank), 0) from ranks anti join leaving on node = source").fetchall()[0][0]
        to_all = (1 - DAMPING + DAMPING * lost) / count
        run(f"""
            create or replace table ranks as
            with each as (select source, {DAMPING} * rank / edges as part from ranks join leaving on node = source),
                given as (select target, sum(part) as part from edges join each using (source) group by target)
            select node, {to_all} :: double + coalesce(part, 0) as rank from nodes left join given on node = target""")
    run(f"copy ranks to '{output}' (format csv, delimiter '\t', header false, per_thread_output true)")
