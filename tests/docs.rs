//! The pages for readers are true: their shell commands are run with the real binary, what they show is what is printed,
//! and their links lead somewhere. Their Rust is run as doc tests of the crate (`src/pages.rs`).

mod harness;

use harness::Room;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A block of code of a page.
struct Block {
    /// What follows the fence, as in `sh`.
    language: String,
    /// The line of the fence.
    line: usize,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages: at the root and below `docs`.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("ARCHITECTURE.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

fn name(page: &Path) -> String {
    page.strip_prefix(root()).unwrap().display().to_string()
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => {
                let language = language.to_string();
                open = Some(Block { language, line: number + 1, text: String::new() });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block is not closed", name(page));
    blocks
}

/// Room for the commands of a page: `windrow` is the real binary, and so is `cargo run`.
fn room_for(test: &str) -> Room {
    let room = Room::new(test);
    let script = "#!/bin/sh\n# Stands for cargo: what it would build is built.\n\
        case \"$1 $2\" in\n\
        'run --release') shift 3; exec windrow \"$@\" ;;\n\
        'test --workspace') ;;\n\
        *) echo \"cargo $*: no page should need that\" >&2; exit 1 ;;\n\
        esac\n";
    let cargo = room.write("../bin/cargo", script);
    fs::set_permissions(cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let windrow = room.path("../bin/windrow");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_windrow"), windrow).unwrap();
    // What cargo has downloaded, as far as this test has seen.
    room.write("../.cargo/registry/src/index/a-1.0.0/src/lib.rs", "fn a() { a() }\n");
    room.write("../.cargo/registry/src/index/a-1.0.0/README.md", "not Rust\n");
    room
}

#[test]
fn shell_commands_do_what_the_page_shows() {
    let mut run = 0;
    for page in pages() {
        let page_name = name(&page);
        let room = room_for(&format!("docs-{}", page_name.replace(['/', '.'], "-")));
        let path = format!(
            "{}:{}",
            fs::canonicalize(room.path("../bin")).unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        // What the last block printed, if that was a shell block.
        let mut printed = None;
        for block in blocks(&page) {
            match &*block.language {
                "sh" => {
                    let shell = room.program(Path::new("bash"), "-euc").arg(&block.text);
                    let done = shell.env("PATH", &path).ok();
                    printed = Some(done.stdout().to_string());
                    run += 1;
                }
                "text" => {
                    if let Some(printed) = printed.take() {
                        assert_eq!(printed, block.text, "{page_name}:{}", block.line);
                    }
                }
                _ => printed = None,
            }
        }
    }
    assert!(run >= 6, "only {run} shell blocks were found");
}

#[test]
fn each_block_is_tested() {
    let doc_tested = fs::read_to_string(root().join("src/pages.rs")).unwrap();
    let example = root().join("contrib/format-example/Cargo.toml");
    let example = fs::read_to_string(example).unwrap();
    for page in pages() {
        let page_name = name(&page);
        for block in blocks(&page) {
            let place = format!("{page_name}:{}", block.line);
            match &*block.language {
                "sh" | "text" => {}
                "rust" | "rust,no_run" => {
                    let listed = doc_tested.contains(&format!("\"{page_name}\""));
                    assert!(listed, "{place}: the page is missing in src/pages.rs");
                }
                // Dependencies as the crate outside the workspace has them, but for where Windrow is.
                "toml" => {
                    for line in block.text.lines().filter(|line| !line.starts_with("windrow =")) {
                        assert!(
                            example.contains(line),
                            "{place}: not so in format-example: {line}"
                        );
                    }
                }
                other => panic!("{place}: a block of `{other}` is neither compiled nor run"),
            }
        }
    }
}

#[test]
fn each_failure_has_a_test() {
    let page = fs::read_to_string(root().join("docs/failures.md")).unwrap();
    let table = page.split("| shown by |").nth(1).unwrap();
    let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() >= 15, "{rows:?}");
    for row in rows {
        // Behind the last but one bar: the file and the test.
        let shown = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap();
        let named: Vec<&str> = shown.split('`').collect();
        let [_, file, _, test, _] = named[..] else { panic!("no file and test: {row}") };
        let source = fs::read_to_string(root().join(file)).unwrap_or_else(|error| {
            panic!("{file}: {error}");
        });
        assert!(source.contains(&format!("fn {test}(")), "{file} has no `{test}`");
    }
}

/// A summary with its numbers and paths taken out.
fn shape(summary: &str) -> Vec<String> {
    let shape = |line: &str| {
        let number = |word: &&str| !word.starts_with(|c: char| c.is_ascii_digit());
        let unit = |word: &&str| !matches!(*word, "bytes," | "KB" | "MB" | "GB" | "bytes");
        let path = |word: &&str| !word.contains('/');
        let words = line.split_whitespace().filter(number).filter(unit).filter(path);
        words.collect::<Vec<_>>().join(" ")
    };
    summary.lines().map(shape).collect()
}

#[test]
fn the_recorded_run_is_what_a_run_looks_like() {
    let room = room!();
    room.write("in", "a b a");
    let done = room.windrow("run wordcount --input in --output target/wordcount").ok();
    let blocks = blocks(&root().join("README.md"));
    let recorded = blocks.iter().find(|block| block.language == "text").unwrap();
    assert_eq!(shape(&recorded.text), shape(done.stderr()));
}

#[test]
fn the_test_command_is_what_ci_runs() {
    let readme = blocks(&root().join("README.md"));
    let command = "cargo test --workspace";
    assert!(readme.iter().any(|block| block.language == "sh" && block.text.trim() == command));
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(
        ci.lines().any(|line| line.trim().starts_with(command)),
        ".ci/run does not run `{command}`"
    );
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path =
                if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(path.exists(), "{}: {target} is not there", name(&page));
            let linked =
                if heading.is_empty() { String::new() } else { fs::read_to_string(&path).unwrap() };
            let found = heading.is_empty()
                || linked.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
            assert!(found, "{}: {target}: there is no such heading", name(&page));
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} links were found");
}

/// What a heading is called in links.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .collect::<String>()
        .replace(' ', "-")
}
