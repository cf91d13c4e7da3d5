//! The units of `deploy/systemd`: systemd finds nothing wrong with them, and the commands in them are commands of the binary.

mod harness;

use std::path::Path;
use std::process::Command;

/// A unit, and what its environment says; it starts the binary that is tested.
fn unit(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.replace("/usr/local/bin/windrow", env!("CARGO_BIN_EXE_windrow"))
}

/// The lines of a unit that set this.
fn settings<'u>(unit: &'u str, name: &str) -> impl Iterator<Item = &'u str> {
    unit.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
}

const UNITS: [&str; 2] = ["windrow-coordinator.service", "windrow-worker.service"];

#[test]
fn systemd_finds_nothing_wrong() {
    let room = room!();
    for name in UNITS {
        // The user is made by whoever installs it.
        room.write(name, unit(name).replace("User=windrow", "User=root"));
    }
    let mut verify = Command::new("systemd-analyze");
    let paths = UNITS.map(|name| room.path(name));
    let Ok(done) = verify.args(["verify", "--man=no"]).args(paths).output() else {
        return println!("without systemd-analyze: not run");
    };
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    // Others of the machine are read along.
    let ours: Vec<&str> = told.lines().filter(|line| line.contains("windrow")).collect();
    assert!(done.status.success() && ours.is_empty(), "{told}");
}

#[test]
fn the_commands_are_those_of_the_binary() {
    let room = room!();
    for name in UNITS {
        let unit = unit(name);
        let mut command = settings(&unit, "ExecStart").next().unwrap().to_owned();
        for pair in settings(&unit, "Environment").flat_map(str::split_whitespace) {
            let (variable, value) = pair.split_once('=').unwrap();
            command = command.replace(&format!("${{{variable}}}"), value);
        }
        for folder in ["STATE_DIRECTORY", "CACHE_DIRECTORY"] {
            command = command.replace(&format!("${{{folder}}}"), "folder");
        }
        let (_, arguments) = command.split_once(' ').unwrap();
        room.takes(arguments.trim_end_matches("$WINDROW_FLAGS"));
    }
}
