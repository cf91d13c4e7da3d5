//! The quarantine of an output: the records that a job has left out, as a dataset of JSON lines beside what it has written.
//!
//! Each job that leaves some out writes `_quarantine/part-00000-JOB.jsonl`, before its manifest, so that it is there when the
//! output is. Whoever reads the output does not see it, for its name is hidden. Appending keeps those of the jobs before,
//! overwriting the whole output removes them.

use super::manifest::LeftOut;
use serde::{Deserialize, Serialize};

/// The name of the folder within the output.
pub const QUARANTINE_NAME: &str = "_quarantine";

/// A record that a job has left out, as a row of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The file in which it lies.
    pub location: String,
    /// What `offset` counts, as in `byte` or `row`; `None` where that is not known.
    pub unit: Option<String>,
    /// Where it begins in the file.
    pub offset: Option<u64>,
    /// The stage that failed at it.
    pub stage: String,
    /// How.
    pub message: String,
}

impl Quarantined {
    /// The row for a record that was left out.
    fn of(left_out: &LeftOut) -> Quarantined {
        let LeftOut { place, stage, message } = left_out;
        let (location, unit, offset) = match parts(place) {
            Some((location, unit, offset)) => (location, Some(unit.to_owned()), Some(offset)),
            None => (place.as_str(), None, None),
        };
        let (stage, message) = (stage.clone(), message.clone());
        Quarantined { location: location.to_owned(), unit, offset, stage, message }
    }
}

/// The file, the unit and the number of a place such as `/data/a.txt, byte 1033`.
fn parts(place: &str) -> Option<(&str, &str, u64)> {
    let (location, at) = place.rsplit_once(", ")?;
    let (unit, offset) = at.split_once(' ')?;
    Some((location, unit, offset.parse().ok()?))
}

/// The name of a job's file within the output.
pub(super) fn file_name(job: &str) -> String {
    format!("{QUARANTINE_NAME}/{}", own_file(job))
}

/// The same within the quarantine.
pub(super) fn own_file(job: &str) -> String {
    format!("part-00000-{job}.jsonl")
}

/// The text of a job's file.
pub(super) fn to_json_lines(left_out: &[LeftOut]) -> Vec<u8> {
    let mut text = Vec::new();
    for row in left_out.iter().map(Quarantined::of) {
        serde_json::to_writer(&mut text, &row).expect("numbers and text can be encoded");
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_parts_of_a_place_where_it_has_some() {
        let left_out = |place: &str| LeftOut {
            place: place.to_owned(),
            stage: "read_lines".to_owned(),
            message: "no \"number\"".to_owned(),
        };
        let places = ["/data/a, b.txt, byte 1033", "s3://b/c.csv, row 7", "record 3 of its lane"];
        let text = to_json_lines(&places.map(left_out));
        let rows: Vec<Quarantined> = String::from_utf8(text)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let of = |row: &Quarantined| (row.location.clone(), row.unit.clone(), row.offset);
        assert_eq!(of(&rows[0]), ("/data/a, b.txt".into(), Some("byte".into()), Some(1033)));
        assert_eq!(of(&rows[1]), ("s3://b/c.csv".into(), Some("row".into()), Some(7)));
        assert_eq!(of(&rows[2]), ("record 3 of its lane".into(), None, None));
        assert!(rows.iter().all(|row| row.message == "no \"number\"" && row.stage == "read_lines"));
    }
}
