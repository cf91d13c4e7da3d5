//! `windrow.toml` and `--profile`, by the real binary: flags come before the environment, and both before the file.

mod harness;

use harness::{Room, processes::free_port};
use std::time::Duration;

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(240);

/// What the file says of the profile `default`.
fn write(room: &Room, says: &str) {
    room.write("windrow.toml", format!("[profile.default]\n{says}\n"));
}

#[test]
fn a_cluster_of_a_profile_is_that_of_all_commands() {
    let room = room!();
    room.write("in/a.txt", "b a b\n");
    let up = room.windrow("cluster up --workers 1 --state state").timeout(PATIENCE).ok();
    let address = up.stdout().trim().to_owned();
    let nobody = format!("127.0.0.1:{}", free_port());
    room.write(
        "windrow.toml",
        format!("default = \"here\"\n[profile.here]\ncluster = \"{address}\"\n[profile.away]\ncluster = \"{nobody}\"\n"),
    );
    let jobs = |more: &str| room.windrow(&format!("jobs list {more}"));
    room.windrow("run wordcount --input in --output on-cluster").timeout(PATIENCE).ok();
    assert!(jobs("").ok().stdout().contains("wordcount"), "the job did not run on the cluster");
    // Flags that want a cluster have one.
    let detached = room.windrow("run wordcount --input in --output left --detach").ok();
    let job = detached.stdout().trim().to_owned();
    room.windrow(&format!("jobs attach {job}")).timeout(PATIENCE).ok();
    room.windrow("run wordcount --input in --output no --detach --workers 1").fails(2);
    room.windrow("run wordcount --input in --output once --submit-once a").ok();
    room.windrow("top --once").ok();
    room.windrow(&format!("explain {job}")).ok();
    let status = room.windrow("cluster status").ok();
    assert!(status.stdout().contains(&format!("coordinator {address}")), "{}", status.stdout());
    let doctor = room.windrow("doctor").ok();
    let says = "windrow.toml, profile here: cluster";
    assert!(doctor.stdout().contains(says), "{}", doctor.stdout());
    assert!(doctor.stdout().contains("workers: 1 ready"), "{}", doctor.stdout());
    // Over local workers, and in this process, if that is asked for.
    let before = jobs("").ok().stdout().lines().count();
    for (output, more) in [("over-workers", "--workers 1"), ("in-process", "--profile none")] {
        let run = format!("run wordcount --input in --output {output} {more}");
        room.windrow(&run).timeout(PATIENCE).ok();
        room.same_output("on-cluster", output);
    }
    assert_eq!(jobs("").ok().stdout().lines().count(), before);
    // Who comes before whom.
    jobs("--profile away").fails(1).says(&["no coordinator", &nobody]);
    room.windrow("--profile away jobs list").fails(1).says(&[&nobody]);
    jobs("").env("WINDROW_PROFILE", "away").fails(1).says(&[&nobody]);
    jobs("--profile here").env("WINDROW_PROFILE", "away").ok();
    jobs(&format!("--cluster {nobody}")).fails(1).says(&[&nobody]);
    room.windrow("cluster status --profile away --state state").ok();
    room.windrow("cluster down --state state").timeout(PATIENCE).ok();
}

#[test]
fn flags_come_before_the_environment_and_both_before_the_file() {
    let room = room!();
    let nobody = format!("127.0.0.1:{}", free_port());
    write(&room, &format!("cluster = \"{nobody}\"\nsecurity = \"of-file\""));
    // A folder that is not there is named by what fails.
    let jobs = |more: &str| room.windrow(&format!("jobs list {more}"));
    let of_file = room.path("of-file").display().to_string();
    jobs("").fails(1).says(&[&of_file]);
    jobs("").env("WINDROW_SECURITY", "of-environment").fails(1).says(&["of-environment"]);
    jobs("--security of-flag")
        .env("WINDROW_SECURITY", "of-environment")
        .fails(1)
        .says(&["of-flag"]);
    // `cluster token` has another folder of that name, which profiles do not say.
    room.windrow("cluster token list").fails(1).says(&["--security DIR"]);
}

