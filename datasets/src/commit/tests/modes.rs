//! Modes of writing: with a stop at each step of the commit, and with several jobs at once.

use super::super::job::commit_to;
use super::*;
use std::cell::{Cell, RefCell};

/// A folder that stops: all calls after so many fail, and the one at the edge has done half of its work if it is of
/// many files. Something else may happen before the manifest is written.
struct Stops<'a> {
    inner: Box<dyn Folder + 'a>,
    left: Cell<usize>,
    before_manifest: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl<'a> Stops<'a> {
    fn after(world: &'a World, output: &'a Output, calls: usize) -> Stops<'a> {
        let inner = folder(&world.storage, output);
        Stops { inner, left: Cell::new(calls), before_manifest: RefCell::new(None) }
    }

    fn step(&self) -> Result<(), StorageError> {
        let stopped = || {
            let here = "s3://bucket/folder".parse().unwrap();
            StorageError::other(&here, "stopped")
        };
        self.left.set(self.left.get().checked_sub(1).ok_or_else(stopped)?);
        Ok(())
    }
}

impl Folder for Stops<'_> {
    fn survey(&self) -> Result<Survey, StorageError> {
        self.inner.survey()
    }
    fn check_access(&self) -> Result<(), StorageError> {
        self.inner.check_access()
    }
    fn find(&self, storage: &Storage) -> Result<Found, StorageError> {
        self.step()?;
        self.inner.find(storage)
    }
    fn publish(&self, storage: &Storage, staged: &[Staged]) -> Result<(), StorageError> {
        if self.left.get() == 0 {
            self.inner.publish(storage, &staged[..staged.len() / 2])?;
        }
        self.step()?;
        self.inner.publish(storage, staged)
    }
    fn write_manifest(
        &self,
        storage: &Storage,
        json: Vec<u8>,
        found: &Found,
    ) -> Result<Swap, StorageError> {
        if let Some(first) = self.before_manifest.take() {
            first();
        }
        self.step()?;
        self.inner.write_manifest(storage, json, found)
    }
    fn write(&self, storage: &Storage, name: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        self.step()?;
        self.inner.write(storage, name, bytes)
    }
    fn quarantined(&self, storage: &Storage) -> Result<Vec<String>, StorageError> {
        self.step()?;
        self.inner.quarantined(storage)
    }
    fn delete(&self, storage: &Storage, names: &[String]) -> Result<(), StorageError> {
        if self.left.get() == 0 {
            self.inner.delete(storage, &names[..names.len() / 2])?;
        }
        self.step()?;
        self.inner.delete(storage, names)
    }
    fn unpublish(&self, storage: &Storage, listed: &BTreeSet<String>) -> Result<(), StorageError> {
        self.step()?;
        self.inner.unpublish(storage, listed)
    }
    fn clean(&self, storage: &Storage, committed: &Committed) -> Result<(), StorageError> {
        self.step()?;
        self.inner.clean(storage, committed)
    }
}

fn by_day(world: &World, job: &str, mode: WriteMode) -> Output {
    Output { partitioned_by: vec!["day".to_string()], ..world.output(job, mode) }
}

/// Stages a file a day, whose text names job and day.
fn stage_days(world: &World, output: &Output, days: &[u32]) -> Vec<StagedFiles> {
    begin(&world.storage, output, Runner::ThisProcess).unwrap();
    let mut files = AttemptFiles::new(&world.storage, output, "part-00000", 0);
    for day in days {
        let mut file = files.next(&format!("day={day}")).unwrap();
        file.write_all(format!("{}/{day}\n", output.job).as_bytes()).unwrap();
        files.end(file, 1).unwrap();
    }
    vec![files.finish().unwrap()]
}

