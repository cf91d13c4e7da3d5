//! `cluster down`, on all machines of a cluster; and how its hosts are, for `cluster status`.

use super::state::{OverHosts, Remembered, State};
use super::up::{PATIENCE, because, is_alive};
use super::{Failed, print, tell};
use crate::cluster;
use crate::hosts::{self, Host, Remote, Ssh};
use std::time::{Duration, Instant};
use windrow_protocol::client::Client;

/// A host, and the port of its `ssh`.
type Name = (String, Option<u16>);

/// Ends the cluster that a folder remembers; it does no harm if there is none.
pub(super) fn down(state: &State, ssh: Option<&str>, with_binaries: bool) -> Result<(), Failed> {
    match state.find()? {
        Some(cluster) => end(cluster, state, ssh, with_binaries),
        None => {
            let folder = state.folder();
            tell(&format!(
                "windrow: cluster: {} remembers none: nothing to end\n",
                folder.display()
            ));
            Ok(())
        }
    }
}

/// Ends a cluster. If a host fails, what is left there stays remembered, so that it can be tried again.
pub(super) fn end(
    mut cluster: Remembered,
    state: &State,
    ssh: Option<&str>,
    with_binaries: bool,
) -> Result<(), Failed> {
    let is_told = tell_to_end(&cluster).is_ok();
    let all = || cluster.workers.iter().chain([&cluster.coordinator]);
    let started = Instant::now();
    while is_told && all().any(|&pid| is_alive(pid)) && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    for &pid in all() {
        if is_alive(pid) {
            // SAFETY: a signal to a process; it may have ended meanwhile, which is no harm.
            unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
        }
    }
    let Some(over) = &mut cluster.over else { return state.forget() };
    let ssh = Ssh::of(Some(ssh.unwrap_or(&over.ssh)));
    let of = std::mem::take(&mut over.hosts);
    let (left, text) = end_hosts(&ssh, &over.folder, of, is_told, with_binaries)?;
    if left.is_empty() {
        return state.forget();
    }
    over.hosts = left;
    cluster.workers.clear();
    state.write(&cluster)?;
    let text = text.trim_end();
    Err(because(format!(
        "all has ended but for what is below; `cluster down` again, once that is reached, ends it\n{text}"
    )))
}

/// Tells a coordinator to end, and all its workers.
fn tell_to_end(cluster: &Remembered) -> Result<(), Failed> {
    let credentials = cluster.credentials()?;
    cluster::runtime()?.block_on(async {
        let client = Client::connect(&cluster.address, credentials).await.map_err(because)?;
        client.shut_down().await.map_err(because)
    })
}

/// A host of which only the name counts.
fn named((name, ssh_port): &Name) -> Host {
    let (name, ssh_port) = (name.clone(), *ssh_port);
    Host { name, slots: None, memory: None, port: 0, ssh_port }
}

/// Ends the workers of hosts, and removes what is there of the cluster. The hosts that failed, and why, a line each.
pub(super) fn end_hosts(
    ssh: &Ssh,
    folder: &str,
    of: Vec<Name>,
    is_told: bool,
    with_binaries: bool,
) -> Result<(Vec<Name>, String), Failed> {
    let ended = cluster::runtime()?.block_on(hosts::each(of, |name| async move {
        let host = named(&name);
        let ended = Remote { ssh, host: &host, folder }.end(is_told, with_binaries).await;
        ended.err().map(|error| (name, error))
    }));
    let (mut left, mut text) = (Vec::new(), String::new());
    for (name, error) in ended.into_iter().flatten() {
        left.push(name);
        text.push_str(&format!("  {error}\n"));
    }
    Ok((left, text))
}

/// How the workers of hosts are; nothing for a cluster of this machine alone.
pub(super) fn show_hosts(cluster: &Remembered, ssh: Option<&str>) -> Result<(), Failed> {
    let Some(OverHosts { folder, hosts, ssh: before, .. }) = &cluster.over else { return Ok(()) };
    let ssh = Ssh::of(Some(ssh.unwrap_or(before)));
    let ssh = &ssh;
    let lines = cluster::runtime()?.block_on(hosts::each(hosts, |name| async move {
        let host = named(name);
        match (Remote { ssh, host: &host, folder }).life().await {
            Ok(life) if life.is_alive => format!("host {}: its worker runs\n", host.name),
            Ok(life) => format!("host {}: its worker has ended: {}\n", host.name, life.log),
            Err(error) => format!("{error}\n"),
        }
    }));
    print(&lines.concat())
}
