//! Stores that do wrong, or hold what is wrong: an error that names the object and leaves nothing, or success in spite of
//! it. By the real binary, against a server in the test's process.

mod harness;
mod s3;

use harness::{Done, Room, Run};
use http::Method;
use s3::{Fault, Rule, S3, When};
use std::time::Duration;

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(240);

/// A job that gives up soon.
const IMPATIENT: &str = "--store-option max_retries=2 --store-option retry_backoff=1ms \
    --store-option timeout=300ms --store-option read_timeout=300ms";

/// A server with texts in a bucket, a bucket for what is made of them, and the count of their words in `quiet`.
fn world(room: &Room) -> S3 {
    let server = S3::start(&room.path("store"));
    server.bucket("texts");
    server.bucket("counts");
    for file in 0..6 {
        let text = "the quick brown fox jumps over the lazy dog and runs\n".repeat(500);
        let text = text.replace("fox", &format!("fox{file}"));
        room.write(&format!("in/{file}.txt"), &text);
        room.write(&format!("store/texts/in/{file}.txt"), &text);
    }
    room.windrow("run wordcount --input in --output quiet").ok();
    server
}

fn with<'r>(run: Run<'r>, server: &S3) -> Run<'r> {
    run.timeout(PATIENCE).envs(server.environment())
}

const COUNT: &str = "run wordcount --input s3://texts/in --output s3://counts/out";

/// Counting words fails, says this, and leaves nothing.
fn fails(room: &Room, server: &S3, command: &str, says: &[&str]) -> Done {
    let done = with(room.windrow(command).args(IMPATIENT.split_whitespace()), server).fails(1);
    done.says(says);
    assert_eq!(server.keys("counts"), Vec::<String>::new(), "{}", done.report);
    assert_eq!(server.unfinished(), Vec::<String>::new(), "{}", done.report);
    done
}

/// Counting words succeeds although the store does this, which it did.
fn succeeds(room: &Room, server: &S3, rule: Rule) {
    let rule = server.break_by(rule);
    let command = format!("{COUNT} --overwrite");
    let done = with(room.windrow(&command).args(IMPATIENT.split_whitespace()), server).ok();
    assert!(rule.fired() > 0, "{}", done.report);
    server.heal();
    room.same_output("quiet", "store/counts/out");
    assert_eq!(server.unfinished(), Vec::<String>::new(), "{}", done.report);
}

#[test]
fn secrets_that_are_wrong_and_buckets_that_are_not_there() {
    let room = room!();
    let server = world(&room);
    let run = room.windrow(COUNT).args(IMPATIENT.split_whitespace());
    let wrong = with(run, &server).env("AWS_SECRET_ACCESS_KEY", "wrong").fails(1);
    wrong.says(&["s3://counts/out", "access is denied", "check the secrets"]);
    let command = "run wordcount --input s3://nowhere/in --output s3://counts/out";
    fails(&room, &server, command, &["s3://nowhere/in", "does not exist", "check bucket and path"]);
    let command = "run wordcount --input s3://texts/in --output s3://nowhere/out";
    fails(
        &room,
        &server,
        command,
        &["s3://nowhere/out", "does not exist", "check bucket and path"],
    );
    let command = "run wordcount --input s3://texts/*.csv --output s3://counts/out";
    fails(&room, &server, command, &["s3://texts/*.csv", "matches no object"]);
}

#[test]
fn one_object_of_many() {
    let room = room!();
    let server = world(&room);
    let of = |fault| Rule::new(When::Always, fault).method(Method::GET).path("/texts/in/3.txt");
    for (fault, says) in [
        (Fault::denied(), "access is denied"),
        (Fault::status(404), "does not exist"),
        (Fault::status(500), "500"),
        (Fault::Shorten(1000), ""),
        (Fault::CutBody(10), ""),
        (Fault::Stall(None), ""),
        (Fault::StallBody(10, None), ""),
        (Fault::Reset, ""),
    ] {
        let text = format!("{fault:?}");
        let rule = server.break_by(of(fault));
        let done = fails(&room, &server, COUNT, &["s3://texts/in/3.txt", says]);
        assert!(rule.fired() > 0, "{text}: {}", done.report);
        server.heal();
    }
    // Gone since it was listed: as if somebody had deleted it while the job runs.
    let listed = Rule::new(When::Always, Fault::status(404)).path("/texts/in/5.txt");
    server.break_by(listed);
    fails(&room, &server, COUNT, &["s3://texts/in/5.txt", "does not exist"]);
}

/// Some stores list no ETags: then the first answer says what the others must be of.
#[test]
fn an_object_that_changes_while_it_is_read() {
    let room = room!();
    let server = world(&room);
    let text = "many words of a long text that takes more than one request\n".repeat(100_000);
    std::fs::write(room.path("store/texts/in/7.txt"), text).unwrap();
    let rule = Rule::new(When::From(2), Fault::ETag("another")).method(Method::GET);
    let rule = server.break_by(rule.path("/texts/in/7.txt"));
    let done = with(room.windrow(COUNT), &server).fails(1);
    done.says(&["s3://texts/in/7.txt", "has changed since it was listed"]);
    assert!(rule.fired() > 0);
}

