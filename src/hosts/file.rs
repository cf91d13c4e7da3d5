//! The file of hosts: one a line, and what its worker may have.

use crate::command::quantity;
use std::path::{Path, PathBuf};

/// A machine, and what its worker may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// What `ssh` is told: `[user@]host`, or a name of its own configuration.
    pub(crate) name: String,
    /// Tasks at once; as many as the machine has threads, if it is not said.
    pub(crate) slots: Option<u16>,
    /// Memory, in bytes.
    pub(crate) memory: Option<u64>,
    /// Where the worker listens; any port, if it is not said.
    pub(crate) port: u16,
    /// The port of `ssh`, if it is not that of its configuration.
    pub(crate) ssh_port: Option<u16>,
}

/// Why a file of hosts cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostsFileError {
    /// It cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error("{}:{line}: {why}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// There is nobody.
    #[error("{}: it names no host; write one a line, as in `ada@10.0.0.2 slots=8`", .0.display())]
    Empty(PathBuf),
}

/// Reads a file of hosts.
///
/// # Errors
/// [`HostsFileError`].
pub(crate) fn read(path: &Path) -> Result<Vec<Host>, HostsFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| HostsFileError::Read { path: path.to_path_buf(), source })?;
    let mut hosts: Vec<(usize, Host)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let number = number + 1;
        let wrong = |why| HostsFileError::Line { path: path.to_path_buf(), line: number, why };
        let Some(host) = host(line).map_err(wrong)? else { continue };
        if let Some((before, _)) = hosts.iter().find(|(_, its)| its.name == host.name) {
            return Err(wrong(format!(
                "{} is in line {before} already; slots=N says how many tasks it does at once",
                host.name
            )));
        }
        hosts.push((number, host));
    }
    match hosts.is_empty() {
        true => Err(HostsFileError::Empty(path.to_path_buf())),
        false => Ok(hosts.into_iter().map(|(_, host)| host).collect()),
    }
}

/// The host of a line; none if nothing is in it.
fn host(line: &str) -> Result<Option<Host>, String> {
    let mut words = line.split_whitespace();
    let Some(name) = words.next() else { return Ok(None) };
    let is_plain = |c: char| c.is_alphanumeric() || "@._-:[]%+".contains(c);
    if name.starts_with('-') || name.starts_with('@') || !name.chars().all(is_plain) {
        return Err(format!("`{name}` is no host; write [user@]host before all else"));
    }
    let name = name.to_owned();
    let mut host = Host { name, slots: None, memory: None, port: 0, ssh_port: None };
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            return Err(format!("`{word}` says nothing; behind a host there may be {SETTINGS}"));
        };
        let number = |least: u16| {
            let number = value.parse().ok().filter(|number| *number >= least);
            number.ok_or_else(|| {
                format!("{key}: `{value}` is no whole number from {least} to {}", u16::MAX)
            })
        };
        match key {
            "slots" => host.slots = Some(number(1)?),
            "memory" => {
                let memory = quantity::bytes(value).map_err(|why| format!("memory: {why}"))?;
                host.memory = Some(memory);
            }
            "port" => host.port = number(1)?,
            "ssh-port" => host.ssh_port = Some(number(1)?),
            _ => return Err(format!("there is no `{key}`; there may be {SETTINGS}")),
        }
    }
    Ok(Some(host))
}

/// What may be said of a host.
const SETTINGS: &str = "slots=N, memory=SIZE, port=N and ssh-port=N";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Host>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn hosts_are_read_a_line_each() {
        let hosts = of(
            "# ours\n\none\nada@10.0.0.2  slots=8 memory=2GiB # big\n[::1] port=7078 ssh-port=2222\n",
        );
        let host = |name: &str| Host {
            name: name.to_owned(),
            slots: None,
            memory: None,
            port: 0,
            ssh_port: None,
        };
        let two = Host { slots: Some(8), memory: Some(2 << 30), ..host("ada@10.0.0.2") };
        let three = Host { port: 7078, ssh_port: Some(2222), ..host("[::1]") };
        assert_eq!(hosts, Ok(vec![host("one"), two, three]));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        for (text, says) in [
            ("", "names no host"),
            ("# one\n", "names no host"),
            ("one\none slots=2\n", "hosts:2: one is in line 1 already"),
            ("one\n-oProxyCommand=x\n", "hosts:2: `-oProxyCommand=x` is no host"),
            ("one;two\n", "is no host"),
            ("one slots\n", "`slots` says nothing"),
            ("one slots=0\n", "slots: `0` is no whole number from 1"),
            ("one slots=many\n", "from 1 to 65535"),
            ("one memory=much\n", "4GiB"),
            ("one port=70000\n", "port: `70000`"),
            ("one cores=4\n", "there is no `cores`; there may be slots=N"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
