//! `windrow verify` and `windrow inspect`, by the real binary.

mod harness;

use std::fs;

#[test]
fn verify_an_output() {
    let room = room!();
    room.write("in", "a b\na\n");
    room.windrow("run wordcount --input in --output out --quiet").ok();
    let done = room.windrow("verify out").ok();
    assert_eq!(done.stdout(), "whole: 1 file, 2 rows, 8 bytes\n");
    assert_eq!(done.stderr(), "");
    room.windrow("run wordcount --input in --output pq --format parquet --quiet").ok();
    let done = room.windrow("verify pq").ok();
    assert!(done.stdout().starts_with("whole: 1 file, 2 rows, "), "{}", done.report);

    let listed = room.manifest("out")["files"][0]["name"].as_str().unwrap().to_string();
    room.write(&format!("out/{listed}"), "a\t2\nb\t2\n");
    room.write("out/part-00007-old.txt", "c\t1\n");
    room.write("out/_hidden", "c\t1\n");
    let done = room.windrow("verify out").fails(1);
    let lines: Vec<&str> = done.stdout().lines().collect();
    assert_eq!(lines.len(), 2, "{}", done.report);
    assert!(lines[0].starts_with(&format!("{listed}: has checksum ")), "{}", done.report);
    assert!(lines[1].starts_with("part-00007-old.txt: is not listed"), "{}", done.report);
    let out = room.path("out").display().to_string();
    done.says(&[&out, "2 differences from its manifest", "restore", "--overwrite"]);

    fs::remove_file(room.path(format!("out/{listed}"))).unwrap();
    fs::remove_file(room.path("out/part-00007-old.txt")).unwrap();
    let done = room.windrow("verify out").fails(1);
    assert_eq!(done.stdout(), format!("{listed}: is missing\n"));
    done.says(&["1 difference from"]);
}

#[test]
fn verify_what_is_no_output() {
    let room = room!();
    room.write("plain/file", "a");
    room.write("spark/_SUCCESS", "");
    room.write("spark/part-00000", "a");
    for place in ["plain", "plain/file", "spark", "nowhere"] {
        let done = room.windrow("verify").arg(place).fails(1);
        done.says(&[&room.path(place).display().to_string(), "has no manifest (_SUCCESS)"]);
        assert_eq!(done.stdout(), "", "{}", done.report);
    }
    room.write("bad/_SUCCESS", "{\"format\": \"windrow-manifest\", \"version\": 1}");
    room.windrow("verify bad").fails(1).says(&["is a damaged manifest"]);
    room.windrow("verify").fails(2);
    room.windrow("verify one two").fails(2);
}