#[test]
fn what_passes_is_tried_again() {
    let room = room!();
    let server = world(&room);
    let some = |fault| Rule::new(When::First(2), fault);
    succeeds(&room, &server, some(Fault::status(500)));
    succeeds(&room, &server, some(Fault::status(503)));
    succeeds(&room, &server, some(Fault::Status { status: 429, retry_after: Some(0) }));
    succeeds(&room, &server, some(Fault::Reset));
    succeeds(&room, &server, some(Fault::Stall(None)));
    succeeds(&room, &server, some(Fault::Stall(Some(Duration::from_millis(20)))));
    let of_object = |fault| some(fault).method(Method::GET).path("/texts/in/");
    succeeds(&room, &server, of_object(Fault::CutBody(10_000)));
    succeeds(&room, &server, of_object(Fault::ResetBody(10_000)));
    succeeds(&room, &server, of_object(Fault::StallBody(10_000, None)));
    // What has been done, and was not told.
    let of_part = |fault| some(fault).path("/counts/");
    succeeds(&room, &server, of_part(Fault::LoseAnswer));
    // What clients do not try again: the manifest, which must not be written over another one, and deletions.
    for fault in [Fault::Reset, Fault::LoseAnswer, Fault::Stall(None)] {
        let manifest = some(fault.clone()).method(Method::PUT).path("/_SUCCESS");
        succeeds(&room, &server, manifest);
        succeeds(&room, &server, some(fault).method(Method::POST).query("delete"));
    }
}

/// A body that ends early is not asked for from its beginning.
#[test]
fn a_body_goes_on_at_the_byte_reached() {
    let room = room!();
    let server = world(&room);
    let rule = Rule::new(When::First(1), Fault::CutBody(10_000)).method(Method::GET);
    let rule = server.break_by(rule.path("/texts/in/2.txt"));
    server.forget();
    with(room.windrow(COUNT).args(IMPATIENT.split_whitespace()), &server).ok();
    assert_eq!(rule.fired(), 1);
    let size = std::fs::metadata(room.path("in/2.txt")).unwrap().len();
    let total: u64 = std::fs::read_dir(room.path("in"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    let (_, sent) = server.bytes();
    // Of the objects; beside them there are lists and the like.
    assert!(sent >= total && sent < total + size / 2, "{sent} bytes were sent of {total}");
}

#[test]
fn files_that_are_not_what_they_say() {
    let room = room!();
    let server = world(&room);
    let run = "run convert --input s3://texts/made --output s3://counts/out --to csv";
    let made = |name: &str, bytes: &[u8]| {
        let _ = std::fs::remove_dir_all(room.path("store/texts/made"));
        std::fs::create_dir_all(room.path("store/texts/made")).unwrap();
        std::fs::write(room.path(format!("store/texts/made/{name}")), bytes).unwrap();
    };
    room.write("rows.csv", "id,name\n1,a\n2,b\n");
    room.windrow("run convert --input rows.csv --output rows --to parquet --partitions 1").ok();
    let (_, good) = room.parts("rows").remove(0);
    // The footer's length, beyond the file and of all of memory.
    for length in [good.len() as u32 + 100, u32::MAX, 3] {
        let mut bytes = good.clone();
        let at = bytes.len() - 8;
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        made("a.parquet", &bytes);
        fails(&room, &server, run, &["s3://texts/made/a.parquet", "is no Parquet file"]);
    }
    made("a.parquet", &good[..good.len() / 2]);
    fails(&room, &server, run, &["s3://texts/made/a.parquet", "is no Parquet file"]);
    made("a.csv.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03nothing of the kind");
    fails(&room, &server, run, &["s3://texts/made/a.csv.gz"]);
    // A folder that gives a field what it cannot be.
    let part = |value: &str| {
        let folder = room.path(format!("store/texts/tpch/lineitem/l_orderkey={value}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.parquet"), &good).unwrap();
    };
    part("1");
    part("one");
    let inspect = "run convert --input s3://texts/tpch --output s3://counts/out --to csv";
    fails(&room, &server, inspect, &["l_orderkey=one", "which is no Int64", "rename the folder"]);
}

#[test]
fn a_manifest_that_must_not_be_read_is_not_taken_for_none() {
    let room = room!();
    let server = world(&room);
    with(room.windrow(COUNT), &server).ok();
    let denied = Rule::new(When::Always, Fault::denied()).method(Method::GET).path("/_SUCCESS");
    let denied = server.break_by(denied);
    for command in [
        "inspect s3://counts/out",
        "verify s3://counts/out",
        "run wordcount --input s3://counts/out --output again",
        "run wordcount --input s3://texts/in --output s3://counts/out --mode append",
    ] {
        let before = denied.fired();
        let done = with(room.windrow(command), &server).fails(1);
        done.says(&["s3://counts/out/_SUCCESS", "access is denied"]);
        assert!(denied.fired() > before, "{}", done.report);
    }
    // Of what is none, a store that must not be listed denies everything.
    server.break_by(Rule::new(When::Always, Fault::denied()).query("list-type"));
    let done = with(room.windrow("inspect s3://texts/in/1.txt"), &server).ok();
    assert!(done.stdout().contains("the quick brown fox1"), "{}", done.report);
}

#[test]
fn what_a_manifest_lists_has_to_be_there_as_it_says() {
    let room = room!();
    let server = world(&room);
    let command = "run wordcount --input in --output s3://counts/out";
    with(room.windrow(command), &server).ok();
    let part = server.keys("counts").into_iter().find(|key| key.contains("part-")).unwrap();
    let path = room.path("store/counts").join(&part);
    let bytes = std::fs::read(&path).unwrap();
    let read = "run grep --pattern fox --input s3://counts/out --output again";
    let says = |texts: &[&str]| {
        let done = with(room.windrow(read), &server).fails(1);
        done.says(&[&format!("s3://counts/{part}"), "_SUCCESS"]).says(texts);
        assert!(!room.path("again").exists(), "{}", done.report);
    };
    std::fs::write(&path, &bytes[1..]).unwrap();
    let (was, is) = (bytes.len(), bytes.len() - 1);
    says(&[&format!("had {was} bytes when it was listed"), &format!("has {is} now")]);
    std::fs::remove_file(&path).unwrap();
    says(&["does not exist any more"]);
}
