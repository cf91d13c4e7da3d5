//! The program itself, on files of its own format.

use std::path::Path;
use std::process::{Command, Output};

fn frame(message: &str) -> Vec<u8> {
    let mut frame = (message.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(message.as_bytes());
    frame
}

fn dedupe(folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_format-example"))
        .args(["run", "dedupe", "--input", "in", "--output", "out"])
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn messages_are_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    // More than a batch, and a second file.
    let many: Vec<u8> = (0..10_000).flat_map(|n| frame(&format!("message {}", n % 3000))).collect();
    std::fs::write(folder.path().join("in/a"), many).unwrap();
    std::fs::write(folder.path().join("in/b"), [frame("message 7"), frame("last")].concat())
        .unwrap();
    let output = dedupe(folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder.path().join("out")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "frames") {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    let mut messages = Vec::new();
    let mut rest = &*bytes;
    while let Some((header, after)) = rest.split_first_chunk::<4>() {
        let (message, after) = after.split_at(u32::from_le_bytes(*header) as usize);
        messages.push(String::from_utf8(message.to_vec()).unwrap());
        rest = after;
    }
    messages.sort_unstable();
    let mut expected: Vec<String> = (0..3000).map(|n| format!("message {n}")).collect();
    expected.push("last".to_string());
    expected.sort_unstable();
    assert_eq!(messages, expected);
}

#[test]
fn a_file_that_is_cut_short_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let bytes = [frame("whole"), frame("not whole")].concat();
    std::fs::write(folder.path().join("in/a"), &bytes[..bytes.len() - 1]).unwrap();
    let output = dedupe(folder.path());
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("in/a: ends within the message at byte 9"), "{told}");
    assert!(!folder.path().join("out").exists());
}
