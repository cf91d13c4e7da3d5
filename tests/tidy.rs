//! House rules that neither the compiler nor clippy knows. Each message says where and why.

use std::fs;
use std::path::{Path, PathBuf};

/// Which crates of the workspace each crate may depend on, by folder. Whatever else is a dependency that points upward.
const PARTS: [(&str, &str, &[&str]); 8] = [
    ("datasets/derive", "windrow-derive", &[]),
    ("datasets", "windrow-datasets", &["windrow-derive"]),
    ("protocol", "windrow-protocol", &["windrow-datasets"]),
    ("jobs", "windrow-jobs", &["windrow-datasets"]),
    ("worker", "windrow-worker", &["windrow-jobs", "windrow-protocol", "windrow-datasets"]),
    ("coordinator", "windrow-coordinator", &["windrow-protocol", "windrow-jobs"]),
    (
        "",
        "windrow",
        &[
            "windrow-coordinator",
            "windrow-worker",
            "windrow-jobs",
            "windrow-protocol",
            "windrow-datasets",
        ],
    ),
    (
        "benches",
        "windrow-benches",
        &[
            "windrow",
            "windrow-coordinator",
            "windrow-worker",
            "windrow-jobs",
            "windrow-protocol",
            "windrow-datasets",
        ],
    ),
];

/// What folders must not name: rules of absence.
const ABSENT: [(&str, &[&str], &str); 4] = [
    (
        "worker/src/supervisor",
        &["windrow_jobs", "windrow_datasets", "rayon::"],
        "the supervisor runs no user code and knows no job",
    ),
    (
        "coordinator/src/scheduler",
        &[
            "Instant::now",
            "SystemTime",
            "std::fs",
            "std::net",
            "std::thread",
            "tokio::",
            "async fn",
            ".await",
            "HashMap",
            "HashSet",
            "println!",
        ],
        "the scheduler is a pure state machine: no clock, no I/O, no async, no order that is random",
    ),
    ("coordinator/src", &["windrow_datasets"], "the coordinator knows no file and no storage"),
    (
        "jobs/src",
        &["windrow_protocol", "tokio::", "std::net"],
        "a job knows nothing about processes and networks",
    ),
];

/// The most lines of a source file.
const LINES: usize = 600;

/// Second words for what has a name here, and the name. Whole words, in any case.
const SECOND_WORDS: [(&str, &str); 12] = [
    ("mapper", "task, or operator"),
    ("mappers", "tasks, or operators"),
    ("reducer", "task, or operator"),
    ("reducers", "tasks, or operators"),
    ("master", "coordinator"),
    ("slave", "worker"),
    ("jobtracker", "coordinator"),
    ("tasktracker", "worker"),
    ("speculative", "backup attempt"),
    ("worker node", "worker"),
    ("worker nodes", "workers"),
    ("nodes of the cluster", "workers"),
];

/// A file of the tree.
struct File {
    /// Its path from the root.
    name: String,
    text: String,
}

impl File {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.name).extension().is_some_and(|its| its == extension)
    }

    /// Whether it is input of a test that a compiler has to refuse.
    fn is_mistake(&self) -> bool {
        self.name.contains("tests/mistakes/")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All sources, pages, manifests and scripts.
fn files() -> Vec<File> {
    let mut files = Vec::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if ["target", "node_modules"].contains(&&*name)
                    || (name.starts_with('.') && name != ".ci")
                {
                    continue;
                }
                folders.push(path);
            } else if is_ours(&path) {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                files.push(File { name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    assert!(files.len() > 100, "the tree of sources was not found");
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

fn is_ours(path: &Path) -> bool {
    const EXTENSIONS: [&str; 7] = ["rs", "md", "toml", "sh", "yaml", "yml", "service"];
    path.extension().is_some_and(|e| EXTENSIONS.iter().any(|known| e == *known))
        || path.parent().and_then(Path::file_name).is_some_and(|folder| folder == ".ci")
}

/// Panics with all that was found.
fn none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn each_source_file_begins_by_saying_what_it_is() {
    let bad = |file: &File| {
        let text = file.text.trim_start();
        file.is("rs") && !file.is_mistake() && !text.is_empty() && !text.starts_with("//!")
    };
    let found = files().into_iter().filter(bad).map(|file| file.name).collect();
    none("without `//!` in the first line", found);
}

#[test]
fn no_source_file_is_long() {
    let found = files()
        .into_iter()
        .filter(|file| file.is("rs"))
        .map(|file| (file.text.lines().count(), file.name))
        .filter(|(lines, _)| *lines > LINES)
        .map(|(lines, name)| format!("{name}: {lines} lines; cut it by what it is about"))
        .collect();
    none(&format!("files of more than {LINES} lines"), found);
}

#[test]
fn nothing_unfinished_is_left() {
    // In halves, so that this file is not found.
    let marks =
        [["to", "do!("], ["unimple", "mented!("], ["db", "g!("]].map(|halves| halves.concat());
    let mut found = Vec::new();
    for file in files().iter().filter(|file| file.is("rs")) {
        for (number, line) in file.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark.as_str())) {
                found.push(format!("{}:{}: {}", file.name, number + 1, line.trim()));
            }
        }
    }
    none("left unfinished", found);
}

/// The crates of the workspace that a Cargo.toml depends on, also for tests.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
            if let Some(name) = section.trim_matches(['[', ']']).split_once("dependencies.") {
                found.push(name.1.to_string());
            }
        } else if section.ends_with("dependencies]") && section != "[workspace.dependencies]" {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            found.push(name.trim_matches('"').to_string());
        }
    }
    found.retain(|name| name == "windrow" || name.starts_with("windrow-"));
    found
}

