//! The executions as a picture (SVG): a column for each, with the rates of input, shuffle and output one above the other.

use super::{Look, Ran};
use std::fmt::Write;
use std::time::Duration;

const LEFT: f64 = 70.0;
const TOP: f64 = 60.0;
const WIDTH: f64 = 250.0;
const HEIGHT: f64 = 90.0;
const GAP: f64 = 30.0;

/// A rate is that of so much time.
const OVER: Duration = Duration::from_secs(2);

/// What is shown, in rows.
const ROWS: [(&str, &str); 3] =
    [("input", "#0072b2"), ("into the shuffle", "#e69f00"), ("output", "#009e73")];

/// The rates of one row, in megabytes a second: of the time around each look.
fn rates(looks: &[Look], row: usize) -> Vec<(f64, f64)> {
    let at = |time: f64| {
        let after = looks.partition_point(|look| look.at.as_secs_f64() < time).max(1);
        let (Some(a), Some(b)) = (looks.get(after - 1), looks.get(after)) else {
            return looks.last().map_or(0.0, |look| look.bytes[row] as f64);
        };
        let (from, to) = (a.at.as_secs_f64(), b.at.as_secs_f64());
        let part = ((time - from) / (to - from).max(1e-9)).clamp(0.0, 1.0);
        a.bytes[row] as f64 + (b.bytes[row] as f64 - a.bytes[row] as f64) * part
    };
    let half = OVER.as_secs_f64() / 2.0;
    let rate = |look: &Look| {
        let time = look.at.as_secs_f64();
        let (from, to) = ((time - half).max(0.0), time + half);
        (time, (at(to) - at(from)) / (to - from) / 1e6)
    };
    looks.iter().map(rate).collect()
}

/// The picture.
pub(super) fn svg(all: &[Ran]) -> String {
    let seconds = all.iter().map(|ran| ran.total.as_secs_f64()).fold(1.0, f64::max);
    let x =
        |column: usize, time: f64| LEFT + column as f64 * (WIDTH + GAP) + time / seconds * WIDTH;
    let width = x(all.len(), 0.0) + 10.0;
    let height = TOP + ROWS.len() as f64 * (HEIGHT + GAP) + 20.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"13\">Terasort over 8 workers, of which one has a tenth of the others' speed: megabytes a second over time</text>\n"
    );
    for (row, (name, colour)) in ROWS.into_iter().enumerate() {
        let bottom = TOP + row as f64 * (HEIGHT + GAP) + HEIGHT;
        let columns: Vec<_> = all.iter().map(|ran| rates(&ran.looks, row)).collect();
        let most = columns.iter().flatten().map(|(_, rate)| *rate).fold(1.0, f64::max);
        let y = |rate: f64| bottom - rate / most * HEIGHT;
        let _ = writeln!(
            svg,
            "<text x=\"10\" y=\"{:.1}\">{name}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{most:.0}</text>",
            bottom - HEIGHT - 6.0,
            LEFT - 5.0,
            bottom - HEIGHT + 10.0
        );
        for (column, (ran, rates)) in all.iter().zip(&columns).enumerate() {
            let mut line = format!("M{:.1} {bottom:.1}", x(column, 0.0));
            for (time, rate) in rates {
                let _ = write!(line, " L{:.1} {:.1}", x(column, *time), y(*rate));
            }
            let end = x(column, ran.total.as_secs_f64());
            let _ = writeln!(
                svg,
                "<path d=\"{line} L{end:.1} {bottom:.1} Z\" fill=\"{colour}\" fill-opacity=\"0.6\" stroke=\"{colour}\"/>\
                 <line x1=\"{:.1}\" y1=\"{bottom:.1}\" x2=\"{:.1}\" y2=\"{bottom:.1}\" stroke=\"#555\"/>",
                x(column, 0.0),
                x(column, seconds)
            );
            if let Some(killed) = ran.killed {
                let at = x(column, killed.as_secs_f64());
                let _ = writeln!(
                    svg,
                    "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{bottom:.1}\" stroke=\"#d00\" stroke-dasharray=\"3 2\"/>",
                    bottom - HEIGHT
                );
            }
        }
    }
    for (column, ran) in all.iter().enumerate() {
        let total = ran.total.as_secs_f64();
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"40\" font-weight=\"bold\">{}: {total:.1} s</text>",
            x(column, 0.0),
            ran.execution.title()
        );
        let step = if seconds > 40.0 { 20 } else { 5 };
        for time in (0..=seconds as u32).step_by(step) {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{time}</text>",
                x(column, f64::from(time)),
                height - 26.0
            );
        }
    }
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT:.1}\" y=\"{:.1}\" fill=\"#555\">seconds; a rate is that of two seconds; red: a worker is killed, and started again</text>",
        height - 8.0
    );
    svg.push_str("</svg>\n");
    svg
}