/// What who reads by the manifest sees: the texts of all files, each of which must be whole.
fn seen(world: &World) -> Vec<String> {
    let location = world.root.join("out/deep");
    let manifest = Manifest::read(&world.storage, &location).unwrap();
    let files = world.files();
    let mut texts: Vec<String> = manifest
        .files
        .iter()
        .map(|file| {
            let text = &files[&format!("out/deep/{}", file.name)];
            assert_eq!(crc32fast::hash(text.as_bytes()), file.crc32);
            text.trim_end().to_string()
        })
        .collect();
    texts.sort();
    texts
}

/// What a job is called, and that it has left a record out.
fn leaving_out() -> JobInfo {
    let left_out =
        LeftOut { place: "a.txt, byte 5".into(), stage: "s".into(), message: "m".into() };
    JobInfo { left_out: vec![left_out], ..JobInfo::default() }
}

/// The jobs whose left out records are in the quarantine.
fn quarantined(world: &World) -> Vec<String> {
    let files = world.files();
    let jobs = files.iter().filter_map(|(name, text)| {
        let (_, name) = name.split_once("_quarantine/part-00000-")?;
        let row: Quarantined = serde_json::from_str(text).unwrap();
        assert_eq!((row.location.as_str(), row.offset), ("a.txt", Some(5)));
        Some(name.strip_suffix(".jsonl").unwrap().to_owned())
    });
    jobs.collect()
}

/// Nothing but the manifest, what it lists, and a quarantine is there.
fn nothing_else(world: &World) {
    let files = world.files();
    let there = files.keys().filter(|name| {
        !name.ends_with('/') && !name.ends_with(MANIFEST_NAME) && !name.contains("/_quarantine/")
    });
    assert_eq!(there.count(), seen(world).len(), "{:?}", files.keys());
    assert!(!files.keys().any(|name| name.contains(".windrow")), "{:?}", files.keys());
}

#[test]
fn readers_see_the_old_or_the_new_whichever_step_a_commit_stops_at() {
    let old = ["a1/1", "a1/2", "a1/3"];
    let cases: [(WriteMode, &[&str]); 3] = [
        (WriteMode::Overwrite, &["b2/2", "b2/4"]),
        (WriteMode::Append, &["a1/1", "a1/2", "a1/3", "b2/2", "b2/4"]),
        (WriteMode::OverwritePartitions, &["a1/1", "a1/3", "b2/2", "b2/4"]),
    ];
    for (mode, new) in cases {
        let (mut calls, mut whole) = (0, 0);
        while whole < 2 {
            whole = 0;
            for world in World::each() {
                let first = by_day(&world, "a1", WriteMode::Error);
                let staged = stage_days(&world, &first, &[1, 2, 3]);
                commit(&world.storage, &first, &leaving_out(), &staged).unwrap();
                let output = by_day(&world, "b2", mode);
                let staged = stage_days(&world, &output, &[2, 4]);
                assert_eq!(seen(&world), old);
                let folder = Stops::after(&world, &output, calls);
                let job = leaving_out();
                let stopped = commit_to(&world.storage, &output, &folder, &job, &staged);
                let after = seen(&world);
                assert!(after == old || after == new, "{mode:?} after {calls}: {after:?}");
                if stopped.is_ok() {
                    assert_eq!(after, new);
                }
                // What is left out is there before the output is.
                assert!(after == old || quarantined(&world).contains(&"b2".to_owned()));
                if folder.left.get() > 0 {
                    stopped.unwrap();
                    whole += 1;
                    nothing_else(&world);
                }
                if calls % 2 == 0 {
                    // The job is dead, and somebody sweeps: old or new, and nothing else.
                    sweep(&world.storage, &output.location, "b2").unwrap();
                    assert_eq!(seen(&world), after);
                } else {
                    commit(&world.storage, &output, &job, &staged).unwrap();
                    assert_eq!(seen(&world), new);
                }
                let is_swept = calls % 2 == 0;
                match quarantined(&world).join(" ").as_str() {
                    "a1" => assert!(is_swept && after == old),
                    "b2" => assert_eq!(mode, WriteMode::Overwrite),
                    "a1 b2" if mode == WriteMode::Overwrite => assert!(is_swept && after == new),
                    other => assert_eq!(other, "a1 b2"),
                }
                nothing_else(&world);
            }
            calls += 1;
        }
        assert!(calls > 5, "{calls} steps");
    }
}