#[test]
fn dependencies_are_found_however_they_are_written() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nwindrow-jobs.workspace = true\nserde = \"1\"\n\
        windrow-worker = { path = \"../worker\" }\n[workspace.dependencies]\nwindrow-derive = \"1\"\n\
        [dev-dependencies]\n\"windrow\" = \"1\"\n[target.x.dependencies.windrow-protocol]\npath = \"y\"\n";
    let found = ["windrow-jobs", "windrow-worker", "windrow", "windrow-protocol"];
    assert_eq!(dependencies(manifest), found);
}

#[test]
fn no_dependency_points_upward() {
    let mut found = Vec::new();
    for (folder, name, allowed) in PARTS {
        let path = root().join(folder).join("Cargo.toml");
        let manifest = fs::read_to_string(&path).unwrap();
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{} is not {name}",
            path.display()
        );
        for dependency in dependencies(&manifest) {
            if !allowed.contains(&dependency.as_str()) {
                found.push(format!("{name} must not use {dependency} (see ARCHITECTURE.md)"));
            }
        }
    }
    none("dependencies that point upward", found);
    let members = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = members.lines().find(|line| line.starts_with("members = ")).unwrap();
    let count = members.matches('"').count() / 2;
    assert_eq!(count, PARTS.len(), "a crate of the workspace is missing in this test: {members}");
}

#[test]
fn parts_do_not_know_what_they_must_not() {
    let files = files();
    let mut found = Vec::new();
    for (folder, words, why) in ABSENT {
        let within = |file: &&File| {
            file.name.starts_with(folder) && file.is("rs") && !file.name.contains("/tests")
        };
        for file in files.iter().filter(within) {
            for (number, line) in file.text.lines().enumerate() {
                let line = line.trim();
                let word = words.iter().find(|word| line.contains(**word));
                if let Some(word) = word.filter(|_| !line.starts_with("//")) {
                    found.push(format!("{}:{}: `{word}`: {why}", file.name, number + 1));
                }
            }
        }
    }
    none("rules of absence", found);
}

#[test]
fn one_word_for_one_thing() {
    let mut found = Vec::new();
    let own = Path::new(file!()).to_path_buf();
    for file in files().iter().filter(|file| file.is("rs") || file.is("md")) {
        if Path::new(&file.name) == own {
            continue;
        }
        for (number, line) in file.text.lines().enumerate() {
            for (word, name) in SECOND_WORDS {
                if has_word(line, word) {
                    found.push(format!(
                        "{}:{}: `{word}` is called {name} here",
                        file.name,
                        number + 1
                    ));
                }
            }
        }
    }
    none("second words", found);
}

#[test]
fn words_are_whole() {
    assert!(has_word("the Master decides", "master"));
    assert!(has_word("two worker nodes", "worker nodes"));
    assert!(!has_word("mastery, a remaster, task_master", "master"));
}

/// Whether a line has a word, as a whole, in any case.
fn has_word(line: &str, word: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(part)
            && !line[at + word.len()..].chars().next().is_some_and(part)
    })
}

#[test]
fn no_path_of_one_machine() {
    // In halves, so that this file is not found.
    let paths: Vec<PathBuf> = [["/ro", "ot/"], ["/ho", "me/"], ["/Us", "ers/"], ["/wo", "rk/"]]
        .map(|halves| PathBuf::from(halves.concat()))
        .to_vec();
    let begins =
        |before: Option<char>| before.is_none_or(|c| !c.is_alphanumeric() && !"/._-}".contains(c));
    let mut found = Vec::new();
    for file in files() {
        for (number, line) in file.text.lines().enumerate() {
            let on_machine = paths.iter().any(|path| {
                line.match_indices(path.to_str().unwrap())
                    .any(|(at, _)| begins(line[..at].chars().next_back()))
            });
            if on_machine {
                found.push(format!("{}:{}: {}", file.name, number + 1, line.trim()));
            }
        }
    }
    none("paths of one machine", found);
}
