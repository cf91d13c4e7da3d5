//! `convert`, `sample`, `profile` and `inspect` on files of several formats, by the real binary.

mod harness;

use std::fmt::Write;

fn trips() -> String {
    let mut text = "id,zone,fare,day\n".to_string();
    for n in 0..3000 {
        let fare = if n % 4 == 0 { String::new() } else { format!("{}.5", n % 50) };
        let _ = writeln!(text, "{n},zone {},{fare},2024-03-{:02}", n % 3, 1 + n % 28);
    }
    text
}

#[test]
fn convert_and_profile() {
    let room = room!();
    room.write("trips.csv", trips());
    for (from, to) in
        [("trips.csv", "ipc"), ("ipc", "json"), ("json", "parquet"), ("parquet", "csv")]
    {
        room.windrow(&format!("run convert --input {from} --to {to} --output {to} --quiet")).ok();
    }
    let part = std::fs::read_dir(room.path("csv")).unwrap().map(|entry| entry.unwrap().path());
    let part = part.into_iter().find(|path| path.extension().is_some_and(|e| e == "csv")).unwrap();
    assert!(std::fs::read_to_string(part).unwrap() == trips());

    let of = |input: &str| {
        let done = room.windrow(&format!("run profile --input {input} --quiet --top 1")).ok();
        done.stdout().to_string()
    };
    let table = of("trips.csv");
    assert_eq!(of("ipc"), table);
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["3000", "rows"]);
    assert_eq!(lines[3][..3], ["id", "Int64", "0"]);
    assert_eq!(lines[4][..4], ["zone", "Utf8", "0", "3"]);
    assert_eq!(lines[5][..7], ["fare", "Float64", "750", "50", "0.5", "49.5", "25.166667"]);
    assert_eq!(lines[6][..6], ["day", "Date32", "0", "28", "2024-03-01", "2024-03-28"]);
    let done = room.windrow("run profile --input ipc --quiet --format json --workers 2").ok();
    assert!(done.stdout().starts_with(r#"{"rows":3000,"columns":[{"column":"id","kind":"Int64""#));

    let done = room.windrow("inspect json --rows 1").ok();
    assert!(done.stdout().contains("\njson: 1 file, "), "{}", done.stdout());
    assert!(done.stdout().ends_with("id  zone    fare  day\n0   zone 0        2024-03-01\n"));
    let done = room.windrow("inspect trips.csv --rust").ok();
    let fields = "    id: Option<i64>,\n    zone: Option<String>,\n    fare: Option<f64>,\n    day: Option<Date>,\n";
    assert!(done.stdout().contains(fields), "{}", done.stdout());
}

#[test]
fn what_cannot_be_converted() {
    let room = room!();
    room.write("a.csv", "id,name\n1,x\n2,y\n");
    room.write("a.json", "{\"id\":1,\"tags\":[1,2]}\n");
    let run = |flags: &str| room.windrow(&format!("run {flags} --output out --quiet"));
    run("convert --input a.csv --to text").fails(1).says(&["text is one column, and there are 2"]);
    run("convert --input a.json --to csv")
        .fails(1)
        .says(&["column `tags`", "write json, ipc or parquet"]);
    run("convert --input a.csv --sort-by nome")
        .fails(1)
        .says(&["there is no column `nome`", "id, name"]);
    run("convert --input a.csv --to ipc --compression gzip")
        .fails(1)
        .says(&["ipc is not compressed with gzip"]);
    run("sample --input a.csv --fraction 2").fails(1).says(&["a number from 0 to 1"]);
    run("sample --input a.csv").fails(2);
    room.write("broken.csv", "id,name\n1,\"two\nlines\"\n");
    run("convert --input broken.csv").fails(1).says(&["line break within quotes", "--line-breaks"]);
    run("convert --input broken.csv --line-breaks").ok();
    std::fs::remove_dir_all(room.path("out")).unwrap();
    // What the beginning of a file suggests need not be true of all of it.
    let mut late = "n\n".to_string();
    (0..1_200_000).for_each(|n| late += &format!("{n}\n"));
    room.write("late.csv", late + "many\n");
    run("convert --input late.csv").fails(1).says(&["late.csv", "'many'", "0 is `n`"]);
    run("convert --input late.csv --all-text").ok();
}
