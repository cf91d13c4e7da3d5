//! `cluster up --hosts`: the coordinator here, and a worker on each host of a file, over ssh.
//!
//! What is started anywhere is written down before, so that `cluster down` finds it whatever happens. If a host fails, all that was
//! started is ended again, unless it may be missing.

use super::advertised::{Advertised, advertised};
use super::state::{OverHosts, Remembered, State};
use super::up::{CoordinatorFlags, Started, because, page_of, prepare, start_coordinator};
use super::{Failed, down, tell};
use crate::cluster;
use crate::hosts::{self, Found, Host, HostError, Launch, Remote, Ssh};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use windrow_protocol::client::Client;
use windrow_protocol::link::draw_token;
use windrow_protocol::security::{ClusterFolders, Credentials};

/// How long workers may take from their start until they are ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// So often it is looked whether those still run that have not come.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The flags of `up` for clusters over hosts.
#[derive(Args, Debug)]
#[command(next_help_heading = "Over hosts")]
pub(super) struct HostsFlags {
    /// The file with other machines, one a line, on each of which a worker is started over ssh: `[user@]host [slots=N]
    /// [memory=SIZE] [port=N] [ssh-port=N]`
    #[arg(long, value_name = "FILE", conflicts_with = "workers")]
    pub(super) hosts: Option<PathBuf>,
    /// The folder that `cluster init` has made, or is to make [default: `security` in the folder of --state]
    #[arg(id = "security_of_cluster", long = "security", value_name = "DIR", requires = "hosts")]
    security: Option<PathBuf>,
    /// The address of the coordinator that hosts are told, where it is not that of --listen
    #[arg(long, value_name = "HOST[:PORT]", requires = "hosts", value_parser = advertised)]
    advertise: Option<Advertised>,
    /// Go on without those hosts that fail, as long as there is one that does not
    #[arg(long, requires = "hosts")]
    allow_missing: bool,
    #[command(flatten)]
    pub(super) ssh: SshFlag,
}

// How hosts are talked to.
#[derive(Args, Clone, Debug)]
pub(super) struct SshFlag {
    /// The command for ssh, with its first arguments, as in `ssh -F /etc/ssh/of-cluster` [default: ssh]
    #[arg(long, value_name = "COMMAND", env = "WINDROW_SSH", hide_env_values = true)]
    pub(super) ssh: Option<String>,
}

/// What all workers and the coordinator are started with.
pub(super) struct UpHosts {
    pub(super) flags: HostsFlags,
    pub(super) threads: Option<u16>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) http: SocketAddr,
    pub(super) queues: Option<PathBuf>,
    pub(super) lease_ms: u64,
    pub(super) memory: u64,
    pub(super) scratch: Vec<PathBuf>,
}

/// Hosts, and what they are like.
type Looks<'h> = Vec<(&'h Host, Found)>;

/// Hosts that failed, and those that are left.
struct Left<'h> {
    hosts: Vec<&'h Host>,
    failed: Vec<String>,
}

