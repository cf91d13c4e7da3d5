//! The rules of output, over a local folder and a store in memory alike.

mod folders;
mod left;
mod modes;

use super::job::plan;
use super::*;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// A part file of an attempt.
fn create_part(
    storage: &Storage,
    output: &Output,
    part: &str,
    attempt: u64,
) -> Result<PartFile, StorageError> {
    AttemptFiles::new(storage, output, part, attempt).only()
}

/// These files as what one attempt has staged.
fn together(staged: &[Staged]) -> Vec<StagedFiles> {
    let sum = |of: fn(&Staged) -> u64| staged.iter().map(of).sum();
    vec![StagedFiles {
        attempt: "together".to_string(),
        files: staged.len() as u64,
        rows: sum(|file| file.rows),
        bytes: sum(|file| file.bytes),
        list: StagedList::Here(staged.to_vec()),
    }]
}

/// An output somewhere, and ways to look at it.
struct World {
    storage: Storage,
    root: Location,
    folder: Option<tempfile::TempDir>,
    store: Arc<InMemory>,
}

impl World {
    fn each() -> [World; 2] {
        let folder = tempfile::tempdir().unwrap();
        let root = Location::of_path(folder.path()).unwrap();
        let local = World {
            storage: Storage::new(),
            root,
            folder: Some(folder),
            store: Arc::new(InMemory::new()),
        };
        let store = Arc::new(InMemory::new());
        let storage = Storage::new();
        storage.set_multipart_client("s3://bucket", store.clone());
        let root = "s3://bucket/folder".parse().unwrap();
        [local, World { storage, root, folder: None, store }]
    }

    fn output(&self, job: &str, mode: WriteMode) -> Output {
        Output { mode, ..Output::new(self.root.join("out/deep"), job, "txt") }
    }

    /// Stages parts with these texts.
    fn stage(&self, output: &Output, attempt: u64, texts: &[&str]) -> Vec<Staged> {
        let stage = |(number, text): (usize, &&str)| {
            let name = part_name(number as u64, texts.len() as u64);
            let mut part = create_part(&self.storage, output, &name, attempt).unwrap();
            part.write_all(text.as_bytes()).unwrap();
            let (bytes, crc32) = part.written();
            part.finish(text.lines().count() as u64, crc32, bytes).unwrap()
        };
        texts.iter().enumerate().map(stage).collect()
    }

    fn commit(&self, output: &Output, staged: &[Staged]) -> Result<Manifest, StorageError> {
        let counters = BTreeMap::from([("lines".to_string(), 7)]);
        let job = JobInfo { name: "copy".to_string(), counters, ..JobInfo::default() };
        commit(&self.storage, output, &job, &together(staged))
    }

    /// All files below the root with their texts, hidden ones too.
    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        match &self.folder {
            Some(folder) => walk(folder.path(), "", &mut files),
            None => {
                let store = self.store.clone();
                let runtime = tokio::runtime::Runtime::new().unwrap();
                runtime.block_on(async {
                    use futures::TryStreamExt;
                    let all: Vec<_> = store.list(None).try_collect().await.unwrap();
                    for meta in all {
                        let bytes = store.get(&meta.location).await.unwrap().bytes().await;
                        let name = meta.location.as_ref().strip_prefix("folder/").unwrap();
                        let text = String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                        files.insert(name.to_string(), text);
                    }
                });
            }
        }
        files
    }

    /// The names of the files in the output, without the manifest.
    fn names(&self) -> Vec<String> {
        let names = self.files().into_keys().filter_map(|name| {
            Some(name.strip_prefix("out/deep/")?.to_string()).filter(|name| name != MANIFEST_NAME)
        });
        names.collect()
    }

    fn remove(&self, name: &str) {
        match &self.folder {
            Some(folder) => std::fs::remove_file(folder.path().join(name)).unwrap(),
            None => self.storage.delete_object(&self.root.join(name)).unwrap(),
        }
    }

    fn put(&self, name: &str, text: &str) {
        match &self.folder {
            Some(folder) => {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            None => self.storage.put_object(&self.root.join(name), text.into()).unwrap(),
        }
    }
}

