//! `--memory` and `--scratch`, by the real binary: what does not fit goes to scratch, and the bytes are the same.

mod harness;

use harness::Room;
/// A room with 20 MB of records and 8 MB of text.
fn room_with_input(room: &Room) {
    room.windrow("generate tera --records 200000 --output tera").ok();
    room.windrow("generate words --bytes 8MB --output words").ok();
    std::fs::create_dir(room.path("scratch")).unwrap();
    std::fs::create_dir(room.path("other")).unwrap();
}

fn files_in(room: &Room, folder: &str) -> usize {
    std::fs::read_dir(room.path(folder)).unwrap().count()
}

#[test]
fn what_does_not_fit_goes_to_scratch_and_changes_nothing() {
    let room = room!();
    room_with_input(&room);
    for job in ["terasort --input tera", "wordcount --input words", "distinct --input words"] {
        let name = job.split(' ').next().unwrap();
        room.windrow(&format!("run {job} --output {name}-fits --quiet")).ok();
        for over in ["", "--workers 2"] {
            let flags =
                "--memory 1MiB --scratch scratch --scratch other --overwrite --json --quiet";
            let ran = room.windrow(&format!("run {job} --output {name} {flags} {over}")).ok();
            room.same_output(name, &format!("{name}-fits"));
            let summary: serde_json::Value = serde_json::from_str(ran.stdout()).unwrap();
            assert!(summary["spilled_bytes"].as_u64().unwrap() > 0, "{name} {over}: {summary}");
        }
        assert_eq!((files_in(&room, "scratch"), files_in(&room, "other")), (0, 0));
    }
}

#[test]
fn scratch_that_cannot_be_used_is_named() {
    let room = room!();
    room_with_input(&room);
    let job = "run terasort --input tera --output out --memory 1MiB --quiet";
    let failed = room.windrow(&format!("{job} --scratch missing")).fails(1);
    failed.says(&[
        "folder missing",
        "--scratch",
        "stage read_fixed > sort_by_prefix",
        "--memory (1 MiB",
    ]);
    assert!(!room.path("out").exists());

    // A limit on the size of files is what a full disk is to who writes.
    let failed = room.windrow(&format!("{job} --scratch scratch")).files_of_at_most(1024).fails(1);
    failed.says(&[
        "to the scratch folder scratch",
        "stage read_fixed > sort_by_prefix",
        "--memory",
    ]);
    assert_eq!(files_in(&room, "scratch"), 0);
    assert!(!room.path("out").exists());
}
