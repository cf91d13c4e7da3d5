//! Links between real processes are cut or stand still in the midst of a job, which ends with the same bytes as if nothing had.

mod harness;

use harness::link::{Link, State};
use harness::processes::{children, free_port};
use harness::{Room, Running};
use std::net::TcpStream;
use std::time::Duration;

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(240);

/// Records of 100 bytes that make three map tasks.
const RECORDS: u64 = 1_400_000;

/// A coordinator with short leases and three workers of one thread, which stand for three hosts: their blocks go over links.
struct Cluster<'r> {
    room: &'r Room,
    address: String,
    /// By worker: to the coordinator, and to its blocks.
    control: Vec<Link>,
    data: Vec<Link>,
    workers: Vec<Running<'r>>,
    _coordinator: Running<'r>,
}

impl<'r> Cluster<'r> {
    fn start(room: &'r Room) -> Cluster<'r> {
        room.windrow(&format!("generate tera --records {RECORDS} --output in"))
            .timeout(PATIENCE)
            .ok();
        room.windrow("run terasort --input in --output quiet").timeout(PATIENCE).ok();
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let listen = format!("coordinator --listen {address} --lease-ms 2000");
        let mut coordinator = room.windrow(&listen).timeout(PATIENCE).start();
        coordinator.until("it listens", || TcpStream::connect(&address).is_ok());
        let (mut control, mut data, mut workers) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..3 {
            let blocks = free_port();
            control.push(Link::to(port));
            data.push(Link::to(blocks));
            let (to, told) = (control[number].address(), data[number].address());
            let worker = format!(
                "worker --coordinator {to} --threads 1 --host host-{number} --listen 127.0.0.1:{blocks} --advertise {told}"
            );
            workers.push(room.windrow(&worker).timeout(PATIENCE).start());
        }
        Cluster { room, address, control, data, workers, _coordinator: coordinator }
    }

    /// A job that has an executor on each worker.
    fn sort(&self, output: &str) -> Running<'r> {
        let command =
            format!("run terasort --input in --output {output} --cluster {} --json", self.address);
        let mut run = self.room.windrow(&command).timeout(PATIENCE).start();
        let busy = |worker: &Running<'_>| !children(worker.id()).is_empty();
        run.until("all workers have an executor", || self.workers.iter().all(busy));
        run
    }

    fn ends_well(&self, run: Running<'_>, output: &str) {
        let done = run.wait();
        assert_eq!(done.code(), Some(0), "{}", done.report);
        self.room.same_output("quiet", output);
    }
}

/// It reaches the coordinator and the others, and nobody reaches its blocks, for good.
#[test]
fn a_worker_whose_blocks_nobody_can_read() {
    let room = room!();
    let cluster = Cluster::start(&room);
    for state in [State::Cut, State::Silent] {
        let output = format!("{state:?}");
        let run = cluster.sort(&output);
        cluster.data[0].turn(state);
        cluster.ends_well(run, &output);
        assert!(cluster.data[0].broken() > 0, "{state:?}: nobody has seen it");
        cluster.data[0].turn(State::Open);
    }
}

/// It goes on working and serving blocks, and the coordinator does not hear it; later it does again.
#[test]
fn a_worker_that_does_not_reach_the_coordinator() {
    let room = room!();
    let cluster = Cluster::start(&room);
    for state in [State::Cut, State::Silent] {
        let output = format!("{state:?}");
        let run = cluster.sort(&output);
        cluster.control[0].turn(state);
        cluster.ends_well(run, &output);
        assert!(cluster.control[0].broken() > 0, "{state:?}: nobody has seen it");
        cluster.control[0].turn(State::Open);
        // It comes back as another one, and works.
        let run = cluster.sort(&format!("after-{output}"));
        cluster.ends_well(run, &format!("after-{output}"));
    }
}