fn walk(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files.insert(format!("{name}/"), String::new());
            walk(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, std::fs::read_to_string(entry.path()).unwrap());
        }
    }
    files.retain(|name, _| name != "out/" && name != "out/deep/");
}

#[test]
fn nothing_is_visible_before_the_commit_and_all_is_after_it() {
    for world in World::each() {
        let output = world.output("a1", WriteMode::Error);
        check(&world.storage, &output).unwrap();
        assert!(world.files().is_empty());
        let staged = world.stage(&output, 0, &["x\ny\n", "", "z\n"]);
        // Another attempt that loses.
        let lost = world.stage(&output, 1, &["x\ny\n"]);
        assert!(world.names().iter().all(|name| name.starts_with(".windrow-a1/")));
        check(&world.storage, &output).unwrap();
        let travelled: Vec<Staged> =
            postcard::from_bytes(&postcard::to_stdvec(&staged).unwrap()).unwrap();
        let manifest = world.commit(&output, &travelled).unwrap();
        if let Place::Upload { id, parts } = &lost[0].place {
            let location = output.location.join("elsewhere");
            assert!(world.storage.complete_upload(&location, id, parts, 4).is_err());
        }
        let names = ["part-00000-a1.txt", "part-00001-a1.txt", "part-00002-a1.txt"];
        assert_eq!(world.names(), names);
        assert_eq!(world.files()["out/deep/part-00000-a1.txt"], "x\ny\n");
        assert_eq!(manifest.files.iter().map(|f| &f.name).collect::<Vec<_>>(), names);
        assert_eq!((manifest.rows, manifest.bytes), (3, 6));
        assert_eq!(manifest.files[0].crc32, crc32fast::hash(b"x\ny\n"));
        assert_eq!((manifest.job.as_str(), manifest.job_name.as_str()), ("a1", "copy"));
        assert_eq!(manifest.counters["lines"], 7);
        assert_eq!(Manifest::read(&world.storage, &output.location).unwrap(), manifest);
    }
}

#[test]
fn a_commit_may_run_twice_or_go_on_from_halfway() {
    for world in World::each() {
        let output = world.output("a1", WriteMode::Error);
        let staged = world.stage(&output, 0, &["x\n", "y\n"]);
        // Halfway: a file is visible, the manifest is not there.
        folder(&world.storage, &output).publish(&world.storage, &staged[..1]).unwrap();
        assert!(Manifest::find(&world.storage, &output.location).unwrap().is_none());
        let manifest = world.commit(&output, &staged).unwrap();
        let files = world.files();
        assert_eq!(world.names().len(), 2);
        assert_eq!(world.commit(&output, &staged).unwrap(), manifest);
        assert_eq!(world.files(), files);
        // At once.
        let output = Output { job: "b2".to_string(), mode: WriteMode::Overwrite, ..output };
        let staged = world.stage(&output, 3, &["1\n", "2\n", "3\n"]);
        let manifests: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..4).map(|_| scope.spawn(|| world.commit(&output, &staged))).collect();
            all.into_iter().map(|one| one.join().unwrap().unwrap()).collect()
        });
        assert!(manifests.iter().all(|manifest| *manifest == manifests[0]));
        assert_eq!(world.names(), ["part-00000-b2.txt", "part-00001-b2.txt", "part-00002-b2.txt"]);
    }
}

