"""Polars, lazily, and by SQL where it understands a query."""

import os

from common import DAMPING, ROUNDS, TABLE_QUERIES, TEXT_WORKS, Took, files, records_as_parquet, write_table
from tpch import TABLES

WORKS = [*TEXT_WORKS, "terasort", "pagerank", *TABLE_QUERIES]


def run(work, input, output, threads):
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    import polars

    def lines():
        return polars.scan_csv(
            files(input), separator="\x01", quote_char=None, has_header=False, schema={"line": polars.String}
        )

    def write_lines(frame):
        os.mkdir(output)
        frame.sink_csv(f"{output}/part.txt", separator="\t", include_header=False, quote_style="never")

    if work in TABLE_QUERIES:
        context = polars.SQLContext({name: polars.scan_parquet(f"{input}/{name}/*.parquet") for name in TABLES})
        with Took():
            answer = context.execute(TABLE_QUERIES[work]).collect(engine="streaming")
            write_table(answer.to_arrow(), output)
    elif work.startswith("wordcount"):
        with Took():
            words = lines().select(polars.col("line").str.split(" ").explode()).filter(polars.col("line") != "")
            write_lines(words.group_by("line").len())
    elif work == "distinct":
        with Took():
            write_lines(lines().unique())
    elif work == "measurements":
        degrees = polars.scan_csv(
            files(input), separator=";", has_header=False, schema={"station": polars.String, "degrees": polars.Float64}
        )
        with Took():
            tenths = (polars.col("degrees") * 10).round().cast(polars.Int64)
            grouped = degrees.with_columns(tenths.alias("tenths")).group_by("station")
            tenth = polars.col("tenths")
            grouped = grouped.agg(
                least=tenth.min(), greatest=tenth.max(), total=tenth.sum(), number=polars.len().cast(polars.Int64)
            )
            mean = (2 * polars.col("total") + polars.col("number")).floordiv(2 * polars.col("number"))
            texts = [(number / 10).round(1).cast(polars.String) for number in (polars.col("least"), mean, polars.col("greatest"))]
            write_lines(grouped.sort("station").select(polars.concat_str(["station", *texts], separator=";")))
    elif work == "terasort":
        rows = polars.scan_parquet(f"{records_as_parquet(input)}/*.parquet")
        os.mkdir(output)
        with Took():
            rows.sort("key").sink_parquet(f"{output}/part.parquet", compression="uncompressed")
    elif work == "pagerank":
        with Took():
            write_lines(pagerank(polars, input))


def pagerank(polars, input):
    column = polars.col
    schema = {"source": polars.Int64, "target": polars.Int64}
    edges = polars.scan_csv(files(input), separator="\t", has_header=False, schema=schema).collect()
    leaving = edges.group_by("source").agg(edges=polars.len())
    nodes = polars.concat([edges.select(node="source"), edges.select(node="target")]).unique()
    count = len(nodes)
    ranks = nodes.with_columns(rank=polars.lit(1.0 / count))
    for _ in range(ROUNDS):
        lost = ranks.join(leaving, left_on="node", right_on="source", how="anti")["rank"].sum()
        to_all = (1 - DAMPING + DAMPING * lost) / count
        each = ranks.join(leaving, left_on="node", right_on="source")
        each = each.select("node", part=DAMPING * column("rank") / column("edges"))
        given = edges.join(each, left_on="source", right_on="node").group_by("target").agg(column("part").sum())
        ranks = nodes.join(given, left_on="node", right_on="target", how="left")
        ranks = ranks.select("node", rank=to_all + column("part").fill_null(0.0))
    return ranks.lazy()
