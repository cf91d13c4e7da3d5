//! Two hosts, as far as the network goes: namespaces with addresses of their own. On each a ready worker, that knows no jobs; a crate
//! of a user's own; Parquet in an object store; mutual TLS. The steps are those of the docs, by the real binaries.

mod harness;
mod s3;

use harness::processes::listening;
use harness::{Room, Running};
use s3::S3;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(240);

/// The user's jobs: one makes records and writes them as Parquet, the other reads these.
const JOBS: &str = r#"//! Trips of taxis.

use windrow::prelude::*;

#[derive(Record, Clone, Serialize, Deserialize)]
struct Trip {
    zone: u32,
    fare: f64,
}

/// Makes trips
#[derive(Args, Serialize, Deserialize)]
struct Make {
    #[arg(long)]
    trips: u64,
    #[arg(long)]
    output: Location,
}

impl Job for Make {
    const NAME: &str = "make";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let each = self.trips / 8;
        flow.from_iter((0..8u64).collect::<Vec<u64>>())
            .flat_map(move |part| part * each..(part + 1) * each)
            .map(|at| Trip { zone: (at % 263) as u32, fare: (at % 100) as f64 / 4.0 })
            .repartition(4)
            .write_parquet(&self.output)
    }
}

/// Adds up the fares of each zone
#[derive(Args, Serialize, Deserialize)]
struct Fares {
    #[arg(long)]
    input: Location,
    #[arg(long)]
    output: Location,
}

impl Job for Fares {
    const NAME: &str = "fares";

    fn plan(&self, flow: &Flow) -> Result<()> {
        flow.read_parquet::<Trip>(&self.input)
            .map(|trip| (trip.zone, trip.fare))
            .sum_by_key()
            .sort_by_key()
            .write_text(&self.output)
    }
}

fn main() -> ExitCode {
    windrow::main(jobs![Make, Fares])
}
"#;

/// Hosts on one network, with this machine as the first: it is removed when this is dropped.
struct Hosts {
    /// What begins the names of all that is made.
    name: String,
    /// What begins all addresses.
    network: String,
}

/// Whether the script that makes hosts could do what it is told.
fn script(arguments: &str) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/hosts.sh");
    let done = Command::new(script).args(arguments.split_whitespace()).output();
    done.is_ok_and(|done| done.status.success())
}

impl Hosts {
    /// So many; `None` where they cannot be made.
    fn new(hosts: u32) -> Option<Hosts> {
        let id = std::process::id() % 200;
        let made =
            Hosts { name: format!("wr{id}"), network: format!("10.{}.{id}", 100 + id % 100) };
        if !harness::is_root() || !script(&format!("up {} {} {hosts}", made.name, made.network)) {
            eprintln!("skipped: only root can make namespaces, with `ip` of iproute2");
            return None;
        }
        Some(made)
    }

    fn address(&self, host: u32) -> String {
        format!("{}.{host}", self.network)
    }

    /// What runs a command on a host.
    fn on(&self, host: u32) -> String {
        format!("netns exec {}n{host}", self.name)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        script(&format!("down {}", self.name));
    }
}

/// The user's crate, made by `windrow new`, with jobs of its own, and built.
fn users_program(room: &Room) -> PathBuf {
    let source = env!("CARGO_MANIFEST_DIR");
    room.windrow(&format!("new my-jobs --windrow {source}")).ok();
    room.write("my-jobs/src/main.rs", JOBS);
    // The room is below a workspace that it is no part of.
    let manifest = std::fs::read_to_string(room.path("my-jobs/Cargo.toml")).unwrap();
    room.write("my-jobs/Cargo.toml", format!("{manifest}\n[workspace]\n"));
    // With what is built already of the same packages.
    let target = Path::new(env!("CARGO_BIN_EXE_windrow")).ancestors().nth(2).unwrap();
    let lock = Path::new(source).join("Cargo.lock");
    std::fs::copy(lock, room.path("my-jobs/Cargo.lock")).unwrap();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--target-dir"])
        .arg(target)
        .current_dir(room.path("my-jobs"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("debug/my-jobs")
}

/// A ready worker on a host, of the folder `security`.
fn worker<'r>(
    room: &'r Room,
    hosts: &Hosts,
    host: u32,
    coordinator: &str,
    security: &str,
    store: &S3,
) -> Running<'r> {
    let (windrow, address) = (env!("CARGO_BIN_EXE_windrow"), hosts.address(host));
    let scratch = room.path(format!("scratch-{host}-{security}").replace('/', "-"));
    let run = format!(
        "{} {windrow} worker --coordinator {coordinator} --listen {address}:7078 --host {host} --threads 1 --security {security} --scratch {}",
        hosts.on(host),
        scratch.display()
    );
    room.program(Path::new("ip"), &run).envs(store.environment()).timeout(PATIENCE).start()
}

