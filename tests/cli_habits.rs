//! `windrow doctor`, `new`, `completions` and `man`, by the real binary.

mod harness;

use std::path::Path;

#[test]
fn doctor_says_what_is_wrong_and_what_to_do() {
    let room = room!();
    let done = room.windrow("doctor").ok();
    for what in ["binary", "open files", "clock", "scratch"] {
        assert!(done.stdout().contains(&format!("  {what}: ")), "{}", done.stdout());
    }
    let done = room.windrow("doctor --scratch nowhere --cluster 127.0.0.1:9").fails(1);
    assert!(
        done.stdout().contains("BAD       scratch: nowhere cannot be written"),
        "{}",
        done.stdout()
    );
    assert!(done.stdout().contains("BAD       coordinator: no coordinator"), "{}", done.stdout());
    done.says(&["2 things will not work"]);
    room.windrow("cluster up --workers 2 --state state").ok();
    let status = room.windrow("cluster status --state state").ok();
    let address = status.stdout().lines().next().unwrap().trim_start_matches("coordinator ");
    let done = room.windrow(&format!("doctor --cluster {address}")).ok();
    assert!(done.stdout().contains("good      workers: 2 ready, 2 slots"), "{}", done.stdout());
    room.windrow("cluster down --state state").ok();
}

#[test]
fn a_new_crate_has_what_it_takes() {
    let room = room!();
    let source = env!("CARGO_MANIFEST_DIR");
    let done = room.windrow("new my-jobs --windrow").arg(source).ok();
    assert!(done.stdout().contains("cd my-jobs && cargo test"), "{}", done.stdout());
    let made = room.tree("my-jobs");
    for file in ["Cargo.toml", "src/main.rs", ".github/workflows/ci.yml", "Dockerfile", "README.md"]
    {
        let text = made[&room.path("my-jobs").join(file)].as_ref().unwrap();
        let text = String::from_utf8_lossy(text);
        assert!(!text.contains("crate-name") && !text.contains("windrow-dependency"), "{text}");
    }
    let manifest = std::fs::read_to_string(room.path("my-jobs/Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"my-jobs\"") && manifest.contains(source), "{manifest}");
    // With the versions that were tried together.
    assert!(made[&room.path("my-jobs/Cargo.lock")].is_some());
    let done = room.windrow("new sub/more-jobs");
    done.fails(1).says(&["sub/more-jobs", "No such file"]);
    let done = room.windrow("new my-jobs/more-jobs").ok();
    assert!(done.stdout().contains("cd my-jobs/more-jobs"), "{}", done.stdout());
    room.windrow("new my-jobs").fails(1).says(&["my-jobs", "File exists"]);
    room.windrow("new other --windrow my-jobs")
        .fails(1)
        .says(&["not the folder with Windrow's source"]);
    room.windrow("new 2jobs").fails(2).says(&["begins with a letter"]);
}

#[test]
fn shells_and_man_know_the_commands() {
    let room = room!();
    let done = room.windrow("completions bash").ok();
    room.write("completions", done.stdout());
    let shell = "source ./completions && complete -p windrow";
    let done = room.program("bash".as_ref(), "-euc").arg(shell).ok();
    assert!(done.stdout().contains("windrow"), "{}", done.stdout());
    for shell in ["zsh", "fish"] {
        let done = room.windrow(&format!("completions {shell}")).ok();
        assert!(done.stdout().contains("wordcount"), "{shell}");
    }
    room.windrow("man --output pages").ok();
    let page = std::fs::read_to_string(room.path("pages/windrow-run-wordcount.1")).unwrap();
    assert!(page.contains("Counts words"), "{page}");
}

#[test]
fn a_release_is_an_archive_with_all_that_belongs_to_the_binary() {
    let room = room!();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/release");
    let release = |output: &str| {
        let toolchain = ["CARGO_HOME", "RUSTUP_HOME", "HOME"];
        let toolchain =
            toolchain.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
        let script = room.program(&script, "--binary").arg(env!("CARGO_BIN_EXE_windrow"));
        script.arg("--output").arg(output).envs(toolchain).ok()
    };
    let done = release("one");
    let sums = std::fs::read_to_string(room.path("one/SHA256SUMS")).unwrap();
    assert_eq!(done.stdout(), sums);
    let archive = sums.trim().rsplit(' ').next().unwrap();
    let name = archive.strip_suffix(".tar.gz").unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(name, format!("windrow-{version}-{}-linux", std::env::consts::ARCH));
    let unpack = format!("cd one && sha256sum --check --quiet SHA256SUMS && tar xzf {archive}");
    room.program("bash".as_ref(), "-euc").arg(unpack).ok();
    let unpacked = room.program(&room.path(format!("one/{name}/windrow")), "--version").ok();
    assert_eq!(unpacked.stdout().trim(), format!("windrow {version}"));
    for file in ["man/windrow-run.1", "completions/windrow.fish", "LICENSE-MIT", "README.md"] {
        assert!(room.path(format!("one/{name}/{file}")).exists(), "{file}");
    }
    // Another time gives the same bytes, and nothing else is left.
    release("two");
    assert_eq!(sums, std::fs::read_to_string(room.path("two/SHA256SUMS")).unwrap());
    assert_eq!(room.tree("two").len(), 2);
}