#[test]
fn options_of_stores_and_memory_are_of_the_profile_too() {
    let room = room!();
    room.write("in/a.txt", "b a b\n");
    let port = free_port();
    write(
        &room,
        &format!(
            "store_options = {{ aws_endpoint_url = \"http://127.0.0.1:{port}\", aws_allow_http = true, aws_region = \"x\", aws_skip_signature = true, max_retries = 0 }}"
        ),
    );
    let inspect = || room.windrow("inspect s3://bucket/a");
    inspect().fails(1).says(&[&format!("127.0.0.1:{port}")]);
    // One option by a flag: the others stay.
    let other = free_port();
    inspect()
        .args(["--store-option", &format!("aws_endpoint_url=http://127.0.0.1:{other}")])
        .fails(1)
        .says(&[&format!("127.0.0.1:{other}")]);
    write(&room, "memory = \"1MiB\"\nscratch = \"nowhere\"");
    room.windrow("generate tera --records 100000 --output tera").ok();
    let sort = |output: &str, more: &str| {
        room.windrow(&format!("run terasort --input tera --output {output} --json {more}"))
    };
    sort("no", "").timeout(PATIENCE).fails(1).says(&["nowhere"]);
    let done = sort("sorted", "--scratch .").timeout(PATIENCE).ok();
    let summary: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
    assert!(summary["spilled_bytes"].as_u64().unwrap() > 0, "{summary}");
    let done = sort("again", "--scratch . --memory 1GiB").timeout(PATIENCE).ok();
    let summary: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
    assert_eq!(summary["spilled_bytes"], 0, "{summary}");
}

#[test]
fn what_is_wrong_is_named_by_file_line_and_key() {
    let room = room!();
    let file = room.path("windrow.toml").display().to_string();
    for (says, why) in [
        ("clutser = \"a:1\"", &["`profile.default.clutser`", "there are cluster, security"][..]),
        ("memory = true", &["`profile.default.memory`", "4GiB", "is true"]),
        ("token = \"hush\"", &["`profile.default.token`", "secret", "stores.ini", "`security`"]),
        ("= 1", &["no TOML"]),
    ] {
        write(&room, says);
        let done = room.windrow("jobs list").fails(1);
        done.says(&[&format!("{file}:2: ")]).says(why);
        assert!(!done.stderr().contains("hush"), "{}", done.stderr());
        let doctor = room.windrow("doctor").fails(1);
        let bad = format!("BAD       configuration: {file}:2: ");
        assert!(doctor.stdout().contains(&bad), "{}", doctor.stdout());
    }
    // What takes nothing from it goes on.
    for command in ["--version", "run --help", "cluster init folder", "completions bash"] {
        room.windrow(command).ok();
    }
    room.windrow("jobs list --profile none --cluster 127.0.0.1:9").fails(1).says(&["coordinator"]);
    write(&room, "");
    room.windrow("jobs list --profile other").fails(1).says(&["no profile `other`", "default"]);
    let other = room.write("other/file.toml", "[profile.default]\nthreads = 0\n");
    let done = room.windrow("jobs list").env("WINDROW_CONFIG", "other/file.toml").fails(1);
    done.says(&[&format!("{}:2", other.display())]);
}

#[test]
fn the_log_is_as_the_profile_says_unless_the_environment_does() {
    let room = room!();
    room.write("in/a.txt", "b a b\n");
    write(&room, "log = \"trace\"\nlog_format = \"json\"");
    let run = |output: &str| {
        room.windrow(&format!("run wordcount --input in --output {output} --workers 1 --quiet"))
            .timeout(PATIENCE)
    };
    let done = run("one").ok();
    let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(done.stderr().lines().any(is_json), "{}", done.stderr());
    let done = run("two").env("WINDROW_LOG_FORMAT", "text").ok();
    assert!(!done.stderr().is_empty(), "it says nothing");
    assert!(!done.stderr().lines().next().is_some_and(is_json), "{}", done.stderr());
    let done = run("three").env("WINDROW_LOG", "error").ok();
    assert_eq!(done.stderr(), "");
}
