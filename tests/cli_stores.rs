//! Jobs whose input and output are in an object store, by the real binary, against a server in the test's process.

mod harness;
mod s3;

use harness::{Room, Run};
use http::Method;
use s3::{Fault, Rule, S3, Seen, When};
use std::time::Duration;

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(240);

/// A server whose buckets are in the room.
fn server(room: &Room) -> S3 {
    S3::start(&room.path("store"))
}

/// A command that finds the server.
fn with<'r>(run: Run<'r>, server: &S3) -> Run<'r> {
    run.timeout(PATIENCE).envs(server.environment())
}

/// Texts in a folder and in a bucket alike, and the count of their words in `quiet`.
fn texts(room: &Room, server: &S3) {
    server.bucket("texts");
    for file in 0..8 {
        let text = "the quick brown fox jumps over the lazy dog and runs\n".repeat(2000);
        let text = text.replace("fox", &format!("fox{file}"));
        room.write(&format!("in/{file}.txt"), &text);
        room.write(&format!("store/texts/in/{file}.txt"), &text);
    }
    room.windrow("run wordcount --input in --output quiet").ok();
}

/// Panics if a key can be seen before all parts of all uploads are there.
fn published_at_the_end(seen: &[Seen]) {
    let is_part = |seen: &Seen| seen.query.contains("partNumber=");
    let last = seen.iter().rposition(is_part).expect("uploads in parts");
    let first = seen.iter().position(Seen::publishes).expect("something is published");
    assert!(last < first, "{:?} was visible before {:?}", seen[first], seen[last]);
    let published: Vec<&Seen> = seen.iter().filter(|seen| seen.publishes()).collect();
    let manifest = published.last().unwrap();
    assert!(manifest.path.ends_with("/_SUCCESS"), "{published:?}");
}

#[test]
fn from_a_bucket_to_a_bucket_the_bytes_are_those_of_local_files() {
    let room = room!();
    let server = server(&room);
    texts(&room, &server);
    server.bucket("counts");
    for more in ["", "--workers 3"] {
        let output = format!("run-{}", more.len());
        let command = format!("run wordcount --input s3://texts/in --output s3://counts/{output}");
        server.forget();
        with(room.windrow(&command).args(more.split_whitespace()), &server).ok();
        room.same_output("quiet", &format!("store/counts/{output}"));
        assert_eq!(server.unfinished(), Vec::<String>::new());
        published_at_the_end(&server.seen());
    }
}

#[test]
fn a_job_that_fails_leaves_nothing_in_the_store() {
    let room = room!();
    let server = server(&room);
    texts(&room, &server);
    server.bucket("counts");
    let refused = Rule::new(When::Always, Fault::denied()).method(Method::PUT).path("/counts/");
    let refused = server.break_by(refused.query("partNumber="));
    for more in ["", "--workers 2"] {
        let before = refused.fired();
        let command = "run wordcount --input s3://texts/in --output s3://counts/out";
        let run = room.windrow(command).args(more.split_whitespace());
        let done = with(run, &server).fails(1);
        done.says(&["s3://counts/out/part-", "denied"]);
        assert!(refused.fired() > before, "nothing was uploaded\n{}", done.report);
        assert_eq!(server.keys("counts"), Vec::<String>::new(), "{}", done.report);
        assert_eq!(server.unfinished(), Vec::<String>::new(), "{}", done.report);
    }
}

#[test]
fn the_server_counts_what_the_summary_counts() {
    let room = room!();
    let server = server(&room);
    texts(&room, &server);
    server.bucket("counts");
    server.forget();
    let command = "run wordcount --input s3://texts/in --output s3://counts/out --json";
    let done = with(room.windrow(command), &server).ok();
    let summary = done.stdout().lines().next_back().expect("a summary");
    let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
    let told = ["store_requests", "store_bytes_received", "store_bytes_sent"];
    let told = told.map(|name| summary[name].as_u64().unwrap());
    let (received, sent) = server.bytes();
    assert_eq!(told, [server.requests(), sent, received], "{}", done.report);
}

#[test]
fn a_profile_is_looked_up_by_each_process_and_its_secret_is_told_to_none() {
    let room = room!();
    let server = server(&room);
    texts(&room, &server);
    server.bucket("counts");
    let profile = format!(
        "[mine]\naws_endpoint_url = {}\naws_access_key_id = {}\naws_secret_access_key = {}\naws_allow_http = true\n",
        server.endpoint(),
        s3::ACCESS_KEY,
        s3::SECRET_KEY
    );
    let file = room.write("profiles.ini", profile);
    for more in ["", "--workers 2"] {
        let output = format!("run-{}", more.len());
        let command = format!(
            "run wordcount --input s3://texts/in --output s3://counts/{output} --store-profile mine --store-option aws_region=us-east-1"
        );
        let run = room.windrow(&command).args(more.split_whitespace()).timeout(PATIENCE);
        let done = run.env("WINDROW_STORES", &file).env("WINDROW_LOG", "debug").ok();
        assert!(!done.stderr().contains(s3::SECRET_KEY), "{}", done.report);
        room.same_output("quiet", &format!("store/counts/{output}"));
    }
    let inspect = room.windrow("inspect s3://counts/run-0 --store-profile mine");
    inspect.env("WINDROW_STORES", &file).ok();
    let verify = room.windrow("verify s3://counts/run-0 --store-profile mine");
    verify.env("WINDROW_STORES", &file).ok();
}

