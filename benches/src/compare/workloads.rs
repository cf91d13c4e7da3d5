//! What is compared: each workload with its input, its ready job, its limit program, and what its answer looks like.

use super::flags::Compare;
use super::inputs;
use std::io;
use std::path::PathBuf;

/// A workload.
#[derive(Debug, PartialEq)]
pub struct Workload {
    /// Its name, by which the programs of other engines know it as well.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    pub(super) input: Input,
    pub(super) answer: Answer,
    pub(super) job: &'static [&'static str],
    /// The limit program, and its first words, if there is one.
    pub(super) limit: Option<&'static [&'static str]>,
}

/// What a workload reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Input {
    Words,
    ZipfWords,
    OneWordOften,
    Tera,
    Measurements,
    Numbers,
    Edges,
    Points,
    Tables,
}

/// What a workload writes, for the comparison of answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Answer {
    /// Lines, in any order, the same to the last byte.
    Lines,
    /// Lines with numbers that depend a little on the order in which they are added up.
    RoughLines,
    /// Records in order.
    Records,
    /// The rows of Parquet files, in any order.
    Rows,
}

const fn text(
    name: &'static str,
    title: &'static str,
    input: Input,
    job: &'static [&'static str],
    limit: &'static [&'static str],
) -> Workload {
    Workload { name, title, input, answer: Answer::Lines, job, limit: Some(limit) }
}

const fn query(name: &'static str, title: &'static str, job: &'static [&'static str]) -> Workload {
    Workload { name, title, input: Input::Tables, answer: Answer::Rows, job, limit: None }
}

/// Over the tables of TPC-H, with a limit program that has the job's name.
const fn limited(
    name: &'static str,
    title: &'static str,
    job: &'static [&'static str],
    limit: &'static [&'static str],
) -> Workload {
    Workload { limit: Some(limit), ..query(name, title, job) }
}

/// The number of centers that k-means looks for, and for how many rounds.
const KMEANS: &[&str] = &["kmeans", "--clusters", "16", "--rounds", "10", "--tolerance", "0"];

macro_rules! queries {
    ($($name:literal)*) => {
        &[$(query($name, concat!("TPC-H ", $name), &[$name])),*]
    };
}

/// Those with limit programs.
#[rustfmt::skip]
const LIMITED: &[Workload] = &[
    text("wordcount", "word count", Input::Words, &["wordcount"], &["limit_wordcount"]),
    text("wordcount-zipf", "word count, Zipf 1.5", Input::ZipfWords, &["wordcount"], &["limit_wordcount"]),
    text("wordcount-one", "word count, one word 90 %", Input::OneWordOften, &["wordcount"], &["limit_wordcount"]),
    Workload {
        answer: Answer::Records,
        ..text("terasort", "terasort", Input::Tera, &["terasort"], &["limit_terasort"])
    },
    text("measurements", "measurements by station", Input::Measurements, &["measurements"], &["limit_measurements"]),
    text("distinct", "distinct lines", Input::Numbers, &["distinct"], &["limit_distinct"]),
    limited("q1", "TPC-H q1: sums by few groups", &["q1"], &["limit_tpch", "q1"]),
    limited("q6", "TPC-H q6: a sum of few rows", &["q6"], &["limit_tpch", "q6"]),
    limited("by-mode", "group by few keys", &["by-mode"], &["limit_tpch", "by-mode"]),
    limited("by-order", "group by many keys, in order", &["by-order"], &["limit_tpch", "by-order"]),
    limited("by-part", "group by many keys, in no order", &["by-part"], &["limit_tpch", "by-part"]),
    limited("by-priority", "join of lineitem and orders", &["by-priority"], &["limit_tpch", "by-priority"]),
    Workload {
        answer: Answer::RoughLines,
        ..text("pagerank", "PageRank, 10 rounds", Input::Edges, &["pagerank", "--rounds", "10"], &["limit_pagerank"])
    },
    Workload {
        answer: Answer::RoughLines,
        ..text("kmeans", "k-means, 16 centers, 10 rounds", Input::Points, KMEANS, &["limit_kmeans"])
    },
];

