//! Tasks with several files, and files in folders.

use super::*;

/// A task of several files: the folder, the text.
fn task(world: &World, output: &Output, number: u64, files: &[(&str, &str)]) -> StagedFiles {
    let mut task = AttemptFiles::new(&world.storage, output, part_name(number, 9), 3);
    let folders: Vec<&str> = files.iter().map(|(folder, _)| *folder).collect();
    for folders in folders.chunks(4) {
        task.announce(folders).unwrap();
    }
    for (folder, text) in files {
        let mut file = task.next(folder).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        task.end(file, text.lines().count() as u64).unwrap();
    }
    task.finish().unwrap()
}

fn commit_tasks(world: &World, output: &Output, tasks: &[StagedFiles]) -> Manifest {
    let travelled: Vec<StagedFiles> =
        postcard::from_bytes(&postcard::to_stdvec(tasks).unwrap()).unwrap();
    commit(&world.storage, output, &JobInfo::default(), &travelled).unwrap()
}

#[test]
fn tasks_of_many_files_are_told_in_few_bytes_and_committed_in_order() {
    for world in World::each() {
        let output = world.output("a1", WriteMode::Error);
        begin(&world.storage, &output, Runner::ThisProcess).unwrap();
        let many: Vec<(String, String)> =
            (0..40).map(|n| (format!("year={}", 2000 + n % 20), format!("{n}\n"))).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(f, t)| (f.as_str(), t.as_str())).collect();
        let staged = [
            task(&world, &output, 1, &many),
            task(&world, &output, 0, &[("year=2000", "x\ny\n"), ("", "z\n")]),
            task(&world, &output, 2, &[]),
        ];
        assert!(staged.iter().all(|staged| staged.message_bytes() < 1000));
        assert_eq!((staged[0].files, staged[0].rows, staged[1].rows), (40, 40, 3));
        assert!(world.names().iter().all(|name| name.starts_with(".windrow-a1/")));
        let manifest = commit_tasks(&world, &output, &staged);
        assert_eq!((manifest.files.len(), manifest.rows), (42, 43));
        let names: Vec<&String> = manifest.files.iter().map(|file| &file.name).collect();
        assert!(names.is_sorted());
        assert_eq!(names[0], "part-00000-00001-a1.txt");
        assert_eq!(names[1], "year=2000/part-00000-00000-a1.txt");
        assert_eq!(names[2], "year=2000/part-00001-00000-a1.txt");
        assert_eq!(manifest.files[2].folder(), "year=2000");
        let files = world.files();
        assert_eq!(files["out/deep/year=2000/part-00001-00020-a1.txt"], "20\n");
        assert_eq!(files.keys().filter(|name| !name.ends_with('/')).count(), 43);
        assert!(!files.keys().any(|name| name.contains("windrow")), "records are left");

        // What is overwritten goes with its folders.
        let output = world.output("b2", WriteMode::Overwrite);
        begin(&world.storage, &output, Runner::ThisProcess).unwrap();
        let staged = [task(&world, &output, 0, &[("year=2001", "new\n")])];
        commit_tasks(&world, &output, &staged);
        let visible: Vec<String> = world.names();
        assert_eq!(visible.len(), if world.folder.is_some() { 2 } else { 1 }, "{visible:?}");
        assert_eq!(visible.last().unwrap(), "year=2001/part-00000-00000-b2.txt");
    }
}

#[test]
fn a_list_that_is_gone_is_named() {
    for world in World::each() {
        let output = world.output("a1", WriteMode::Error);
        let files: Vec<(&str, &str)> = (0..10).map(|_| ("a=1", "x\n")).collect();
        let staged = [task(&world, &output, 0, &files)];
        world.remove("out/deep/.windrow-a1/staged-part-00000.3");
        let error = commit(&world.storage, &output, &JobInfo::default(), &staged).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("attempt part-00000.3 staged is gone"), "{error}");
    }
}

#[test]
fn folders_that_nobody_would_see_are_refused() {
    for world in World::each() {
        let output = world.output("a1", WriteMode::Error);
        let mut task = AttemptFiles::new(&world.storage, &output, "part-00000", 0);
        for folder in ["_a", ".a=1", "a=1/../b=2", "a=1//b=2", &"x".repeat(300), "a=\n"] {
            let error = task.next(folder).unwrap_err();
            assert!(error.to_string().contains("cannot be the name of a part file"), "{error}");
        }
    }
}
