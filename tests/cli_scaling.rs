//! A coordinator starts workers when there is work, and ends them when there is none, by commands of the user's.

mod harness;

use std::net::TcpStream;
use std::time::Duration;

#[test]
fn workers_come_with_the_work_and_go_when_it_is_done() {
    let room = room!();
    for file in 0..6 {
        room.write(&format!("in/{file}.txt"), "b a b\n".repeat(1000));
    }
    let windrow = env!("CARGO_BIN_EXE_windrow");
    let up = format!(
        "#!/bin/sh\necho \"up $WINDROW_WORKERS $WINDROW_WORKERS_WANTED\" >> asked\n\
         for number in $(seq $((WINDROW_WORKERS + 1)) $WINDROW_WORKERS_WANTED); do\n\
         '{windrow}' worker --coordinator $WINDROW_COORDINATOR --threads 1 >/dev/null 2>&1 &\ndone\n"
    );
    let down = format!(
        "#!/bin/sh\necho \"down $WINDROW_WORKERS $WINDROW_WORKERS_WANTED\" >> asked\n\
         for worker in $WINDROW_WORKERS_IDLE; do\n\
         '{windrow}' cluster drain $worker --cluster $WINDROW_COORDINATOR\ndone\n"
    );
    room.write("up", up);
    room.write("down", down);
    let port = harness::processes::free_port();
    let address = format!("127.0.0.1:{port}");
    let flags = "--workers-max 3 --scale-down-after 1 --scale-pause 30";
    let mut coordinator = room
        .windrow(&format!("coordinator --listen {address} {flags}"))
        .args(["--scale-up", "sh ./up", "--scale-down", "sh ./down"])
        .timeout(Duration::from_secs(120))
        .start();
    coordinator.until("it listens", || TcpStream::connect(&address).is_ok());
    room.windrow(&format!("run wordcount --input in --output out --cluster {address}")).ok();
    let mut rows = room.rows("out");
    rows.sort();
    assert_eq!(rows, ["a\t6000", "b\t12000"]);
    coordinator.until("all workers have gone", || {
        let status = room.windrow(&format!("cluster status --cluster {address}")).ok();
        !status.stdout().lines().any(|line| line.starts_with("worker") && line.contains(" ready, "))
    });
    let asked = std::fs::read_to_string(room.path("asked")).unwrap();
    let asked: Vec<&str> = asked.lines().collect();
    assert!(asked.iter().all(|line| line.ends_with(['0', '1', '2', '3'])), "{asked:?}");
    assert!(asked[0].starts_with("up 0 ") && asked.last().unwrap().ends_with(" 0"), "{asked:?}");
    // Where it is asked for in vain, it is told.
    room.windrow("coordinator --scale-up true").fails(2).says(&["--workers-max"]);
}