#[test]
fn output_that_is_there_is_refused_or_replaced_or_kept() {
    for world in World::each() {
        let first = world.output("a1", WriteMode::Error);
        world.commit(&first, &world.stage(&first, 0, &["x\n"])).unwrap();
        world.put("out/deep/notes.txt", "mine");
        let again = world.output("b2", WriteMode::Error);
        let error = check(&world.storage, &again).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Exists);
        assert!(error.to_string().contains("out/deep: holds files already"), "{error}");
        assert!(error.to_string().contains("--overwrite"), "{error}");
        // Even where nobody checked, or the other job came in between.
        let error = world.commit(&again, &world.stage(&again, 0, &["y\n"])).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Exists, "{error}");
        abort(&world.storage, &again).unwrap();
        assert_eq!(world.names(), ["notes.txt", "part-00000-a1.txt"]);

        let more = world.output("c3", WriteMode::Append);
        check(&world.storage, &more).unwrap();
        let manifest = world.commit(&more, &world.stage(&more, 0, &["y\n", "z\n"])).unwrap();
        let listed: Vec<_> = manifest.files.iter().map(|f| f.name.clone()).collect();
        assert_eq!(listed, ["part-00000-a1.txt", "part-00000-c3.txt", "part-00001-c3.txt"]);
        assert_eq!((manifest.rows, manifest.bytes), (3, 6));
        assert_eq!(world.names().len(), 4);

        let new = world.output("d4", WriteMode::Overwrite);
        check(&world.storage, &new).unwrap();
        let staged = world.stage(&new, 0, &["w\n"]);
        let manifest = world.commit(&new, &staged).unwrap();
        assert_eq!((manifest.removed, manifest.rows), (listed, 1));
        assert_eq!(world.names(), ["notes.txt", "part-00000-d4.txt"]);
    }
}

#[test]
fn what_was_overwritten_is_deleted_also_when_the_first_commit_stopped_before() {
    for world in World::each() {
        let old = world.output("a1", WriteMode::Error);
        world.commit(&old, &world.stage(&old, 0, &["x\n", "y\n"])).unwrap();
        let new = world.output("b2", WriteMode::Overwrite);
        let staged = world.stage(&new, 0, &["w\n"]);
        let steps = folder(&world.storage, &new);
        let found = steps.find(&world.storage).unwrap();
        let manifest = plan(&new, steps.as_ref(), &JobInfo::default(), &found, &staged).unwrap();
        steps.publish(&world.storage, &staged).unwrap();
        let json = manifest.to_json();
        assert_eq!(steps.write_manifest(&world.storage, json, &found).unwrap(), Swap::Done);
        assert_eq!(world.names().iter().filter(|name| !name.starts_with('.')).count(), 3);
        assert_eq!(world.commit(&new, &staged).unwrap(), manifest);
        assert_eq!(world.names(), ["part-00000-b2.txt"]);
    }
}

#[test]
fn folders_of_others_are_only_overwritten_where_they_have_nothing_but_parts() {
    for world in World::each() {
        world.put("out/deep/part-00000-of-spark.txt", "1");
        world.put("out/deep/_SUCCESS", "");
        let append = world.output("a1", WriteMode::Append);
        let error = check(&world.storage, &append).unwrap_err();
        assert!(error.to_string().contains("no _SUCCESS that lists them"), "{error}");
        let output = world.output("a1", WriteMode::Overwrite);
        check(&world.storage, &output).unwrap();
        world.put("out/deep/notes.txt", "mine");
        let error = check(&world.storage, &output).unwrap_err();
        assert!(error.to_string().contains("it holds `notes.txt`"), "{error}");
        world.commit(&output, &world.stage(&output, 0, &["x\n"])).unwrap();
        assert_eq!(world.names(), ["notes.txt", "part-00000-a1.txt"]);
        // A damaged manifest could name anything.
        for bad in ["{", r#"{"format": "windrow-manifest", "version": 1}"#, &{
            let text = world.files()["out/deep/_SUCCESS"].clone();
            text.replace("part-00000-a1.txt", "../part")
        }] {
            world.put("out/deep/_SUCCESS", bad);
            let error = check(&world.storage, &output).unwrap_err();
            assert_eq!(error.kind, StorageErrorKind::Corrupt, "{error}");
        }
        world.put("out/deep/_SUCCESS", r#"{"format": "windrow-manifest", "version": 3}"#);
        let error = check(&world.storage, &output).unwrap_err();
        assert!(error.to_string().contains("use a newer one"), "{error}");
    }
}

