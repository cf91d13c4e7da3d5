//! A day is added to a dataset, or partitions of it are replaced, by a process that is killed on the way: whoever reads
//! by the manifest sees the old or the new dataset, whole.

use crate::harness::processes::kill;
use crate::harness::{Room, Running};
use crate::quiet::windrow;
use crate::s3::{Fault, Rule, S3, When};
use crate::stores::reaching;
use crate::{room, tests};

tests![
    a_day_is_appended_in_a_bucket,
    a_partition_is_replaced_in_a_bucket_by_workers,
    a_day_is_appended_in_a_folder,
    a_partition_is_replaced_in_a_folder,
];

const APPENDED: &str = "run days --from 3 --until 5 --text new --mode append";
const REPLACED: &str = "run days --from 2 --until 4 --text new --mode overwrite-partitions";

/// A dataset that is changed, somewhere.
struct World<'r> {
    room: &'r Room,
    server: Option<&'r S3>,
    /// What changes it.
    change: &'r str,
    /// Its rows before and after.
    old: Vec<String>,
    new: Vec<String>,
}

impl<'r> World<'r> {
    fn new(room: &'r Room, server: Option<&'r S3>, change: &'r str) -> World<'r> {
        let mut world = World { room, server, change, old: Vec::new(), new: Vec::new() };
        world.begin("quiet");
        world.old = world.rows("quiet", "old");
        world.change("quiet").wait();
        world.new = world.rows("quiet", "new");
        assert!(world.old.len() == 151 && world.new.len() > 151 && world.old != world.new);
        world
    }

    fn location(&self, name: &str) -> String {
        self.server.map_or_else(|| name.to_string(), |_| format!("s3://results/{name}"))
    }

    /// The dataset before anything happens to it.
    fn begin(&self, name: &str) {
        let days = "run days --from 0 --until 3 --text old --output";
        self.start(&format!("{days} {}", self.location(name))).ok();
    }

    fn change(&self, name: &str) -> Running<'r> {
        self.start(&format!("{} --output {}", self.change, self.location(name)))
    }

    fn start(&self, command: &str) -> Running<'r> {
        reaching(windrow(self.room, command), self.server).start()
    }

    /// Its rows, as another process reads them.
    fn rows(&self, name: &str, copy: &str) -> Vec<String> {
        let input = self.location(name);
        let read = format!("run convert --to csv --overwrite --input {input} --output read-{copy}");
        self.start(&read).ok();
        let mut rows = self.room.rows(&format!("read-{copy}"));
        rows.sort();
        rows
    }

    /// What is seen after the change was killed: whether it is the new dataset. It must be either.
    fn is_new(&self, name: &str) -> bool {
        let rows = self.rows(name, "now");
        assert!(rows == self.old || rows == self.new, "{name}: {rows:?}");
        rows == self.new
    }

    /// The next change is as if nothing had happened, and takes away what is left of the one that was killed.
    fn goes_on(&self, name: &str) {
        self.change(name).ok();
        if self.change.starts_with(REPLACED) {
            assert_eq!(self.rows(name, "now"), self.new, "{name}");
        }
        let whole = self.start(&format!("verify {}", self.location(name))).ok();
        assert!(whole.stdout().starts_with("whole: "), "{}", whole.report);
        assert!(!whole.stdout().contains("not in the manifest"), "{}", whole.report);
        match self.server {
            Some(server) => {
                // One that was begun in the moment of the kill is not known, and is empty.
                assert_eq!(server.unfinished_with_parts(), Vec::<String>::new(), "{name}");
                let keys = server.keys("results");
                assert!(!keys.iter().any(|key| key.contains("/.windrow-")), "{keys:?}");
            }
            None => {
                let tree = self.room.tree(name);
                let files = tree.iter().filter(|(_, file)| file.is_some()).map(|(path, _)| path);
                // The hidden folder stays for a while if its record was only begun at the kill.
                let is_left = |path: &&std::path::PathBuf| {
                    let text = path.to_string_lossy();
                    text.contains(".windrow-") && !text.contains("/job.new-")
                };
                let left: Vec<_> = files.filter(is_left).collect();
                assert!(left.is_empty(), "{left:?}");
            }
        }
    }
}

/// Kills the job before each request that makes or removes an object, until it makes no more.
fn in_a_bucket(room: &Room, change: &str) {
    let server = S3::start(&room.path("store"));
    server.bucket("results");
    let world = World::new(room, Some(&server), change);
    let mut seen = Vec::new();
    for step in 1.. {
        let name = format!("step-{step}");
        world.begin(&name);
        let stalls = Rule::new(When::From(step), Fault::Stall(None)).writes().path("/results");
        let stalls = server.break_by(stalls);
        let mut job = world.change(&name);
        while stalls.fired() == 0 && !job.has_ended() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let killed = stalls.fired() > 0;
        if killed {
            kill(job.id());
        }
        job.wait();
        server.heal();
        seen.push(world.is_new(&name));
        world.goes_on(&name);
        if !killed {
            break;
        }
    }
    let (first, last) = (seen.iter().position(|new| *new), seen.len() - 1);
    // The job's record, at least one of uploads, two parts and the manifest; behind it what is removed.
    assert!(first.is_some_and(|first| first >= 5 && first < last), "{seen:?}");
    assert!(seen[first.unwrap()..].iter().all(|new| *new), "{seen:?}");
}

fn a_day_is_appended_in_a_bucket() {
    in_a_bucket(&room!(), APPENDED);
}

fn a_partition_is_replaced_in_a_bucket_by_workers() {
    in_a_bucket(&room!(), &format!("{REPLACED} --workers 2"));
}

/// Kills the job as soon as something of it can be seen: each time something later.
fn in_a_folder(room: &Room, change: &str) {
    let world = World::new(room, None, change);
    let seen = ["/.windrow-", "/part-", "/publishing", "/day=3/part-", "/_SUCCESS"];
    let mut ends = Vec::new();
    for (step, text) in seen.iter().cycle().take(15).enumerate() {
        let name = format!("step-{step}");
        world.begin(&name);
        let before = room.tree(&name);
        let mut job = world.change(&name);
        let holds = || {
            let tree = room.tree(&name);
            let new = tree.iter().filter(|(path, bytes)| before.get(*path) != Some(*bytes));
            let is_it = |path: &std::path::Path| match *text {
                // Its like in the hidden folder becomes it.
                "/_SUCCESS" => path.ends_with("_SUCCESS"),
                text => path.to_string_lossy().contains(text),
            };
            new.into_iter().any(|(path, _)| is_it(path))
        };
        while !holds() && !job.has_ended() {}
        kill(job.id());
        job.wait();
        ends.push(world.is_new(&name));
        world.goes_on(&name);
    }
    assert!(ends.contains(&false) && ends.contains(&true), "{ends:?}");
}

fn a_day_is_appended_in_a_folder() {
    in_a_folder(&room!(), APPENDED);
}

fn a_partition_is_replaced_in_a_folder() {
    in_a_folder(&room!(), REPLACED);
}
