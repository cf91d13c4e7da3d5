//! What the real binary does about bad input, bad output, wrong usage and Ctrl-C: it says what is wrong with which thing
//! and what to do, and leaves nothing half-written.

mod harness;

use harness::disk::SmallDisk;
use harness::{Done, Room, is_root};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// Panics unless a failed job has left no output, no staging and no temporary files.
fn nothing_is_left(room: &Room, done: &Done) {
    assert!(!room.path("out").exists(), "output of a failed job\n{}", done.report);
    assert_eq!(room.temporary(), Vec::<std::path::PathBuf>::new(), "{}", done.report);
}

/// Runs a word count of `input` that has to fail, saying all of `texts`.
fn wordcount_fails(room: &Room, input: &str, texts: &[&str]) {
    let done = room.windrow("run wordcount --output out --input").arg(input).fails(1);
    done.says(texts);
    nothing_is_left(room, &done);
}

#[test]
fn input_that_is_not_there() {
    let room = room!();
    room.write("in/a.txt", "a");
    let named = |name: &str| room.path(name).display().to_string();
    wordcount_fails(&room, "no/such", &[&named("no/such"), "does not exist", "check the path"]);
    wordcount_fails(&room, "in/a.txt/b", &[&named("in/a.txt/b")]);
    wordcount_fails(&room, "in/*.csv", &[&named("in/*.csv"), "matches no file", "**"]);
    // One of several is enough.
    let done = room.windrow("run wordcount --output out --input in gone").fails(1);
    done.says(&[&named("gone"), "does not exist"]);
    nothing_is_left(&room, &done);
}

#[test]
fn input_that_cannot_be_read() {
    let room = room!();
    std::os::unix::fs::symlink("nothing", room.path("dangling")).unwrap();
    wordcount_fails(&room, "/dev/null", &["/dev/null", "neither a file nor a folder"]);
    fs::create_dir(room.path("in")).unwrap();
    std::os::unix::fs::symlink("nothing", room.path("in/dangling")).unwrap();
    wordcount_fails(&room, "in", &["in/dangling", "symbolic link to nothing", "leave it out"]);
}

#[test]
fn input_without_permission() {
    let room = if is_root() {
        let Some(room) = Room::for_nobody("input_without_permission") else {
            eprintln!("skipped: root may read all, and there is no other user to run as");
            return;
        };
        room
    } else {
        room!()
    };
    let run = |input: &str| {
        let arguments = format!("run wordcount --output out --input {input}");
        if is_root() { room.windrow_by_nobody(&arguments) } else { room.windrow(&arguments) }
    };
    room.write("closed/a.txt", "a");
    room.write("file.txt", "b");
    for closed in ["closed", "file.txt"] {
        fs::set_permissions(room.path(closed), fs::Permissions::from_mode(0o000)).unwrap();
    }
    for input in ["closed", "closed/*.txt", "closed/a.txt", "file.txt"] {
        let done = run(input).fails(1);
        let name = input.split('/').next().unwrap();
        done.says(&[&room.path(name).display().to_string(), "permission", "denied", "ls -ld"]);
        nothing_is_left(&room, &done);
    }

    // The same for an output.
    room.write("in.txt", "a");
    fs::create_dir(room.path("shut")).unwrap();
    fs::set_permissions(room.path("shut"), fs::Permissions::from_mode(0o555)).unwrap();
    let arguments = "run wordcount --input in.txt --output shut/out";
    let run = if is_root() { room.windrow_by_nobody(arguments) } else { room.windrow(arguments) };
    run.fails(1).says(&[&room.path("shut").display().to_string(), "permission to write", "denied"]);
    assert!(room.tree("shut").is_empty());
}

