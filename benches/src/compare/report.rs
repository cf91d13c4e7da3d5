//! What was measured as Markdown: tables of times and of memory.

use super::flags::Report;
use super::programs::Kind;
use super::rounds::{Measured, Rounds};
use std::fmt::Write;
use std::{fs, io};

/// A workload that was measured.
pub(super) struct Row {
    pub(super) title: &'static str,
    /// How large the input is.
    pub(super) size: String,
    pub(super) rounds: Rounds,
}

/// Writes the part of a Markdown file anew that is between two marks, which are comments with the part's name.
///
/// # Errors
/// What the file system says, and a file without marks.
pub(super) fn write(report: &Report, rows: &[Row], threads: usize) -> io::Result<()> {
    let Report { table: path, part, chart } = report;
    let (begin, end) = (format!("<!-- {part} -->"), format!("<!-- {part}, end -->"));
    let old = fs::read_to_string(path)?;
    let marks = old.split_once(&begin).and_then(|(before, rest)| {
        let (_, behind) = rest.split_once(&end)?;
        Some((before, behind))
    });
    let Some((before, behind)) = marks else {
        let wrong = format!("{} has no lines {begin} and {end}", path.display());
        return Err(io::Error::other(wrong));
    };
    let chart = chart.file_name().unwrap_or_default().to_string_lossy();
    let tables = tables(rows, threads, &chart);
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, format!("{before}{begin}\n\n{tables}\n{end}{behind}"))?;
    fs::rename(&unfinished, path)
}

/// The columns of tables: limit programs, ours, and peers by name.
fn columns(rows: &[&Row]) -> Vec<(Kind, String)> {
    let mut columns: Vec<(Kind, String)> = Vec::new();
    for kind in [
        Kind::Limit,
        Kind::Windrow,
        Kind::LimitOneThread,
        Kind::WindrowOneThread,
        Kind::Workers,
        Kind::Peer,
    ] {
        for one in rows.iter().flat_map(|row| row.rounds.all()).filter(|one| one.kind == kind) {
            if !columns.iter().any(|(_, name)| *name == one.name) {
                columns.push((kind, one.name.clone()));
            }
        }
    }
    columns
}

fn tables(rows: &[Row], threads: usize, chart: &str) -> String {
    let mut limited: Vec<_> =
        rows.iter().filter(|row| row.rounds.of(Kind::Limit).is_some()).collect();
    let mut others = Vec::new();
    if limited.len() < rows.len() {
        // Queries with a limit program stand among the others as well.
        others = rows.iter().filter(|row| row.title.starts_with("TPC-H")).collect();
        if others.len() == rows.len() {
            limited.clear();
        }
    }
    let mut text = String::new();
    let plural = if threads == 1 { "" } else { "s" };
    if !limited.is_empty() {
        let _ = writeln!(
            text,
            "![Times as a chart]({chart})\n\nSeconds of the limit programs on {threads} thread{plural} and on one; all else in shares of the limit program \
             with as many threads (medians of the ratios in one round).\n"
        );
        text.push_str(&table(&limited, share));
    }
    if !others.is_empty() {
        if !limited.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "![Times as a chart]({chart})\n\nSeconds on {threads} thread{plural}, medians, where no limit program is written; in the last line the geometric \
             mean of the shares of Windrow's time.\n"
        );
        text.push_str(&table(&others, seconds));
        text.push_str(&means(&others));
    }
    text.push_str("\nThe most memory at a time, of what is not a file's, in MiB.\n\n");
    let all: Vec<_> = rows.iter().collect();
    text.push_str(&table(&all, memory));
    let wrong: Vec<_> = rows
        .iter()
        .flat_map(|row| row.rounds.all().iter().map(move |one| (row, one)))
        .filter_map(|(row, one)| Some((row, one, one.wrong.as_ref()?)))
        .collect();
    if !wrong.is_empty() {
        text.push_str("\nWithout a figure:\n\n");
        for (row, one, wrong) in wrong {
            let wrong: Vec<_> = wrong.split_whitespace().collect();
            let wrong = wrong.join(" ").chars().take(200).collect::<String>();
            let _ = writeln!(text, "- {}, {}: {}", row.title, one.name, wrong.replace('|', "/"));
        }
    }
    text
}

