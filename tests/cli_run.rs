//! `windrow run`, by the real binary, where all goes well.

mod harness;

use harness::{Room, snapshot};
use std::collections::BTreeMap;

/// What a word count writes, by a loop.
fn counted(texts: &[&[u8]]) -> BTreeMap<Vec<u8>, u64> {
    let mut counts = BTreeMap::new();
    let words = texts.iter().flat_map(|text| text.split(u8::is_ascii_whitespace));
    for word in words.filter(|word| !word.is_empty()) {
        *counts.entry(word.to_vec()).or_default() += 1;
    }
    counts
}

/// The counts in an output of `wordcount`.
fn counts(room: &Room, output: &str) -> BTreeMap<Vec<u8>, u64> {
    let mut counts = BTreeMap::new();
    for line in room.bytes(output).split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let tab = line.iter().rposition(|&byte| byte == b'\t').expect("a tab in each line");
        let count = std::str::from_utf8(&line[tab + 1..]).unwrap().parse().unwrap();
        let before = counts.insert(line[..tab].to_vec(), count);
        assert_eq!(before, None, "{:?} twice", String::from_utf8_lossy(&line[..tab]));
    }
    counts
}

/// A text of many lines, with words that are no UTF-8, all kinds of white space, and no line feed at its end.
fn text(lines: usize, seed: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for line in 0..lines {
        let number = (line * 7919 + seed) % 5003;
        text.extend_from_slice(format!("the word{number}\tof {}  \r\n", number % 17).as_bytes());
        text.extend_from_slice(b"\xff\xfe \x0b caf\xc3\xa9\x0c");
    }
    text.extend_from_slice(b"end");
    text
}