/// A text that does not compress to a few bytes.
fn text() -> Vec<u8> {
    (0..20_000u64)
        .map(|n| format!("{:x} ", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .collect::<String>()
        .into_bytes()
}

#[test]
fn compressed_input_that_is_cut_or_damaged() {
    let room = room!();
    let text = text();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&text).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.write_all(&text).unwrap();
    let zstd = zstd.finish().unwrap();
    for (extension, bytes) in [("gz", &gzip), ("zst", &zstd)] {
        let whole = room.write(&format!("whole.{extension}"), bytes);
        let output = format!("whole-{extension}");
        room.windrow("run wordcount").args(["--output", &output, "--input"]).arg(whole).ok();
        for (name, end) in [("cut", bytes.len() / 2), ("tail", bytes.len() - 2)] {
            let name = format!("{name}.{extension}");
            let path = room.write(&name, &bytes[..end]).display().to_string();
            wordcount_fails(&room, &name, &[&path, "is cut short", "copy the file again"]);
        }
        let mut flipped = bytes.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        let name = format!("flipped.{extension}");
        let path = room.write(&name, flipped).display().to_string();
        wordcount_fails(&room, &name, &[&path, "is corrupt", "copy the file again"]);
        let name = format!("other.{extension}");
        let path = room.write(&name, "not compressed at all").display().to_string();
        wordcount_fails(&room, &name, &[&path]);
    }
}

#[test]
fn text_that_is_not_utf8() {
    use windrow::Local;
    let room = room!();
    let path = room.write("latin1.txt", b"good line\ncaf\xe9 au lait\n");
    let output = room.path("out");
    let result = Local::new().threads(2).run_plan("lines", |flow| {
        flow.read_lines(&*path).map(|line| line.len() as u64).write_text(&*output)
    });
    let told = result.expect_err("a line is no UTF-8").to_string();
    // The line's own offset, or that of the byte in it.
    for text in [&path.display().to_string(), "UTF-8", "byte 1"] {
        assert!(told.contains(text), "does not say `{text}`: {told}");
    }
    assert!(!output.exists(), "output of a failed job: {told}");
}

#[test]
fn records_that_are_cut_short() {
    let room = room!();
    let path = room.write("in/records", [b'x'; 1050]);
    let done = room.windrow("run terasort --input in --output out").fails(1);
    let path = path.display().to_string();
    done.says(&[&path, "1050 bytes", "50 more than whole records of 100 bytes"]);
    nothing_is_left(&room, &done);
}

#[test]
fn wrong_usage_is_told_with_2() {
    let room = room!();
    room.write("in", "a");
    for (arguments, texts) in [
        ("run wordcuont --input in --output out", &["wordcuont", "wordcount"][..]),
        ("rnu", &["rnu", "--help"]),
        ("run wordcount --input in --output out --treads 2", &["--treads", "--threads"]),
        ("run wordcount --output out", &["--input"]),
        ("run wordcount --input in", &["--output"]),
        ("run wordcount --input in --output out --threads 0", &["--threads", "0"]),
        ("run wordcount --input in --output out --mode sideways", &["sideways", "append"]),
        ("run wordcount --input in --output out --overwrite --mode append", &["--overwrite"]),
        ("run wordcount --input ftp://host/x --output out", &["ftp", "s3"]),
        ("run wordcount --input in --output out --format csv", &["csv", "parquet"]),
        ("generate words --bytes lots --output out", &["lots", "4GiB"]),
        ("generate tera --records -1 --output out", &["-1"]),
    ] {
        let done = room.windrow(arguments).fails(2);
        done.says(texts);
        nothing_is_left(&room, &done);
    }
    for arguments in ["", "run"] {
        room.windrow(arguments).fails(2).says(&["Usage"]);
    }
}

#[test]
fn output_that_cannot_be_a_folder() {
    let room = room!();
    room.write("in", "a");
    room.write("file", "keep me");
    for output in ["file", "file/out"] {
        let done = room.windrow("run wordcount --input in --output").arg(output).fails(1);
        done.says(&[&room.path("file").display().to_string(), "is a file", "another location"]);
    }
    assert_eq!(fs::read(room.path("file")).unwrap(), b"keep me");
    let done = room.windrow("run wordcount --input in --output /proc/nothing/here").fails(1);
    done.says(&["/proc"]);
    let done = room.windrow("generate tera --records 1 --output file").fails(1);
    done.says(&[&room.path("file").display().to_string()]);
    room.write("full/diary", "dear diary");
    let done = room.windrow("generate tera --records 1 --output full").fails(1);
    done.says(&["full", "not empty", "another folder"]);
    assert_eq!(room.tree("full").len(), 1);
}

#[test]
fn a_limit_on_the_size_of_files() {
    let room = room!();
    room.write("in", text());
    let run = room.windrow("run wordcount --input in --output deep/out").files_of_at_most(4096);
    let done = run.fails(1);
    done.says(&[&room.path("deep/out").display().to_string(), "limit on size", "another location"]);
    assert!(!room.path("deep").exists(), "a folder that the job made\n{}", done.report);

    // What was there stays, whole.
    room.windrow("run wordcount --input in --output out").ok();
    let before = room.tree("out");
    let run = room.windrow("run wordcount --input in --output out --overwrite");
    run.files_of_at_most(4096).fails(1);
    assert_eq!(room.tree("out"), before);
    let run = room.windrow("run wordcount --input in --output out --mode append");
    run.files_of_at_most(4096).fails(1);
    assert_eq!(room.tree("out"), before);
}

#[test]
fn standard_output_that_is_closed_or_full() {
    let room = room!();
    room.write("in", "a b");
    let shell = |script: &str| {
        let script = script.replace("WINDROW", env!("CARGO_BIN_EXE_windrow"));
        room.program(std::path::Path::new("bash"), "-c").arg(script)
    };
    // Who reads a pipe may have seen enough: the status of the first command is the one that counts.
    for more in ["--explain", "--json", "--help"] {
        let script = format!(
            "(sleep 0.3; WINDROW run wordcount --input in --output out --overwrite {more}) | true; exit ${{PIPESTATUS[0]}}"
        );
        assert_eq!(shell(&script).ok().stderr().matches("panicked").count(), 0);
    }
    let run = "WINDROW run wordcount --input in --output out --overwrite";
    let full = shell(&format!("{run} --json > /dev/full")).fails(1);
    full.says(&["standard output", "No space left"]);
    // The job has succeeded all the same, and says so.
    full.says(&["wordcount succeeded"]);
    shell(&format!("{run} 2> /dev/full")).ok();
    assert_eq!(room.manifest("out")["rows"], 2);
}

#[test]
fn a_full_disk() {
    let room = room!();
    room.write("in", text());
    let Some(disk) = SmallDisk::at(room.path("disk"), "64k") else { return };
    let done = room.windrow("run wordcount --input in --output disk/out").fails(1);
    done.says(&[&room.path("disk/out").display().to_string(), "disk is full", "free space"]);
    assert!(room.tree("disk").is_empty(), "left on the disk\n{}", done.report);
    let done = room.windrow("generate words --bytes 1MB --output disk/words").fails(1);
    done.says(&[&room.path("disk/words").display().to_string()]);
    drop(disk);
}

#[test]
fn ctrl_c_ends_a_job_that_reads() {
    let room = room!();
    room.write("in", text().repeat(10));
    // One file many times: more than can be counted before the signal comes.
    let run = room.windrow("run wordcount --output out --input").args(vec!["in"; 2_000]);
    let mut running = run.timeout(Duration::from_secs(60)).start();
    running.until_it_catches(libc::SIGINT);
    std::thread::sleep(Duration::from_millis(200));
    running.signal(libc::SIGINT);
    let done = running.wait();
    assert_eq!(done.code(), Some(130), "{}", done.report);
    done.says(&["cancelled"]);
    nothing_is_left(&room, &done);
}

#[test]
fn ctrl_c_ends_a_job_that_writes() {
    let room = room!();
    room.windrow("generate tera --records 400000 --output in").ok();
    let mut running = room.windrow("run terasort --input in --output deep/out --threads 1").start();
    let output = room.path("deep/out");
    running.until("staged output", || {
        let staging = fs::read_dir(&output).into_iter().flatten().flatten();
        staging
            .into_iter()
            .any(|entry| entry.file_name().to_string_lossy().starts_with(".windrow-"))
    });
    running.signal(libc::SIGINT);
    let done = running.wait();
    assert_eq!(done.code(), Some(130), "{}", done.report);
    assert!(!room.path("deep").exists(), "left of a cancelled job\n{}", done.report);
}

#[test]
fn what_a_killed_job_leaves_is_shown_and_removed_by_the_next_one() {
    let room = room!();
    room.windrow("generate tera --records 400000 --output in").ok();
    let killed = |threads: u32| {
        let arguments = format!("run terasort --input in --output out --threads {threads}");
        let mut running = room.windrow(&arguments).start();
        let output = room.path("out");
        running.until("a staged part", || {
            let folders = fs::read_dir(&output).into_iter().flatten().flatten();
            let parts =
                folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten());
            parts.flatten().any(|part| part.file_name().to_string_lossy().starts_with("part-"))
        });
        let done = room.windrow("inspect out").ok();
        assert!(done.stdout().starts_with("job "), "{}", done.report);
        assert!(done.stdout().contains(" is writing: "), "{}", done.report);
        running.signal(libc::SIGKILL);
        running.wait();
        let done = room.windrow("inspect out").ok();
        assert!(done.stdout().starts_with("left by job "), "{}", done.report);
        assert!(done.stdout().contains("it is dead"), "{}", done.report);
    };
    killed(1);
    let done = room.windrow("inspect out --sweep").ok();
    assert!(done.stdout().starts_with("swept: job "), "{}", done.report);
    assert!(!room.path("out").exists(), "the job had made it");
    killed(2);
    room.windrow("run terasort --input in --output out --quiet").ok();
    let done = room.windrow("verify out").ok();
    assert!(done.stdout().contains("whole: 1 file"), "{}", done.report);
    let hidden =
        room.tree("out").into_keys().find(|p| p.display().to_string().contains(".windrow"));
    assert_eq!(hidden, None);
    let done = room.windrow("inspect out --sweep=nobody").fails(1);
    done.says(&["job nobody has left nothing there"]);
    let run = "run terasort --input in --output out --mode overwrite-partitions";
    room.windrow(run).fails(1).says(&["no partitions to overwrite", "--mode overwrite or append"]);
}
