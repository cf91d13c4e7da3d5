//! Many small jobs of several clients on one cluster, with faults: what processes have must not grow.

use super::client::Client;
use super::cluster::Cluster;
use super::faults::Kind;
use super::flags::Day;
use super::jobs::Inputs;
use super::random::Random;
use super::{AnyError, Chaos};
use std::fs;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Inputs are so many times smaller than those of single runs.
const SMALLER: u64 = 100;

/// So many times the processes are looked at.
const LOOKS: u64 = 8;

/// Runs the jobs, and prints a line of a Markdown table each time that an eighth of them is
/// done. Returns how many failed.
///
/// # Errors
/// If the cluster cannot be made, or does not end in good order.
pub fn run_day(chaos: &Chaos, day: Day) -> Result<u64, AnyError> {
    let Day { jobs, clients, fault_ms } = day;
    fs::create_dir_all(&chaos.scratch)?;
    let inputs = Inputs::make(chaos, SMALLER)?;
    let kinds = Kind::named(&chaos.only);
    let folder = chaos.scratch.join(format!("day-{}", chaos.seed));
    let _ = fs::remove_dir_all(&folder);
    let mut random = Random::of(chaos.seed);
    let mut cluster = Cluster::start(chaos, &mut random, folder.clone())?;
    let begun = Instant::now();
    let (mut running, mut failed): (Vec<Client<'_>>, u64) = (Vec::new(), 0);
    let (mut submitted, mut done, mut faults) = (0, 0, 0);
    let mut next_fault = begun;
    println!("| jobs | seconds | faults | process | memory, KiB | files and sockets | threads |");
    println!("|--:|--:|--:|---|--:|--:|--:|");
    while done < jobs {
        while running.len() < clients && submitted < jobs {
            let job = inputs.draw(&mut random);
            let output = folder.join(format!("output-{submitted}"));
            running.push(cluster.submit(job, output)?);
            submitted += 1;
        }
        let mut at = 0;
        while at < running.len() {
            let ended = running[at].ended();
            if matches!(ended, Ok(None)) {
                at += 1;
                continue;
            }
            let client = running.swap_remove(at);
            let ended = ended.and_then(|status| status.map_or(Ok(()), |of| looked_at(&client, of)));
            if let Err(error) = ended {
                println!("{}: {error}", client.output.display());
                failed += 1;
            }
            let _ = fs::remove_dir_all(&client.output);
            done += 1;
            if done.is_multiple_of((jobs / LOOKS).max(1)) {
                cluster.look(&format!("| {done} | {} | {faults} |", begun.elapsed().as_secs()));
            }
        }
        if fault_ms > 0 && next_fault <= Instant::now() {
            let kind = *random.one(&kinds);
            // A coordinator that is started again has nothing that could have grown, and full disks fail jobs.
            let is_left_out = matches!(kind, Kind::KillCoordinator | Kind::FillDisk);
            faults += u64::from(!is_left_out && cluster.break_it(kind, &mut random)?);
            next_fault = Instant::now() + Duration::from_millis(random.below(2 * fault_ms) as u64);
        }
        cluster.mend()?;
        std::thread::sleep(Duration::from_millis(5));
    }
    cluster.end()?;
    let left = cluster.leftovers(&folder.join("output"))?;
    if !left.is_empty() {
        return Err(format!("it left {left:?}").into());
    }
    Ok(failed)
}

/// What is wrong with a job that ended like this.
fn looked_at(client: &Client<'_>, status: ExitStatus) -> Result<(), AnyError> {
    if !status.success() {
        return Err(format!("{}: {status}", client.job.name).into());
    }
    client.job.compare(&client.output)
}
