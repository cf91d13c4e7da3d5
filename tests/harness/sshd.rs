//! Hosts that are reached over ssh: servers on this machine, with keys and homes of their own.

use super::Room;
use super::processes::free_port;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where Debian has it; it wants to be started by its whole path.
const SSHD: &str = "/usr/sbin/sshd";

/// Servers of ssh, one a host, which end when this is dropped.
pub struct Hosts {
    servers: Vec<Child>,
    /// The folder with all of it.
    folder: PathBuf,
}

fn keygen(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status()
        .expect("ssh-keygen can be started");
    assert!(made.success(), "{}: no key", path.display());
}

impl Hosts {
    /// Hosts of these names. Besides, there are `stranger`, whose key is not that of any, and `nowhere`, where nobody listens. `None`,
    /// and a line that says so, where there is no server of ssh.
    pub fn start(room: &Room, names: &[&str]) -> Option<Hosts> {
        if !Path::new(SSHD).exists() {
            eprintln!("skipped: there is no {SSHD} (openssh-server)");
            return None;
        }
        if super::is_root() {
            // Root's server wants it; that of others does without.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let folder = room.path("ssh");
        fs::create_dir_all(&folder).unwrap();
        for key in ["client", "other", "host"] {
            keygen(&folder.join(key));
        }
        fs::copy(folder.join("client.pub"), folder.join("authorized_keys")).unwrap();
        let mut hosts = Hosts { servers: Vec::new(), folder };
        for name in names {
            hosts.serve(name);
        }
        Some(hosts)
    }

    /// Starts the server of a host, and tells the client of it.
    fn serve(&mut self, name: &str) {
        let folder = &self.folder;
        let shown = folder.display();
        let home = folder.join(name);
        fs::create_dir_all(home.join("tmp")).unwrap();
        let port = free_port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized_keys\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n\
             SetEnv HOME={home} TMPDIR={home}/tmp XDG_CACHE_HOME={home}/cache\n",
            home = home.display()
        );
        let file = folder.join(format!("sshd-{name}"));
        fs::write(&file, config).unwrap();
        let log = fs::File::create(folder.join(format!("sshd-{name}.log"))).unwrap();
        let mut server = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.try_wait().unwrap();
            let log = fs::read_to_string(folder.join(format!("sshd-{name}.log")));
            assert!(ended.is_none(), "the server of {name} has ended: {log:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.servers.push(server);
        let host = format!("Host {name}\n  HostName 127.0.0.1\n  Port {port}\n");
        let stranger = format!(
            "Host stranger\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {shown}/other\n"
        );
        let nowhere = format!("Host nowhere\n  HostName 127.0.0.1\n  Port {}\n", free_port());
        let all = format!(
            "Host *\n  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n\
             Host * !stranger\n  IdentityFile {shown}/client\n"
        );
        let known = fs::read_to_string(folder.join("config")).unwrap_or(stranger + &nowhere + &all);
        let config = folder.join("config");
        fs::write(&config, host + &known).unwrap();
        fs::set_permissions(config, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The command that reaches them.
    pub fn command(&self) -> String {
        format!("ssh -F {}/config", self.folder.display())
    }

    /// The home of a host.
    pub fn home(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The processes of workers that run from a host's home, and those that they have started.
    pub fn processes(&self, name: &str) -> Vec<u32> {
        let home = self.home(name);
        let runs = |pid: &u32| {
            let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            exe.starts_with(&home)
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(runs).collect()
    }

    /// The files below a host's home, without its binary.
    pub fn files(&self, name: &str) -> Vec<PathBuf> {
        let (mut found, mut folders) = (Vec::new(), vec![self.home(name)]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => found.push(entry.path()),
                }
            }
        }
        found.retain(|path| !path.components().any(|part| part.as_os_str() == "binaries"));
        found
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // It may have ended, which is all that is wanted.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