#[test]
fn wordcount_is_what_a_loop_counts() {
    let room = room!();
    let texts = [text(20_000, 1), text(3, 2), Vec::new(), text(500, 3)];
    room.write("in/a.txt", &texts[0]);
    room.write("in/deep/er/b.txt", &texts[1]);
    room.write("in/empty.txt", &texts[2]);
    room.write("in/c.log", &texts[3]);
    let all = counted(&texts.each_ref().map(Vec::as_slice));

    room.windrow("run wordcount --input in --output out").ok();
    assert_eq!(counts(&room, "out"), all);
    let manifest = room.manifest("out");
    assert_eq!(manifest["rows"], all.len());
    assert_eq!(manifest["job_name"], "wordcount");
    let sizes: Vec<u64> = room.parts("out").iter().map(|(_, part)| part.len() as u64).collect();
    let listed = manifest["files"].as_array().unwrap().iter();
    assert_eq!(listed.map(|file| file["bytes"].as_u64().unwrap()).collect::<Vec<_>>(), sizes);

    // Patterns, several locations, and the same bytes from any number of threads.
    room.windrow("run wordcount --input in/**/*.txt in/*.log --output one --threads 1").ok();
    room.windrow("run wordcount --input in/**/*.{txt,log} --output many --threads 7").ok();
    assert_eq!(counts(&room, "one"), all);
    room.same_output("one", "out");
    room.same_output("one", "many");
    assert_eq!(room.temporary(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn wordcount_reads_compressed_text() {
    use std::io::Write;
    let room = room!();
    let text = text(2_000, 4);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&text).unwrap();
    room.write("a.gz", gzip.finish().unwrap());
    room.write("b.zst", zstd::encode_all(&*text, 1).unwrap());
    room.write("c", &text);
    for input in ["a.gz", "b.zst", "c"] {
        room.windrow("run wordcount")
            .args(["--input", input, "--output", &format!("of-{input}")])
            .ok();
    }
    room.same_output("of-a.gz", "of-c");
    room.same_output("of-b.zst", "of-c");
    assert_eq!(counts(&room, "of-c"), counted(&[&text]));
}

#[test]
fn empty_input_gives_an_empty_output() {
    let room = room!();
    room.write("in/a", "");
    room.write("in/b", " \n\t\n");
    for (input, output) in [("in/a", "none"), ("in", "blank")] {
        room.windrow("run wordcount").args(["--input", input, "--output", output]).ok();
        let manifest = room.manifest(output);
        assert_eq!((&manifest["rows"], &manifest["bytes"]), (&0.into(), &0.into()));
        assert_eq!(room.bytes(output), b"");
    }
}

#[test]
fn terasort_sorts_stably() {
    let room = room!();
    room.windrow("generate tera --records 20000 --seed 7 --output in").ok();
    room.windrow("run terasort --input in --output out --threads 2").ok();
    room.windrow("run terasort --input in --output again --threads 1").ok();
    room.same_output("out", "again");
    let input = std::fs::read(room.path("in/input-00000")).unwrap();
    let mut records: Vec<&[u8]> = input.chunks_exact(100).collect();
    assert_eq!(records.len(), 20_000);
    records.sort_by_key(|record| &record[..10]);
    assert!(room.bytes("out") == records.concat(), "not what a stable sort gives");

    // Records of one key stay in the order of the input.
    let equal: Vec<u8> = (0..999u32)
        .flat_map(|number| format!("{:<10}{number:<90}", number % 3).into_bytes())
        .collect();
    room.write("equal", &equal);
    room.windrow("run terasort --input equal --output sorted").ok();
    let mut records: Vec<&[u8]> = equal.chunks_exact(100).collect();
    records.sort_by_key(|record| &record[..10]);
    assert!(room.bytes("sorted") == records.concat(), "records of one key have changed places");
}

#[test]
fn output_that_exists_is_refused_overwritten_or_added_to() {
    let room = room!();
    room.write("one", "a b a");
    room.write("two", "c");
    room.windrow("run wordcount --input one --output out").ok();
    let before = room.tree("out");

    let refused = room.windrow("run wordcount --input two --output out").fails(1);
    let output = room.path("out").display().to_string();
    refused.says(&[&output, "--overwrite", "--mode append", "another location"]);
    assert_eq!(room.tree("out"), before);

    room.windrow("run wordcount --input two --output out --mode append").ok();
    let mut rows = room.rows("out");
    rows.sort_unstable();
    assert_eq!(rows, ["a\t2", "b\t1", "c\t1"]);
    assert_eq!(room.manifest("out")["rows"], 3);

    room.windrow("run wordcount --input two --output out --overwrite").ok();
    assert_eq!(room.rows("out"), ["c\t1"]);
    let manifest = room.manifest("out");
    assert_eq!(manifest["files"].as_array().unwrap().len(), room.parts("out").len());
    // Nothing but the files of the manifest and itself is left.
    assert_eq!(room.tree("out").len(), room.parts("out").len() + 1);

    room.windrow("run wordcount --input one --output out --mode overwrite").ok();
    assert_eq!(room.manifest("out")["rows"], 2);
}

#[test]
fn foreign_files_are_never_overwritten() {
    let room = room!();
    room.write("in", "a");
    room.write("out/diary.txt", "dear diary");
    let before = room.tree("out");
    let refused = room.windrow("run wordcount --input in --output out --overwrite").fails(1);
    refused.says(&["diary.txt"]);
    assert_eq!(room.tree("out"), before);
}

#[test]
fn explain_prints_the_plan_and_runs_nothing() {
    let room = room!();
    room.write("in", "a b");
    let done = room.windrow("run wordcount --input in --output out --explain").ok();
    for part in
        ["read_words", "count_by_value", "write_text", &room.path("in").display().to_string()]
    {
        assert!(done.stdout().contains(part), "does not tell of {part}\n{}", done.report);
    }
    assert!(!room.path("out").exists());
}

#[test]
fn json_is_json_and_quiet_is_quiet() {
    let room = room!();
    room.write("in", "a b\na\n");
    let quiet = room.windrow("run wordcount --input in --output q --quiet").ok();
    assert_eq!((quiet.stdout(), quiet.stderr()), ("", ""));

    let done = room.windrow("run wordcount --input in --output j --json --quiet").ok();
    assert_eq!(done.stderr(), "");
    let json: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
    assert_eq!(json["job"], "wordcount");
    assert_eq!(json["records_read"], 3);
    assert_eq!(json["bytes_read"], 6);
    assert_eq!(json["records_written"], 2);
    assert_eq!(json["bytes_written"], room.bytes("j").len());
    assert_eq!(json["outputs"][0]["location"], room.path("j").display().to_string());
    assert_eq!(json["outputs"][0]["rows"], 2);
    assert_eq!(json["stages"].as_array().unwrap().len(), 2);

    // Without both: the summary goes to standard error, so that standard output can be piped.
    let told = room.windrow("run wordcount --input in --output s").ok();
    assert_eq!(told.stdout(), "");
    told.says(&["wordcount succeeded", "output"]);
}

#[test]
fn generated_input_depends_on_the_seed_alone() {
    let room = room!();
    for (kind, size) in
        [("tera --records", "100"), ("measurements --records", "100"), ("words --bytes", "10KB")]
    {
        let make = |seed: &str, output: &str| {
            let output = format!("{}-{output}", kind.split(' ').next().unwrap());
            room.windrow("generate")
                .args(kind.split(' '))
                .args([size, "--seed", seed, "--output", &output])
                .ok();
            std::fs::read(room.path(output).join("input-00000")).unwrap()
        };
        let (one, same, other) = (make("1", "one"), make("1", "same"), make("2", "other"));
        assert!(one == same, "{kind}: one seed, two inputs");
        assert!(one != other, "{kind}: two seeds, one input");
    }
}

#[test]
fn help_pages() {
    let room = room!();
    for (page, arguments) in [
        ("windrow", "--help"),
        ("run", "run --help"),
        ("run-wordcount", "run wordcount --help"),
        ("run-terasort", "run terasort --help"),
        ("generate", "generate --help"),
        ("generate-tera", "generate tera --help"),
        ("simulate", "simulate --help"),
        ("verify", "verify --help"),
        ("inspect", "inspect --help"),
    ] {
        let done = room.windrow(arguments).ok();
        snapshot(&format!("help/{page}.txt"), done.stdout());
    }
}