#[test]
fn an_abort_leaves_nothing() {
    for world in World::each() {
        let output = world.output("a1", WriteMode::Error);
        let mut uploads = Vec::new();
        for number in 0..2 {
            let mut part = create_part(&world.storage, &output, &part_name(number, 2), 0).unwrap();
            part.write_all(b"some").unwrap();
            uploads.extend(part.upload());
            let (bytes, crc32) = part.written();
            if number == 0 {
                part.finish(1, crc32, bytes).unwrap();
            }
        }
        assert_eq!(uploads.len(), if world.folder.is_some() { 0 } else { 2 });
        for _ in 0..2 {
            abort(&world.storage, &output).unwrap();
            assert!(world.files().is_empty());
        }
        if let Some(folder) = &world.folder {
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "`out` is left");
            // Folders that were there before stay.
            std::fs::create_dir_all(folder.path().join("out")).unwrap();
            drop(world.stage(&output, 0, &["x"]));
            abort(&world.storage, &output).unwrap();
            assert!(folder.path().join("out").exists());
            assert!(!folder.path().join("out/deep").exists());
        } else {
            // The upload is gone: nothing can be completed any more.
            let id = uploads[0].id.clone();
            let location = output.location.join(&uploads[0].name);
            assert!(world.storage.complete_upload(&location, &id, &[String::new()], 4).is_err());
        }
    }
}

#[test]
fn an_output_without_parts_has_a_manifest() {
    for world in World::each() {
        let output = world.output("a1", WriteMode::Error);
        let manifest = world.commit(&output, &[]).unwrap();
        assert!(manifest.files.is_empty());
        assert_eq!(world.files().keys().collect::<Vec<_>>(), ["out/deep/_SUCCESS"]);
    }
}

#[test]
fn wrong_names_and_lost_files_are_refused() {
    for world in World::each() {
        let output = world.output("a1", WriteMode::Error);
        let staged = world.stage(&output, 0, &["x\n", "y\n"]);
        let refused = |staged: &[Staged], what: &str| {
            let error = world.commit(&output, staged).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        };
        refused(&[staged[0].clone(), staged[0].clone()], "was to be committed twice");
        let other = Staged { name: "part-00000-b2.txt".to_string(), ..staged[0].clone() };
        refused(&[other], "is no part file of job a1");
        let outside = Staged { name: "../part-00000-a1.txt".to_string(), ..staged[0].clone() };
        refused(&[outside], "is no part file of job a1");
        match &staged[1].place {
            Place::File { staged } => world.remove(&format!("out/deep/.windrow-a1/{staged}")),
            Place::Upload { id, .. } => {
                let location = output.location.join(&staged[1].name);
                world.storage.abort_upload(&location, id).unwrap();
            }
        }
        assert!(world.commit(&output, &staged).is_err());
        assert!(Manifest::find(&world.storage, &output.location).unwrap().is_none());
        for (job, extension) in [("a/b", "txt"), ("", "txt"), ("a-b", "txt"), ("a", "../x")] {
            let output = Output::new(world.root.clone(), job, extension);
            assert!(check(&world.storage, &output).is_err(), "{job} {extension}");
        }
        assert!(create_part(&world.storage, &output, "../part", 0).is_err());
    }
}

#[test]
fn a_file_is_no_output() {
    for world in World::each() {
        world.put("out/deep", "a file");
        for mode in [WriteMode::Error, WriteMode::Overwrite, WriteMode::Append] {
            let error = check(&world.storage, &world.output("a1", mode)).unwrap_err();
            assert!(error.to_string().contains("is a file"), "{error}");
        }
        assert_eq!(world.files()["out/deep"], "a file");
    }
}

#[test]
fn a_file_above_is_named() {
    let [world, _] = World::each();
    world.put("out", "a file");
    let error = check(&world.storage, &world.output("a1", WriteMode::Error)).unwrap_err();
    assert!(error.to_string().contains("out: is a file"), "{error}");
}

#[test]
fn parts_are_written_by_position_from_several_threads() {
    let [world, remote] = World::each();
    let output = world.output("a1", WriteMode::Error);
    let part = create_part(&world.storage, &output, "part-00000", 0).unwrap();
    assert!(part.writes_at() && part.upload().is_none());
    let text: Vec<u8> = (0..40_000u32).flat_map(u32::to_le_bytes).collect();
    std::thread::scope(|scope| {
        for (number, chunk) in text.chunks(1000).enumerate() {
            let part = &part;
            scope.spawn(move || part.write_at(number as u64 * 1000, chunk).unwrap());
        }
    });
    let staged = part.finish(40_000, crc32fast::hash(&text), text.len() as u64).unwrap();
    let manifest = world.commit(&output, &[staged]).unwrap();
    let path = world.folder.as_ref().unwrap().path().join("out/deep/part-00000-a1.txt");
    assert!(std::fs::read(path).unwrap() == text);
    assert_eq!(manifest.bytes, text.len() as u64);

    let output = remote.output("a1", WriteMode::Error);
    let part = create_part(&remote.storage, &output, "part-00000", 0).unwrap();
    assert!(!part.writes_at());
    assert_eq!(part.write_at(0, b"x").unwrap_err().kind, StorageErrorKind::Unsupported);
}