#[test]
fn what_is_wrong_with_options_of_stores_is_said_before_anything_is_done() {
    let room = room!();
    let said = |option: &str, code, texts: &[&str]| {
        let run = room.windrow("run wordcount --input s3://texts/in --output s3://counts/out");
        let done = run.args(option.split_whitespace()).fails(code);
        done.says(texts);
        assert!(!done.stderr().contains("hunter2"), "{}", done.report);
    };
    said("--store-option aws_regoin=x", 2, &["is it `aws_region`"]);
    said("--store-option aws_bucket=x", 2, &["said by the location"]);
    let advice = ["AWS_SECRET_ACCESS_KEY", "--store-profile"];
    said("--store-option aws_secret_access_key=hunter2", 2, &advice);
    said("--store-profile nobody", 1, &["s3://", "no profile `nobody`"]);
}

#[test]
fn uploads_of_a_killed_job_are_shown_and_given_up_by_the_next_one() {
    let room = room!();
    let server = server(&room);
    texts(&room, &server);
    server.bucket("counts");
    // Nothing comes of a part, so that the job is killed in the midst of its uploads.
    let stalled = Rule::new(When::Always, Fault::Stall(None)).method(Method::PUT).path("/counts/");
    let stalled = server.break_by(stalled.query("partNumber="));
    let command = "run wordcount --input s3://texts/in --output s3://counts/out";
    let mut running = with(room.windrow(command), &server).start();
    running.until("a part on its way", || stalled.fired() > 0);
    running.signal(libc::SIGKILL);
    running.wait();
    server.heal();
    assert!(!server.unfinished().is_empty());
    let done = with(room.windrow("inspect s3://counts/out"), &server).run();
    assert!(done.stdout().starts_with("left by job "), "{}", done.report);
    assert!(done.stdout().contains("it is dead"), "{}", done.report);
    with(room.windrow(command), &server).ok();
    room.same_output("quiet", "store/counts/out");
    assert_eq!(server.unfinished(), Vec::<String>::new());
    let hidden = |key: &String| key.contains(".windrow-");
    assert!(!server.keys("counts").iter().any(hidden), "{:?}", server.keys("counts"));
    // Two that append: nothing is lost, nothing is left.
    let appending: Vec<_> = (0..2)
        .map(|_| with(room.windrow(command).args(["--mode", "append"]), &server).start())
        .collect();
    appending.into_iter().for_each(|running| drop(running.ok()));
    let keys = server.keys("counts");
    let done = with(room.windrow("verify s3://counts/out"), &server).ok();
    let whole = format!("whole: {} files", keys.len() - 1);
    assert!(done.stdout().contains(&whole), "{keys:?}\n{}", done.report);
}

/// An output in a store is what its manifest lists, whatever else is in the folder, also after more was appended.
#[test]
fn an_output_in_a_store_is_read_by_its_manifest() {
    let room = room!();
    let server = server(&room);
    texts(&room, &server);
    server.bucket("counts");
    let count = "run wordcount --input s3://texts/in/0.txt --output s3://counts/out";
    with(room.windrow(count), &server).ok();
    room.write("store/counts/out/part-99999-another.txt", "stray\t1\n");
    let words = |input: &str| {
        let read = format!("run convert --input {input} --output read --to text --overwrite");
        let done = with(room.windrow(&read), &server).ok();
        let mut rows = room.rows("read");
        assert!(!rows.iter().any(|row| row.contains("stray")), "{}", done.report);
        rows.sort();
        rows
    };
    let once = words("s3://counts/out");
    assert!(once.iter().any(|row| row.contains("fox0")), "{once:?}");
    assert_eq!(words("s3://counts/out/_SUCCESS"), once);
    with(room.windrow(&format!("{count} --mode append")), &server).ok();
    let twice = words("s3://counts/out/_SUCCESS");
    let mut wanted = [once.clone(), once].concat();
    wanted.sort();
    assert_eq!(twice, wanted);
    // A pattern names objects.
    let stray = "run convert --input s3://counts/out/part-* --output stray --to text";
    with(room.windrow(stray), &server).ok();
    assert!(room.rows("stray").iter().any(|row| row.contains("stray")));
}

/// A listing of many objects is taken page by page, each page asked for once.
#[test]
fn many_objects_are_listed_in_pages() {
    let room = room!();
    let server = server(&room);
    server.bucket("many");
    server.pretend("many", "in/o-", 50_000);
    for more in ["", "--workers 2"] {
        server.forget();
        let output = format!("out-{}", more.len());
        let command = format!("run wordcount --input s3://many/in/*777 --output {output}");
        let done = with(room.windrow(&command).args(more.split_whitespace()), &server).ok();
        let lists = server.seen().iter().filter(|seen| seen.query.contains("list-type")).count();
        assert_eq!(lists, 50, "{}", done.report);
        assert_eq!(room.rows(&output), Vec::<String>::new());
    }
}
