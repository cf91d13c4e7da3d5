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
    assert!(said.contains("terasort: limit again gave 3000 rows, 300000 bytes"), "{said}");
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
    assert!(!success && said.contains("windrow gave 2 rows"), "{said}");
}