/// The queries of TPC-H that have none.
const QUERIES: &[Workload] = queries!("q2" "q3" "q4" "q5" "q7" "q8" "q9" "q10" "q11" "q12" "q13" "q14"
    "q15" "q16" "q17" "q18" "q19" "q20" "q21" "q22");

impl Workload {
    /// All of them, those with limit programs first.
    pub fn all() -> impl Iterator<Item = &'static Workload> {
        LIMITED.iter().chain(QUERIES)
    }

    /// Those that a word names: one, or `limits`, `tpch` or `all`.
    ///
    /// # Errors
    /// What could be named.
    pub fn named(word: &str) -> Result<Vec<&'static Workload>, String> {
        let tables = |work: &&Workload| work.name.starts_with('q');
        let found: Vec<_> = match word {
            "all" => Self::all().collect(),
            "limits" => LIMITED.iter().collect(),
            "tpch" => (1..=22)
                .filter_map(|number| {
                    Self::all().filter(tables).find(|work| work.name[1..] == number.to_string())
                })
                .collect(),
            _ => Self::all().filter(|work| work.name == word).collect(),
        };
        if found.is_empty() {
            let known: Vec<_> = Self::all().map(|work| work.name).collect();
            return Err(format!(
                "--work {word} is none of limits, tpch, all, {}",
                known.join(", ")
            ));
        }
        Ok(found)
    }

    /// Its input, made if it is not there yet.
    pub(super) fn input(&self, compare: &Compare) -> io::Result<PathBuf> {
        let scratch = &compare.scratch;
        match (self.input, &compare.text) {
            (Input::Words, Some(text)) => Ok(text.clone()),
            (Input::Words, None) => inputs::words(scratch, compare.bytes),
            (Input::ZipfWords, _) => inputs::zipf_words(scratch, compare.bytes),
            (Input::OneWordOften, _) => inputs::one_word_often(scratch, compare.bytes),
            (Input::Tera, _) => inputs::tera(scratch, compare.records),
            (Input::Measurements, _) => inputs::measurements(scratch, compare.lines),
            (Input::Numbers, _) => inputs::numbers(scratch, compare.lines),
            (Input::Edges, _) => inputs::edges(scratch, compare.edges),
            (Input::Points, _) => inputs::points(scratch, compare.points),
            (Input::Tables, _) => inputs::tpch(scratch, compare.scale, compare.tpch.as_deref()),
        }
    }

    /// How large its input is, for people.
    pub(super) fn size(&self, compare: &Compare) -> String {
        let millions = |number: u64, what: &str| {
            if number >= 1_000_000 {
                format!("{} M {what}", (number as f64 / 1e5).round() / 10.0)
            } else {
                format!("{number} {what}")
            }
        };
        match (self.input, &compare.text) {
            (Input::Words, Some(text)) => text.display().to_string(),
            (Input::Words | Input::ZipfWords | Input::OneWordOften, _) => {
                millions(compare.bytes, "bytes")
            }
            (Input::Tera, _) => millions(compare.records, "records"),
            (Input::Measurements | Input::Numbers, _) => millions(compare.lines, "lines"),
            (Input::Edges, _) => millions(compare.edges, "edges"),
            (Input::Points, _) => millions(compare.points, "points"),
            (Input::Tables, _) => format!("scale {}", compare.scale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_apart_and_found() {
        let names: HashSet<_> = Workload::all().map(|work| work.name).collect();
        assert_eq!(names.len(), Workload::all().count());
        for name in names {
            assert_eq!(Workload::named(name).unwrap()[0].name, name);
        }
        let tpch: Vec<_> = Workload::named("tpch").unwrap().iter().map(|work| work.name).collect();
        assert_eq!((tpch.len(), tpch[0], tpch[1], tpch[21]), (22, "q1", "q2", "q22"));
        assert!(Workload::named("q23").unwrap_err().contains("by-order"));
    }
}
