//! The comparison with real processes: the limit programs beside each other, and a program that gives something else.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

fn compare(scratch: &Path, more: &[&str]) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(["--rounds", "2", "--bytes", "200KB", "--records", "3K", "--scratch"])
        .arg(scratch)
        .args(more)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    (done.status.success(), said)
}

#[test]
fn limits_equal_themselves() {
    let scratch = tempfile::tempdir().unwrap();
    let (success, said) = compare(scratch.path(), &[]);
    assert!(success, "{said}");
    assert!(said.contains("terasort: limit again gave 3000 rows, checksum"), "{said}");
    assert_eq!(said.matches("limit again : limit: min").count(), 2, "{said}");
    assert!(!scratch.path().join("outputs").exists());
}

#[test]
fn a_difference_is_found() {
    let scratch = tempfile::tempdir().unwrap();
    let program = scratch.path().join("windrow");
    // Takes the command line of `windrow run`, and counts only two words.
    let script = "#!/bin/sh\n[ \"$1 $2 $7\" = 'run wordcount --output' ] && mkdir \"$8\" && printf 'a\\t1\\nb\\t2\\n' > \"$8/part-00000\"\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let (success, said) =
        compare(scratch.path(), &["--work", "wordcount", "--windrow", program.to_str().unwrap()]);
    assert!(!success && said.contains("windrow: gave 2 rows"), "{said}");
}

#[test]
fn an_engine_with_another_answer_is_told_and_ends_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let program = scratch.path().join("peers");
    let script = "#!/bin/sh\nif [ \"$1\" = list ]; then echo 'wrong: wordcount q6'; exit; fi\n\
        [ \"$1 $2 $7\" = 'wrong wordcount --output' ] && mkdir \"$8\" && printf 'a\\t1\\n' > \"$8/part\"\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let table = scratch.path().join("results.md");
    fs::write(&table, "before\n<!-- some -->\n<!-- some, end -->\n").unwrap();
    let chart = scratch.path().join("chart.svg");
    let report = ["--table", table.to_str().unwrap(), "--part", "some"];
    let peers = ["--chart", chart.to_str().unwrap(), "--peers", program.to_str().unwrap()];
    let (success, said) =
        compare(scratch.path(), &[&report[..], &peers, &["--work", "wordcount"]].concat());
    assert!(success, "{said}");
    let text = fs::read_to_string(table).unwrap();
    assert!(text.contains("- word count, wrong: gave 1 rows"), "{text}");
    assert!(fs::read_to_string(chart).unwrap().starts_with("<svg"));
}

#[test]
fn works_over_tables() {
    let scratch = tempfile::tempdir().unwrap();
    let (success, said) = compare(scratch.path(), &["--work", "q6", "--scale", "0.01"]);
    assert!(!success && said.contains("--tpch is missing"), "{said}");
    // Instead of the real program: it has no tables to give.
    let tpch = ["--work", "q6", "--tpch", "/bin/false"];
    let (success, said) = compare(scratch.path(), &tpch);
    assert!(!success, "{said}");
    // Tables that are there are taken; these are empty.
    std::fs::create_dir_all(scratch.path().join("tpch-0.01/lineitem")).unwrap();
    let works = ["--work", "q6", "--work", "by-part", "--scale", "0.01"];
    let (success, said) = compare(scratch.path(), &works);
    assert!(success && said.contains("by-part: limit again gave 1 rows"), "{said}");
    assert!(said.contains("most memory"), "{said}");
}