#[test]
fn a_users_own_jobs_over_two_hosts_with_parquet_in_a_store() {
    let Some(hosts) = Hosts::new(2) else { return };
    let room = room!();
    let program = users_program(&room);
    let store = S3::start_at(&room.path("store"), &hosts.address(1));
    store.bucket("trips");

    // What is timed: all but the build.
    let begun = Instant::now();
    let mut step = {
        let mut last = begun;
        move |what: &str| {
            eprintln!("{:6.2} s  {what}", last.elapsed().as_secs_f64());
            last = Instant::now();
        }
    };
    room.windrow("cluster init secured").ok();
    step("windrow cluster init");
    let listen = format!("{}:0", hosts.address(1));
    let mut coordinator = room
        .windrow(&format!(
            "coordinator --listen {listen} --state state --security secured/coordinator"
        ))
        .timeout(PATIENCE)
        .start();
    let id = coordinator.id();
    coordinator.until("it listens", || !listening(id).is_empty());
    let port = listening(id)[0];
    let address = format!("{}:{port}", hosts.address(1));
    step("windrow coordinator");
    // A token can be used by several; each host has its own copy of the folder, which its worker writes its key to.
    for host in [2, 3] {
        let copy = format!("-r secured/worker worker-{host}");
        room.program(Path::new("cp"), &copy).ok();
    }
    let workers =
        [2, 3].map(|host| worker(&room, &hosts, host, &address, &format!("worker-{host}"), &store));
    let status = format!("cluster status --cluster {address} --security secured/admin");
    coordinator.until("both workers are there", || {
        let told = room.windrow(&status).ok();
        told.stdout().lines().filter(|line| line.contains(" ready, ")).count() == 2
    });
    step("windrow worker, twice");
    let of_user = |arguments: &str| {
        let run = format!("{arguments} --cluster {address} --security secured/admin");
        room.program(&program, &run).envs(store.environment()).timeout(PATIENCE).ok()
    };
    of_user("run make --trips 800000 --output s3://trips/all");
    step("my-jobs run make --cluster, which sends the binary");
    of_user("run fares --input s3://trips/all --output s3://trips/fares");
    step("my-jobs run fares --cluster");
    let took = begun.elapsed();
    eprintln!("{:6.2} s  in all", took.as_secs_f64());

    // The same bytes as in one process.
    let alone = |arguments: &str| {
        room.program(&program, arguments).envs(store.environment()).timeout(PATIENCE).ok()
    };
    alone("run fares --input s3://trips/all --output alone");
    let of_store: Vec<u8> = store
        .objects("trips")
        .into_iter()
        .filter(|(key, _)| key.starts_with("fares/part-"))
        .flat_map(|(_, bytes)| bytes)
        .collect();
    assert!(!of_store.is_empty() && of_store == room.bytes("alone"));

    // Who may not is refused, and logged.
    room.windrow("cluster init elsewhere").ok();
    let token =
        "cluster token new --security secured/coordinator --name gone --role join --output gone";
    let id = room.windrow(token).ok().stdout().trim().to_owned();
    room.windrow(&format!("cluster token revoke {id} --security secured/coordinator")).ok();
    for folder in ["nobody", "nonsense", "stranger", "other"] {
        room.program(Path::new("cp"), &format!("-r secured/worker {folder}")).ok();
    }
    let copy = |from: &str, to: &str| {
        std::fs::copy(room.path(from), room.path(to)).unwrap();
    };
    copy("secured/worker/ca.pem", "gone/ca.pem");
    std::fs::remove_file(room.path("nobody/token")).unwrap();
    std::fs::write(room.path("nonsense/token"), "let me in").unwrap();
    copy("elsewhere/worker/token", "stranger/token");
    // What the other cluster's authority has certified.
    std::fs::remove_file(room.path("other/token")).unwrap();
    copy("elsewhere/coordinator/ca.pem", "other/cert.pem");
    copy("elsewhere/coordinator/ca-key.pem", "other/key.pem");
    for (folder, says) in [
        // It does not get so far as to ask.
        ("nobody", "has no `token`"),
        ("nonsense", "is no token"),
        ("gone", "gone) was revoked"),
        ("stranger", "there is no token"),
        ("elsewhere/worker", "`ca.pem`"),
        ("other", "certificate"),
    ] {
        let refused = worker(&room, &hosts, 2, &address, folder, &store);
        refused.fails(1).says(&[says]);
    }
    let mut plain = TcpStream::connect(&address).unwrap();
    plain.write_all(&windrow_protocol::codec::preface()).unwrap();
    plain.write_all(b" and what a plain text worker would say").unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    // An alert, or the end.
    let _ = plain.read_to_end(&mut Vec::new());
    coordinator.signal(libc::SIGINT);
    let log = coordinator.wait().stderr().to_owned();
    for says in [
        "what it shows is no token",
        "gone) was revoked",
        "there is no token",
        "the TLS handshake failed",
        "it does not speak TLS",
    ] {
        assert!(log.contains(says), "{says}: {log}");
    }
    drop(workers);
}