impl<'h> Left<'h> {
    /// Those of which nothing bad came.
    fn of<T>(of: Vec<(&'h Host, Result<T, HostError>)>) -> (Left<'h>, Vec<T>) {
        let (mut left, mut good) = (Left { hosts: Vec::new(), failed: Vec::new() }, Vec::new());
        for (host, result) in of {
            match result {
                Ok(value) => {
                    left.hosts.push(host);
                    good.push(value);
                }
                Err(error) => left.failed.push(error.to_string()),
            }
        }
        (left, good)
    }
}

impl UpHosts {
    /// Starts what is not there, and prints the coordinator's address.
    pub(super) fn run(&self, file: &Path, state: &State) -> Result<(), Failed> {
        let listed = hosts::read(file).map_err(because)?;
        let before = prepare(state)?;
        if before.as_ref().is_some_and(|there| there.over.is_none()) {
            return Err(because(format!(
                "{} remembers a cluster of this machine alone: `cluster down` ends it",
                state.folder().display()
            )));
        }
        let over = before.as_ref().and_then(|there| there.over.clone());
        let ssh = Ssh::of(self.flags.ssh.ssh.as_deref());
        let security = self.security(over.as_ref(), state)?;
        let (sha256, binary) =
            hosts::own_binary().map_err(|error| because(format!("this binary: {error}")))?;
        let folder = over.as_ref().map_or_else(new_name, |over| over.folder.clone());
        let part = Part { ssh: &ssh, folder: &folder };
        let (there_now, found) = self.reached(&listed, part, &sha256, binary)?;

        let listens = match &over {
            Some(over) => over.listens.clone(),
            None => self.listens(&found)?,
        };
        let folders = ClusterFolders::of(&security);
        let http = page_of(before.as_ref(), self.http);
        let flags = CoordinatorFlags {
            listen: &listens,
            http: &http,
            queues: self.queues.as_deref(),
            lease_ms: self.lease_ms,
            security: Some(&folders.coordinator),
        };
        let Started { process, address: listens, http } = start_coordinator(state, &flags)?;
        let address = match &before {
            Some(before) => before.address.clone(),
            None => self.told(&listens, &found),
        };
        let mut there: BTreeMap<String, Option<u16>> =
            over.map(|over| over.hosts.into_iter().collect()).unwrap_or_default();
        there.extend(there_now.iter().map(|host| (host.name.clone(), host.ssh_port)));
        let mut remembered = Remembered {
            address: address.clone(),
            http,
            coordinator: process,
            workers: Vec::new(),
            over: Some(OverHosts {
                folder: folder.clone(),
                listens,
                security,
                ssh: ssh.command(),
                hosts: there.into_iter().collect(),
            }),
        };
        state.write(&remembered)?;
        let started = self.start_workers(&there_now, &remembered, &sha256, &ssh);
        let wrong = match &started {
            Err(Failed::Because(why)) => Some(why.clone()),
            Ok(failed) if failed.len() == there_now.len() => Some(failed_text(failed.values())),
            Ok(failed) if failed.is_empty() || self.flags.allow_missing => None,
            Ok(failed) => Some(failed_text(failed.values())),
            Err(_) => Some("it was given up".to_owned()),
        };
        if let Some(why) = wrong {
            return Err(match before {
                None => undone(why, remembered, state),
                // Its jobs are not to go because of one host.
                Some(_) => because(format!(
                    "{why}\nthe others go on; `cluster down` ends them, and their jobs"
                )),
            });
        }
        let failed = started?;
        // Nothing is to be left where nothing works, nor on hosts that are in the file no more.
        let gone =
            |name: &str| failed.contains_key(name) || listed.iter().all(|its| its.name != name);
        if let Some(over) = &mut remembered.over {
            let (gone, stay) = over.hosts.clone().into_iter().partition(|(name, _)| gone(name));
            let (not_ended, text) = down::end_hosts(&ssh, &folder, gone, false, false)?;
            over.hosts = stay;
            over.hosts.extend(not_ended);
            tell(&text);
        }
        state.write(&remembered)?;
        for why in failed.values() {
            tell(&format!("windrow: cluster: it goes on without one: {why}\n"));
        }
        tell(&format!("clients show `--security {}`\n", folders.admin.display()));
        super::print(&format!("{address}\n"))
    }

    /// The hosts that have the binary, which is sent to those that lack it, and what all are like that could be looked at.
    fn reached<'h>(
        &self,
        listed: &'h [Host],
        part: Part<'_>,
        sha256: &str,
        binary: &Path,
    ) -> Result<(Vec<&'h Host>, Looks<'h>), Failed> {
        let runtime = cluster::runtime()?;
        let looked = runtime.block_on(hosts::each(listed, |host| async move {
            let found = part.on(host).look(sha256).await;
            (host, found.and_then(|found| of_this_kind(host, found)))
        }));
        let (left, found) = Left::of(looked);
        self.go_on(&left)?;
        let found: Looks<'_> = left.hosts.into_iter().zip(found).collect();
        let sent = runtime.block_on(hosts::each(&found, |(host, found)| async move {
            match found.has_binary {
                true => (*host, Ok(())),
                false => (*host, part.on(host).send_binary(sha256, binary).await),
            }
        }));
        let (left, _) = Left::of(sent);
        self.go_on(&left)?;
        Ok((left.hosts, found))
    }

    /// Says of hosts that failed; an error unless they may.
    fn go_on(&self, left: &Left<'_>) -> Result<(), Failed> {
        if left.failed.is_empty() {
            return Ok(());
        }
        if left.hosts.is_empty() || !self.flags.allow_missing {
            return Err(because(failed_text(&left.failed)));
        }
        for why in &left.failed {
            tell(&format!("windrow: cluster: it goes on without one: {why}\n"));
        }
        Ok(())
    }

