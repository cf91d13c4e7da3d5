//! Runs from a bucket to a bucket over a store that fails, stalls and cuts answers short, with workers that are killed.

use crate::harness::Run;
use crate::harness::processes::{children, executors, kill};
use crate::quiet::windrow;
use crate::s3::{Fault, Rule, S3, Seen, When};
use crate::{room, tests};
use std::collections::BTreeMap;
use std::time::Duration;

tests![a_bad_store_and_killed_workers_change_nothing];

/// The variable that says how many runs there are, where it is set.
const RUNS: &str = "WINDROW_TEST_STORE_RUNS";

/// How many there are else.
const RUNS_USUALLY: u64 = 1;

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(300);

/// A run that reaches this server.
pub(crate) fn reaching<'r>(run: Run<'r>, server: Option<&S3>) -> Run<'r> {
    run.envs(server.into_iter().flat_map(S3::environment))
}

/// The rows and bytes of an output, by name without the job's id, as its manifest tells them.
fn files(server: &S3, output: &str) -> BTreeMap<String, Vec<u8>> {
    let objects = server.objects("results");
    let part = |(key, bytes): (String, Vec<u8>)| {
        let name = key.strip_prefix(&format!("{output}/part-"))?.to_string();
        Some((name.split_once('-')?.0.to_string(), bytes))
    };
    objects.into_iter().filter_map(part).collect()
}

fn a_bad_store_and_killed_workers_change_nothing() {
    let runs = std::env::var(RUNS).map_or(RUNS_USUALLY, |text| text.parse().unwrap());
    let room = room!();
    let server = S3::start(&room.path("store"));
    let command = |arguments: &str| {
        let run = windrow(&room, arguments).timeout(PATIENCE).env("AWS_TIMEOUT", "3s");
        reaching(run, Some(&server))
    };
    server.bucket("shops");
    server.bucket("results");
    command("run sales --records 3000000 --output s3://shops/sales").ok();
    command("run totals --input s3://shops/sales --output s3://results/quiet").ok();
    let quiet = files(&server, "quiet");
    assert!(!quiet.is_empty());
    let (mut lost, mut broken) = (0, [0; 4]);
    for run in 0..runs {
        let share = |fault, share, more| Rule::new(When::Share(share, 3 * run + more), fault);
        let rules = [
            share(Fault::status(503), 0.025, 0),
            share(Fault::Reset, 0.025, 1),
            share(Fault::Stall(None), 0.05, 2),
            share(Fault::CutBody(50_000), 0.05, 3),
        ];
        let rules = rules.map(|rule| server.break_by(rule));
        server.forget();
        let arguments = "--workers 3 --threads 1 --lease-ms 3000";
        let output = format!("bad-{run}");
        let to = format!(
            "run totals --input s3://shops/sales --output s3://results/{output} {arguments}"
        );
        let mut job = command(&to).start();
        let id = job.id();
        job.until("a worker with an executor", || !executors(id).is_empty());
        std::thread::sleep(Duration::from_millis(100 * (run % 10)));
        let workers = children(id);
        kill(workers[run as usize % workers.len()].0);
        let done = job.wait();
        assert_eq!(done.code(), Some(0), "run {run}: {}", done.report);
        lost += u64::from(done.stderr().contains("lost"));
        server.heal();
        assert!(files(&server, &output) == quiet, "run {run}: other bytes\n{}", done.report);
        assert_eq!(server.unfinished(), Vec::<String>::new(), "run {run}\n{}", done.report);
        invisible_until_the_end(&server.seen());
        broken.iter_mut().zip(&rules).for_each(|(all, rule)| *all += rule.fired());
    }
    let enough = if runs < 10 { broken.iter().any(|&n| n > 0) } else { !broken.contains(&0) };
    assert!(lost > 0 && enough, "faults that came about: {lost} {broken:?}");
    let [refused, reset, stalled, cut] = broken;
    println!(
        "{runs} runs, in {lost} of which a worker was lost; of the requests {refused} were refused, {reset} reset, {stalled} stalled, {cut} cut short"
    );
}

/// Panics if an object could be seen before all parts of all uploads were there.
fn invisible_until_the_end(seen: &[Seen]) {
    let counts = |seen: &Seen| seen.query.contains("partNumber=") && seen.status() == 200;
    let first = seen.iter().position(Seen::publishes).expect("something is published");
    let by_job = |at: usize| seen[at].path.ends_with("/_SUCCESS");
    let last = seen.iter().rposition(Seen::publishes).unwrap();
    assert!(by_job(last), "{:?} was published last", seen[last]);
    let late = seen[first..].iter().filter(|seen| counts(seen)).count();
    assert_eq!(late, 0, "parts came after {:?} was visible", seen[first]);
}
