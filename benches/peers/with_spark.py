"""Spark in one process, by its DataFrames and by SQL."""

import os
import shutil

from common import DAMPING, ROUNDS, TABLE_QUERIES, TEXT_WORKS, Took, files, records_as_parquet, with_doubles, write_table
from tpch import TABLES

WORKS = [*TEXT_WORKS, "terasort", "pagerank", *TABLE_QUERIES]


def run(work, input, output, threads):
    from pyspark.sql import SparkSession

    scratch = f"{output}-spark"
    spark = (
        SparkSession.builder.master(f"local[{threads}]")
        .config("spark.driver.memory", "12g")
        .config("spark.driver.maxResultSize", "4g")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", str(8 * threads))
        .config("spark.local.dir", scratch)
        .config("spark.sql.warehouse.dir", f"{scratch}/warehouse")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    try:
        work_of(spark, work, input, output)
    finally:
        spark.stop()
        shutil.rmtree(scratch, ignore_errors=True)


def work_of(spark, work, input, output):
    from pyspark.sql import functions as f

    if work in TABLE_QUERIES:
        for table in TABLES:
            spark.read.parquet(f"{input}/{table}").createOrReplaceTempView(table)
        with Took():
            write_table(spark.sql(with_doubles(work)).toArrow(), output)
    elif work.startswith("wordcount"):
        with Took():
            words = spark.read.text(files(input)).select(f.explode(f.split("value", " ")).alias("word"))
            words.where("word <> ''").groupBy("word").count().select(f.concat_ws("\t", "word", "count")).write.text(output)
    elif work == "distinct":
        with Took():
            spark.read.text(files(input)).distinct().write.text(output)
    elif work == "measurements":
        with Took():
            rows = spark.read.csv(files(input), sep=";", schema="station string, degrees double")
            tenths = f.round(f.col("degrees") * 10).cast("long")
            grouped = rows.select("station", tenths.alias("tenths")).groupBy("station")
            grouped = grouped.agg(
                f.min("tenths").alias("least"),
                f.max("tenths").alias("greatest"),
                f.sum("tenths").alias("total"),
                f.count("*").alias("number"),
            )
            mean = f.expr("floor((2 * total + number) / (2 * number))")
            texts = [(number / 10).cast("string") for number in (f.col("least"), mean, f.col("greatest"))]
            grouped.orderBy("station").select(f.concat_ws(";", "station", *texts)).write.text(output)
    elif work == "terasort":
        rows = spark.read.parquet(str(records_as_parquet(input)))
        with Took():
            rows.orderBy("key").write.option("compression", "none").parquet(output)
    elif work == "pagerank":
        with Took():
            pagerank(spark, input).select(f.concat_ws("\t", "node", "rank")).write.text(output)


def pagerank(spark, input):
    from pyspark.sql import functions as f

    edges = spark.read.csv(files(input), sep="\t", schema="source long, target long").persist()
    leaving = edges.groupBy("source").agg(f.count("*").alias("edges")).persist()
    nodes = edges.select(f.col("source").alias("node")).union(edges.select("target")).distinct().persist()
    count = nodes.count()
    ranks = nodes.withColumn("rank", f.lit(1.0 / count))
    for _ in range(ROUNDS):
        lost = ranks.join(leaving, ranks.node == leaving.source, "anti").agg(f.sum("rank")).first()[0] or 0.0
        to_all = (1 - DAMPING + DAMPING * lost) / count
        each = ranks.join(leaving, ranks.node == leaving.source)
        each = each.select("source", (f.col("rank") * DAMPING / f.col("edges")).alias("part"))
        given = edges.join(each, "source").groupBy("target").agg(f.sum("part").alias("part"))
        ranks = nodes.join(given, nodes.node == given.target, "left")
        ranks = ranks.select("node", (f.coalesce("part", f.lit(0.0)) + to_all).alias("rank")).localCheckpoint()
    return ranks
