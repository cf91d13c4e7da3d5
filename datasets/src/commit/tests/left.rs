//! What killed jobs leave: found, told from what living ones need, and swept.

use super::super::records::Records;
use super::*;

/// Begins a job, stages a file, and makes another visible as a commit does that is stopped.
fn killed(world: &World, job: &str, runner: Runner) -> Output {
    let output = world.output(job, WriteMode::Error);
    begin(&world.storage, &output, runner).unwrap();
    let staged = world.stage(&output, 0, &["x\n", "y\n"]);
    folder(&world.storage, &output).publish(&world.storage, &staged[..1]).unwrap();
    output
}

/// Changes the record of who runs a job.
fn changed(world: &World, output: &Output, field: &str, value: serde_json::Value) {
    let records = Records::new(&world.storage, &output.location, &output.job);
    let mut record: serde_json::Value = records.read("job").unwrap().unwrap();
    *record.pointer_mut(field).unwrap() = value;
    records.write("job", &record).unwrap();
}

fn states(world: &World, output: &Output) -> Vec<(String, State)> {
    let left = leftovers(&world.storage, &output.location).unwrap();
    left.into_iter().map(|left| (left.job, left.state)).collect()
}

#[test]
fn what_a_dead_process_left_is_swept_by_the_next_job() {
    for world in World::each() {
        let output = killed(&world, "a1", Runner::ThisProcess);
        assert_eq!(states(&world, &output), [("a1".to_string(), State::Running)]);
        let [left] = &leftovers(&world.storage, &output.location).unwrap()[..] else { panic!() };
        assert_eq!(left.files, if world.folder.is_some() { 1 } else { 2 });
        assert!(left.heard_ms.is_some());
        let next = world.output("b2", WriteMode::Error);
        // A living job's files are in the way.
        let error = begin(&world.storage, &next, Runner::ThisProcess).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Exists, "{error}");
        assert_eq!(states(&world, &output).len(), 1);
        // As if another process had had the number.
        changed(&world, &output, "/process/started", 1.into());
        assert_eq!(states(&world, &output), [("a1".to_string(), State::Dead)]);
        world.put("out/deep/.windrow-a1/other", "\"not a record that is known\"");
        begin(&world.storage, &next, Runner::ThisProcess).unwrap();
        assert_eq!(states(&world, &output), [("b2".to_string(), State::Running)]);
        world.commit(&next, &world.stage(&next, 0, &["z\n"])).unwrap();
        assert_eq!(world.names(), ["part-00000-b2.txt"]);
    }
}

#[test]
fn of_a_cluster_nothing_is_swept_until_it_was_silent_for_long_or_somebody_says_so() {
    for world in World::each() {
        let output = killed(&world, "a1", Runner::Cluster);
        let append = world.output("b2", WriteMode::Append);
        assert_eq!(states(&world, &output), [("a1".to_string(), State::Unknown)]);
        let _ = begin(&world.storage, &append, Runner::ThisProcess);
        assert_eq!(states(&world, &output)[0], ("a1".to_string(), State::Unknown));
        changed(&world, &output, "/begun_ms", 1.into());
        // Where an upload was begun since, the job lived then.
        let state = if world.folder.is_some() { State::Dead } else { State::Unknown };
        assert_eq!(states(&world, &output)[0], ("a1".to_string(), state));
        sweep(&world.storage, &output.location, "a1").unwrap();
        assert!(world.names().iter().all(|name| !name.contains("a1")), "{:?}", world.names());
    }
}

#[test]
fn a_job_that_was_killed_before_it_wrote_anything_down_is_dead_after_a_while() {
    let [local, _] = World::each();
    let output = local.output("a1", WriteMode::Error);
    let folder = local.folder.as_ref().unwrap().path().join("out/deep/.windrow-a1");
    std::fs::create_dir_all(&folder).unwrap();
    assert_eq!(states(&local, &output), [("a1".to_string(), State::Unknown)]);
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(90);
    std::fs::File::open(&folder).unwrap().set_modified(before).unwrap();
    assert_eq!(states(&local, &output), [("a1".to_string(), State::Dead)]);
    let next = local.output("b2", WriteMode::Error);
    begin(&local.storage, &next, Runner::ThisProcess).unwrap();
    assert!(!folder.exists());
}

#[test]
fn a_sweep_touches_only_what_the_jobs_own_records_name() {
    for world in World::each() {
        let output = killed(&world, "a1", Runner::ThisProcess);
        world.put("out/deep/part-00000-b2.txt", "of another");
        world.put("out/deep/notes.txt", "mine");
        let records = Records::new(&world.storage, &output.location, "a1");
        // A record that was tampered with.
        let names = ["../escape-a1.txt", "notes.txt", "part-00000-b2.txt", "_SUCCESS"];
        if world.folder.is_some() {
            records.write("publishing", &names).unwrap();
        } else {
            let uploads: Vec<_> =
                names.iter().map(|n| serde_json::json!({"name": n, "id": "0"})).collect();
            let record = serde_json::json!({"begun_ms": 0, "uploads": uploads});
            records.write("uploads-part-00000.9.0", &record).unwrap();
        }
        sweep(&world.storage, &output.location, "a1").unwrap();
        let names = world.names();
        assert!(names.contains(&"notes.txt".to_string()), "{names:?}");
        assert!(names.contains(&"part-00000-b2.txt".to_string()), "{names:?}");
    }
}
