//! The manifests of `deploy/kubernetes`: the commands in them are commands of the binary. `.ci/run manifests` checks them against
//! the schemas of Kubernetes, and that the chart of `deploy/helm` gives the same.

mod harness;

use std::path::Path;

/// The lists `args` of a manifest.
fn commands(manifest: &str) -> Vec<Vec<&str>> {
    let mut found: Vec<Vec<&str>> = Vec::new();
    let mut within = false;
    for line in manifest.lines().map(str::trim) {
        match line.strip_prefix("- ") {
            Some(argument) if within => found.last_mut().unwrap().push(argument),
            _ => within = line == "args:",
        }
        if within && line == "args:" {
            found.push(Vec::new());
        }
    }
    found
}

#[test]
fn the_commands_are_those_of_the_binary() {
    let room = room!();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes");
    let mut found = Vec::new();
    for name in ["coordinator.yaml", "workers.yaml", "job.yaml"] {
        let manifest = std::fs::read_to_string(folder.join(name)).unwrap();
        for command in commands(&manifest) {
            found.push(command[0].to_owned());
            let command = command.join(" ").replace("$(THREADS)", "4").replace("$(MEMORY)", "8192");
            room.takes(&command);
        }
    }
    assert_eq!(found, ["coordinator", "worker", "run"]);
}

#[test]
fn the_number_of_pods_follows_the_work() {
    let room = room!();
    let kubectl = room.write("bin/kubectl", "#!/bin/sh\necho \"$@\"\n");
    std::fs::set_permissions(&kubectl, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let path = format!("{}:/usr/bin:/bin", room.path("bin").display());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes/scale.sh");
    let scale = || room.program(&script, "").env("PATH", &path).env("WINDROW_WORKERS_WANTED", "7");
    let told = scale().ok();
    assert_eq!(told.stdout(), "scale deployment windrow-worker --replicas 7\n");
    let told = scale().env("WINDROW_DEPLOYMENT", "others").ok();
    assert_eq!(told.stdout(), "scale deployment others --replicas 7\n");
    // That is what the workers' manifest has.
    let manifest = script.with_file_name("workers.yaml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    assert!(
        manifest.contains("kind: Deployment\nmetadata:\n  name: windrow-worker\n"),
        "{manifest}"
    );
}
