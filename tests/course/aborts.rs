//! Jobs that end without output while nobody waits for them.

use crate::harness::Room;
use crate::harness::processes::kill;
use crate::mistakes::{cluster_down, cluster_up};
use crate::quiet::windrow;
use crate::s3::S3;
use crate::stores::reaching;
use crate::{room, tests};
use std::path::Path;
use std::time::{Duration, Instant};

tests![a_cancelled_job_leaves_nothing_in_a_folder, a_cancelled_job_leaves_nothing_in_a_bucket];

/// Waits for something that has to come.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether this is a file with rows, visible or not.
fn is_part(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("part-"))
}

/// Cancels a job in the middle of its last stage, whose client was killed before.
fn client_killed_and_job_cancelled(room: &Room, output: &str, server: Option<&S3>) {
    let address = cluster_up(room, server);
    let job = "run course --maps 4 --reduces 4 --reduce sleep-in-the-last --ms 600000 --log log";
    let run = windrow(room, &format!("{job} --output {output} --cluster {address}"));
    let mut client = reaching(run, server).start();
    client.until("all tasks of the last stage but one have staged their part", || match server {
        Some(server) => server.unfinished().len() >= 3,
        None => room.tree("out").keys().filter(|path| is_part(path)).count() >= 3,
    });
    kill(client.id());
    client.wait();
    windrow(room, &format!("jobs cancel j1 --cluster {address}")).ok();
}

fn a_cancelled_job_leaves_nothing_in_a_folder() {
    let room = room!();
    client_killed_and_job_cancelled(&room, "out", None);
    eventually("the output is gone", || !room.path("out").exists());
    cluster_down(&room);
}

fn a_cancelled_job_leaves_nothing_in_a_bucket() {
    let room = room!();
    let server = S3::start(&room.path("store"));
    server.bucket("results");
    client_killed_and_job_cancelled(&room, "s3://results/out", Some(&server));
    eventually("the output is gone", || {
        server.keys("results").is_empty() && server.unfinished().is_empty()
    });
    cluster_down(&room);
}