    /// The folder that secures the cluster, which is made if it is not there.
    fn security(&self, over: Option<&OverHosts>, state: &State) -> Result<PathBuf, Failed> {
        let folder = match (&self.flags.security, over) {
            (Some(folder), _) => folder.clone(),
            (None, Some(over)) => over.security.clone(),
            (None, None) => state.folder().join("security"),
        };
        if !folder.exists() {
            ClusterFolders::make(&folder).map_err(because)?;
        }
        // `down` may be called from another folder.
        fs::canonicalize(&folder).map_err(|error| because(format!("{}: {error}", folder.display())))
    }

    /// Where the coordinator is to listen: if nobody says so, at the address at which the hosts see this machine.
    fn listens(&self, found: &[(&Host, Found)]) -> Result<String, Failed> {
        if let Some(listen) = self.listen {
            if listen.ip().is_loopback() && self.flags.advertise.is_none() {
                let away = found.iter().find(|(_, found)| !is_loopback(&found.own_address));
                if let Some((host, _)) = away {
                    return Err(because(format!(
                        "--listen {listen} cannot be reached from host {}: name an address of this machine that can",
                        host.name
                    )));
                }
            }
            return Ok(listen.to_string());
        }
        let addresses: BTreeSet<&str> =
            found.iter().map(|(_, found)| &*found.own_address).collect();
        let addresses: Vec<&str> = addresses.into_iter().collect();
        match &addresses[..] {
            [one] if one.parse::<IpAddr>().is_ok() => Ok(socket(one, 0)),
            _ => {
                let seen: Vec<String> = found
                    .iter()
                    .map(|(host, found)| format!("{} at {}", host.name, found.own_address))
                    .collect();
                Err(because(format!(
                    "at which address hosts reach this machine is not clear ({}): say so with --listen ADDR:PORT",
                    seen.join(", ")
                )))
            }
        }
    }

    /// The address that hosts and clients are told of a coordinator that listens there.
    fn told(&self, listens: &str, found: &[(&Host, Found)]) -> String {
        let Ok(listens) = listens.parse::<SocketAddr>() else { return listens.to_owned() };
        match (&self.flags.advertise, found.first()) {
            (Some(Advertised { host, port }), _) => {
                format!("{host}:{}", port.unwrap_or(listens.port()))
            }
            (None, Some((_, found))) if listens.ip().is_unspecified() => {
                socket(&found.own_address, listens.port())
            }
            _ => listens.to_string(),
        }
    }

    /// Starts the workers, and waits until they are ready. What failed, by host.
    fn start_workers(
        &self,
        hosts: &[&Host],
        cluster: &Remembered,
        sha256: &str,
        ssh: &Ssh,
    ) -> Result<BTreeMap<String, String>, Failed> {
        let Some(over) = &cluster.over else { return Ok(BTreeMap::new()) };
        let worker = ClusterFolders::of(&over.security).worker;
        let read = |name: &str| {
            let path = worker.join(name);
            let told = |error| because(format!("{}: {error}", path.display()));
            fs::read_to_string(&path).map_err(told)
        };
        let scratch = self.scratch.iter().map(|folder| folder.display().to_string());
        let launch = Launch {
            sha256: sha256.to_owned(),
            coordinator: cluster.address.clone(),
            listen_ip: of_workers(&cluster.address).to_owned(),
            threads: self.threads,
            memory: self.memory,
            scratch: scratch.collect(),
            certificate: read("ca.pem")?,
            token: read("token")?,
        };
        let part = Part { ssh, folder: &over.folder };
        let credentials = cluster.credentials()?;
        cluster::runtime()?.block_on(async {
            let launch = &launch;
            let started = hosts::each(hosts.iter().copied(), |host| async move {
                (host, part.on(host).start_worker(launch).await)
            });
            let mut failed = BTreeMap::new();
            let mut waited = Vec::new();
            for (host, result) in started.await {
                match result {
                    Ok(()) => waited.push(host),
                    Err(error) => drop(failed.insert(host.name.clone(), error.to_string())),
                }
            }
            if failed.is_empty() || self.flags.allow_missing {
                let ready = until_ready(&cluster.address, credentials, waited, part).await;
                failed.extend(ready?);
            }
            Ok(failed)
        })
    }
}