/// A line for each row, with a cell for each program.
fn table(rows: &[&Row], cell: impl Fn(&Row, &Measured) -> String) -> String {
    let columns = columns(rows);
    let names: String = columns.iter().map(|(_, name)| format!(" {name} |")).collect();
    let mut text = format!("| work | input |{names}\n|---|---|{}\n", "--:|".repeat(columns.len()));
    for row in rows {
        let _ = write!(text, "| {} | {} |", row.title, row.size);
        for (_, name) in &columns {
            let one = row.rounds.all().iter().find(|one| one.name == *name);
            let cell = match one {
                Some(one) if one.wall().is_some() => cell(row, one),
                Some(_) => "failed".into(),
                None => "–".into(),
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text
}

fn seconds(_: &Row, one: &Measured) -> String {
    one.wall().map_or_else(String::new, |wall| format!("{:.2}", wall.median))
}

fn share(row: &Row, one: &Measured) -> String {
    match row.rounds.ratio(one) {
        Some((_, ratio)) if ratio.median < 10.0 => format!("{:.2}", ratio.median),
        Some((_, ratio)) => format!("{:.1}", ratio.median),
        None => format!("{} s", seconds(row, one)),
    }
}

fn memory(_: &Row, one: &Measured) -> String {
    (one.memory() >> 20).to_string()
}

/// The geometric means of programs' times in shares of those of the job in one process, where both have one.
fn means(rows: &[&Row]) -> String {
    let mut text = "| geometric mean | |".to_string();
    for (_, name) in columns(rows) {
        let ratios: Vec<f64> = rows
            .iter()
            .filter_map(|row| {
                let base = row.rounds.of(Kind::Windrow)?.wall()?;
                let one = row.rounds.all().iter().find(|one| one.name == name)?.wall()?;
                Some(one.median / base.median)
            })
            .collect();
        let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
        let of =
            if ratios.len() == rows.len() { String::new() } else { format!(" ({})", ratios.len()) };
        let _ = match ratios.is_empty() {
            true => write!(text, " – |"),
            false => write!(text, " {mean:.2}{of} |"),
        };
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::super::rounds::tests::rounds;
    use super::*;

    fn rows() -> Vec<Row> {
        let limited = rounds(&[
            ("limit", Kind::Limit, &[2.0]),
            ("windrow", Kind::Windrow, &[2.5]),
            ("duckdb", Kind::Peer, &[30.0]),
        ]);
        let query = |wall| {
            rounds(&[
                ("windrow", Kind::Windrow, &[wall]),
                ("duckdb", Kind::Peer, &[4.0]),
                ("spark", Kind::Peer, &[]),
            ])
        };
        let row = |title, rounds| Row { title, size: "10".into(), rounds };
        vec![row("words", limited), row("TPC-H q2", query(2.0)), row("TPC-H q3", query(8.0))]
    }

    #[test]
    fn tables_of_shares_and_of_seconds() {
        let text = tables(&rows(), 2, "chart.svg");
        for line in [
            "| work | input | limit | windrow | duckdb |",
            "| words | 10 | 2.00 s | 1.25 | 15.0 |",
            "| TPC-H q3 | 10 | 8.00 | 4.00 | failed |",
            "| geometric mean | | 1.00 | 1.00 | – |",
            "| words | 10 | 5 | 5 | 5 | – |",
            "- TPC-H q2, spark: spark failed",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.md");
        let marked = "# Results\n\n<!-- one -->\nold\n<!-- one, end -->\n\nmore\n";
        fs::write(&path, marked).unwrap();
        let report =
            Report { table: path.clone(), part: "one".into(), chart: "a/chart.svg".into() };
        for _ in 0..2 {
            write(&report, &rows(), 2).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# Results\n\n<!--") && text.ends_with("end -->\n\nmore\n"));
        assert!(text.contains("15.0") && text.contains("(chart.svg)") && !text.contains("old"));
        fs::write(&path, "no marks").unwrap();
        assert!(write(&report, &rows(), 2).is_err());
    }
}