#[test]
fn attempts_share_no_file_and_leave_nothing_when_they_fail() {
    let [world, _] = World::each();
    let output = world.output("a1", WriteMode::Error);
    let create = |attempt| create_part(&world.storage, &output, "part-00000", attempt).unwrap();
    let (mut old, mut new) = (create(0), create(1));
    old.write_all(b"old").unwrap();
    new.write_all(b"new!").unwrap();
    // One that was thought to be dead, and its number was given again.
    let mut again = create(1);
    again.write_all(b"again").unwrap();
    new.write_all(b"more").unwrap();
    std::mem::forget(new);
    drop(old);
    let error = create(2).finish(0, 0, 9).unwrap_err();
    assert!(error.to_string().contains("has 0 bytes, but 9 were written"), "{error}");
    let staged = again.finish(1, crc32fast::hash(b"again"), 5).unwrap();
    assert_eq!(world.names().iter().filter(|n| n.contains("/part-")).count(), 1);
    world.commit(&output, &[staged]).unwrap();
    assert_eq!(world.files()["out/deep/part-00000-a1.txt"], "again");
    // One that wakes up after the commit.
    let error = create_part(&world.storage, &output, "part-00000", 7).unwrap_err();
    assert!(error.to_string().contains("comes too late"), "{error}");
    assert_eq!(world.names(), ["part-00000-a1.txt"]);
}

#[test]
fn a_staged_file_that_changed_is_not_committed() {
    let [world, _] = World::each();
    let output = world.output("a1", WriteMode::Error);
    let staged = world.stage(&output, 0, &["x\n"]);
    let Place::File { staged: name } = &staged[0].place else { panic!() };
    let path = format!("out/deep/.windrow-a1/{name}");
    world.put(&path, "cut");
    let error = world.commit(&output, &staged).unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(name), "{error}");
}

#[test]
fn large_uploads_go_in_parts() {
    let [_, world] = World::each();
    let output = world.output("a1", WriteMode::Error);
    let mut part = create_part(&world.storage, &output, "part-00000", 0).unwrap();
    let piece: Vec<u8> = (0..5_000_000u32).map(|i| b'a' + (i % 23) as u8).collect();
    let mut crc = crc32fast::Hasher::new();
    for _ in 0..9 {
        part.write_all(&piece).unwrap();
        crc.update(&piece);
    }
    let (bytes, crc32) = part.written();
    assert_eq!((bytes, crc32), (45_000_000, crc.finalize()));
    let staged = part.finish(9, crc32, bytes).unwrap();
    let Place::Upload { parts, .. } = &staged.place else { panic!() };
    assert_eq!(parts.len(), 6);
    world.commit(&output, &[staged]).unwrap();
    assert_eq!(crc32fast::hash(world.files()["out/deep/part-00000-a1.txt"].as_bytes()), crc32);
}

#[test]
fn stores_without_uploads_are_refused() {
    let storage = Storage::new();
    storage.set_client("s3://plain", Arc::new(InMemory::new()));
    let output = Output::new("s3://plain/out".parse().unwrap(), "a1", "txt");
    let error = check(&storage, &output).unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Unsupported, "{error}");
    assert!(create_part(&storage, &output, "part-00000", 0).is_err());
}

#[test]
fn names_of_parts_are_in_order() {
    assert_eq!(part_name(7, 8), "part-00007");
    assert_eq!(part_name(7, 100_000), "part-00007");
    assert_eq!(part_name(7, 100_001), "part-000007");
    assert_eq!(part_name(0, 0), "part-00000");
}