/// Waits until the workers of these hosts are ready. Those that are not, and why.
async fn until_ready(
    address: &str,
    credentials: Credentials,
    hosts: Vec<&Host>,
    part: Part<'_>,
) -> Result<BTreeMap<String, String>, Failed> {
    let client = Client::connect(address, credentials).await.map_err(because)?;
    let (begun, mut looked) = (Instant::now(), Instant::now());
    let (mut open, mut failed) = (hosts, BTreeMap::new());
    loop {
        let workers = client.workers().await.map_err(because)?;
        let is_ready = |host: &Host| {
            workers.iter().any(|worker| worker.state == "ready" && worker.host == host.name)
        };
        open.retain(|host| !is_ready(host));
        let is_over = begun.elapsed() > PATIENCE;
        if is_over || looked.elapsed() > LOOK_EVERY {
            let lives = hosts::each(open.iter().copied(), |host| async move {
                (host, part.on(host).life().await)
            });
            for (host, life) in lives.await {
                let why = match life {
                    Ok(life) if life.is_alive && !is_over => continue,
                    Ok(life) if life.is_alive => format!(
                        "host {}: its worker runs, and has not come to the coordinator at {address} ({}): see to firewalls, and to --listen",
                        host.name, life.log
                    ),
                    Ok(life) => format!("host {}: its worker has ended: {}", host.name, life.log),
                    Err(error) => error.to_string(),
                };
                failed.insert(host.name.clone(), why);
            }
            open.retain(|host| !failed.contains_key(&host.name));
            looked = Instant::now();
        }
        if open.is_empty() {
            return Ok(failed);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A cluster's part on hosts.
#[derive(Clone, Copy)]
struct Part<'p> {
    ssh: &'p Ssh,
    folder: &'p str,
}

impl<'p> Part<'p> {
    fn on(self, host: &'p Host) -> Remote<'p> {
        Remote { ssh: self.ssh, host, folder: self.folder }
    }
}

/// A name for the folder of a new cluster on its hosts.
fn new_name() -> String {
    format!("{:016x}", draw_token() as u64)
}

/// A host has to be of the kind that this binary is for.
fn of_this_kind(host: &Host, found: Found) -> Result<Found, HostError> {
    let own = format!("Linux {}", std::env::consts::ARCH);
    match found.machine == own {
        true => Ok(found),
        false => Err(HostError::OtherKind { host: host.name.clone(), kind: found.machine, own }),
    }
}

fn is_loopback(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An address with a port.
fn socket(address: &str, port: u16) -> String {
    address
        .parse::<IpAddr>()
        .map_or_else(|_| format!("{address}:{port}"), |ip| SocketAddr::new(ip, port).to_string())
}

/// Where the workers of a coordinator listen: on all addresses, unless it is reached on this machine alone.
fn of_workers(coordinator: &str) -> &'static str {
    let ip = coordinator.parse::<SocketAddr>().map(|socket| socket.ip());
    match ip {
        Ok(ip) if ip.is_loopback() && ip.is_ipv4() => "127.0.0.1",
        Ok(ip) if ip.is_loopback() => "[::1]",
        Ok(ip) if ip.is_ipv6() => "[::]",
        _ => "0.0.0.0",
    }
}

/// Hosts that failed, a line each.
fn failed_text(failed: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let lines: Vec<String> =
        failed.into_iter().map(|why| why.as_ref().trim_end().to_owned()).collect();
    let many = super::number_of(lines.len() as u64, "host");
    format!("{many} failed; --allow-missing goes on without\n  {}", lines.join("\n  "))
}

/// Ends all that was started; why `up` failed.
fn undone(why: String, cluster: Remembered, state: &State) -> Failed {
    match down::end(cluster, state, None, false) {
        Err(Failed::Because(more)) => because(format!("{why}\n{more}")),
        _ => because(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_listen_where_others_reach_them() {
        for (coordinator, listen) in [
            ("127.0.0.1:7077", "127.0.0.1"),
            ("[::1]:7077", "[::1]"),
            ("10.0.0.1:7077", "0.0.0.0"),
            ("[fd00::1]:7077", "[::]"),
            ("head:7077", "0.0.0.0"),
        ] {
            assert_eq!(of_workers(coordinator), listen, "{coordinator}");
        }
        assert_eq!(socket("fd00::1", 7), "[fd00::1]:7");
        assert_eq!(socket("10.0.0.1", 7), "10.0.0.1:7");
    }

    #[test]
    fn a_host_of_another_kind_is_refused_by_name() {
        let host =
            Host { name: "one".to_owned(), slots: None, memory: None, port: 0, ssh_port: None };
        let found = |machine: String| Found {
            own_address: "10.0.0.1".to_owned(),
            machine,
            has_binary: false,
        };
        let own = found(format!("Linux {}", std::env::consts::ARCH));
        assert!(of_this_kind(&host, own).is_ok());
        let why = of_this_kind(&host, found("Linux m68k".to_owned())).unwrap_err().to_string();
        assert!(why.contains("host one: it is of another kind (Linux m68k)"), "{why}");
    }
}
