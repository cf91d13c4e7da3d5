//! What was measured as a picture (SVG): a line for each workload, a mark for each program, on a logarithmic axis of times
//! in shares of the limit program's, or of Windrow's where there is none.

use super::programs::Kind;
use super::report::Row;
use super::rounds::Measured;
use std::collections::BTreeMap;
use std::fmt::Write;

const LEFT: f64 = 260.0;
const WIDTH: f64 = 640.0;
const TOP: f64 = 70.0;
const LINE: f64 = 24.0;

/// Colours of peers, in the order in which they come.
const PEERS: [&str; 6] = ["#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6d31"];

/// The chart.
pub(super) fn svg(rows: &[Row]) -> String {
    let colours = colours(rows);
    let marks: Vec<Vec<(&Measured, f64)>> = rows.iter().map(marks).collect();
    let most = marks.iter().flatten().map(|(_, share)| *share).fold(2.0, f64::max);
    let least = marks.iter().flatten().map(|(_, share)| *share).fold(0.9, f64::min);
    let (low, high) = (least.ln() - 0.05, most.ln() + 0.05);
    let x = |share: f64| LEFT + (share.ln() - low) / (high - low) * WIDTH;
    let height = TOP + LINE * rows.len() as f64 + 30.0;
    let bottom = height - 26.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"20\">Time in shares of the limit program's (of Windrow's where there is none): left is better</text>\n",
        LEFT + WIDTH + 30.0
    );
    for share in [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0] {
        if (low..=high).contains(&f64::ln(share)) {
            let at = x(share);
            let colour = if share == 1.0 { "black" } else { "#ccc" };
            let _ = writeln!(
                svg,
                "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{bottom:.1}\" stroke=\"{colour}\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{share}</text>",
                TOP - 12.0,
                bottom + 16.0
            );
        }
    }
    for (number, (row, marks)) in rows.iter().zip(&marks).enumerate() {
        let y = TOP + LINE * number as f64 + 4.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 12.0,
            y + 4.0,
            escaped(row.title)
        );
        // Ours last, so that nothing hides them.
        for (one, share) in marks.iter().rev() {
            svg.push_str(&mark(one, x(*share), y, &colours));
            svg.push('\n');
        }
    }
    let mut at = 20.0;
    for (name, (kind, colour)) in &colours {
        let _ = writeln!(
            svg,
            "{}<text x=\"{:.1}\" y=\"44\">{}</text>",
            shape(*kind, colour, at, 40.0),
            at + 9.0,
            escaped(name)
        );
        at += 30.0 + 7.0 * name.len() as f64;
    }
    svg.push_str("</svg>\n");
    svg
}

fn marks(row: &Row) -> Vec<(&Measured, f64)> {
    let share = |one| Some((one, row.rounds.ratio(one)?.1.median));
    row.rounds.all().iter().filter_map(share).collect()
}

fn colours(rows: &[Row]) -> BTreeMap<String, (Kind, &'static str)> {
    let (mut colours, mut peers) = (BTreeMap::new(), PEERS.iter().cycle());
    for one in rows.iter().flat_map(|row| row.rounds.all()) {
        let colour = match one.kind {
            Kind::Limit | Kind::LimitOneThread => continue,
            Kind::Windrow | Kind::WindrowOneThread | Kind::Workers => "#0050b0",
            Kind::Peer if colours.contains_key(&one.name) => continue,
            Kind::Peer => peers.next().copied().unwrap_or("black"),
        };
        colours.insert(one.name.clone(), (one.kind, colour));
    }
    colours
}

fn mark(
    one: &Measured,
    x: f64,
    y: f64,
    colours: &BTreeMap<String, (Kind, &'static str)>,
) -> String {
    colours.get(&one.name).map_or_else(String::new, |(kind, colour)| shape(*kind, colour, x, y))
}

fn shape(kind: Kind, colour: &str, x: f64, y: f64) -> String {
    match kind {
        Kind::WindrowOneThread => format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"white\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        ),
        Kind::Workers => format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\" fill=\"{colour}\"/>",
            x - 4.5,
            y - 4.5
        ),
        _ => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\"/>"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::super::rounds::tests::rounds;
    use super::*;

    #[test]
    fn a_mark_for_each_program() {
        let rounds = rounds(&[
            ("limit", Kind::Limit, &[1.0]),
            ("windrow", Kind::Windrow, &[1.5]),
            ("2 workers", Kind::Workers, &[2.0]),
            ("spark", Kind::Peer, &[40.0]),
            ("polars", Kind::Peer, &[]),
        ]);
        let svg = svg(&[Row { title: "a < b", size: String::new(), rounds }]);
        // Two circles and a square of the row; the same and that of the peer that failed in the legend.
        assert_eq!(svg.matches("<circle").count(), 5, "{svg}");
        assert_eq!(svg.matches("<rect").count(), 3, "{svg}");
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
        let circle = |colour: &str| {
            let line = svg
                .lines()
                .find(|line| line.starts_with("<circle") && line.contains(colour))
                .unwrap();
            line.split('"').nth(1).unwrap().parse::<f64>().unwrap()
        };
        assert!(circle("#0050b0") < circle(PEERS[0]));
    }
}