#[test]
fn only_partitions_that_are_written_are_overwritten() {
    for world in World::each() {
        let plain = world.output("z9", WriteMode::OverwritePartitions);
        let error = check(&world.storage, &plain).unwrap_err();
        assert!(error.to_string().contains("no partitions to overwrite"), "{error}");
        // Into nothing.
        let first = by_day(&world, "a1", WriteMode::OverwritePartitions);
        let staged = stage_days(&world, &first, &[1, 2]);
        commit(&world.storage, &first, &JobInfo::default(), &staged).unwrap();
        let other = Output {
            partitioned_by: vec!["hour".to_string()],
            ..by_day(&world, "b2", WriteMode::OverwritePartitions)
        };
        for mode in [WriteMode::OverwritePartitions, WriteMode::Append] {
            let error = check(&world.storage, &Output { mode, ..other.clone() }).unwrap_err();
            assert!(error.to_string().contains("in folders by day, and this job"), "{error}");
        }
        let second = by_day(&world, "c3", WriteMode::OverwritePartitions);
        let staged = stage_days(&world, &second, &[2]);
        let manifest = commit(&world.storage, &second, &JobInfo::default(), &staged).unwrap();
        assert_eq!(manifest.removed, ["day=2/part-00000-00001-a1.txt"]);
        assert_eq!((manifest.jobs.len(), manifest.partitioned_by[0].as_str()), (2, "day"));
        assert_eq!(seen(&world), ["a1/1", "c3/2"]);
        nothing_else(&world);
        // One that comes late is told what it did, though another has written since.
        let late = commit(&world.storage, &first, &JobInfo::default(), &[]).unwrap();
        assert_eq!(late.job, "c3");
        assert_eq!(seen(&world), ["a1/1", "c3/2"]);
    }
}

#[test]
fn jobs_that_append_at_once_lose_nothing() {
    for world in World::each() {
        let outputs: Vec<Output> =
            (0..8).map(|n| by_day(&world, &format!("j{n}"), WriteMode::Append)).collect();
        let staged: Vec<_> = outputs.iter().map(|out| stage_days(&world, out, &[1])).collect();
        std::thread::scope(|scope| {
            for (output, staged) in outputs.iter().zip(&staged) {
                let storage = &world.storage;
                scope.spawn(move || commit(storage, output, &JobInfo::default(), staged).unwrap());
            }
        });
        let expected: Vec<String> = (0..8).map(|n| format!("j{n}/1")).collect();
        assert_eq!(seen(&world), expected);
        nothing_else(&world);
    }
}

#[test]
fn of_jobs_that_want_a_place_for_themselves_one_wins() {
    for world in World::each() {
        let [won, lost] = ["a1", "b2"].map(|job| by_day(&world, job, WriteMode::Error));
        let [of_won, of_lost] = [&won, &lost].map(|output| stage_days(&world, output, &[1, 2]));
        // The other one commits when this one's files are visible already, and its manifest is not.
        let folder = Stops::after(&world, &lost, 100);
        *folder.before_manifest.borrow_mut() = Some(Box::new(|| {
            commit(&world.storage, &won, &JobInfo::default(), &of_won).unwrap();
        }));
        let job = leaving_out();
        let error = commit_to(&world.storage, &lost, &folder, &job, &of_lost).unwrap_err();
        assert!(quarantined(&world).is_empty());
        assert_eq!(error.kind, StorageErrorKind::Exists, "{error}");
        assert_eq!(seen(&world), ["a1/1", "a1/2"]);
        abort(&world.storage, &lost).unwrap();
        assert_eq!(seen(&world), ["a1/1", "a1/2"]);
        nothing_else(&world);
    }
}
