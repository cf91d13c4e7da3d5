//! `ssh`, the system's own: it never asks for anything, and what it is given comes on its standard input, since all users of a machine
//! see arguments.

use super::Host;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// How long a host may take to answer at all.
const CONNECT_S: u32 = 10;

/// Options of each call: it asks for nothing, notices if a host is gone, gives it nothing of ours, and leaves no process behind.
const OPTIONS: [&str; 8] = [
    "BatchMode=yes",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ControlMaster=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
];

/// What `ssh` exits with if it is `ssh` itself that fails.
const FAILED_ITSELF: i32 = 255;

/// What begins each line that scripts tell us by: a host may say other things when somebody logs in.
const MARK: &str = "windrow: ";

/// How hosts are talked to.
#[derive(Clone, Debug)]
pub(crate) struct Ssh {
    /// The program, and its first arguments.
    words: Vec<String>,
}

/// Why something could not be done on a host.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// There is no `ssh`.
    #[error(
        "`{command}` cannot be started: {source}; install the client of OpenSSH, or name another command by --ssh"
    )]
    NoSsh {
        /// The command.
        command: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody let us in.
    #[error(
        "host {host}: ssh could not connect: {said}; `{command} -o BatchMode=yes {host} true` has to work, without asking for anything"
    )]
    Unreachable {
        /// The host.
        host: String,
        /// The command for `ssh`.
        command: String,
        /// What it says.
        said: String,
    },
    /// It cannot run this binary.
    #[error(
        "host {host}: it is of another kind ({kind}) than this binary ({own}): start its worker with a binary of its own"
    )]
    OtherKind {
        /// The host.
        host: String,
        /// Its kind.
        kind: String,
        /// The kind of this machine.
        own: String,
    },
    /// It does not end.
    #[error("host {host}: to {what} took longer than {seconds} s; is the machine well?")]
    Slow {
        /// The host.
        host: String,
        /// What was to be done.
        what: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// It was done, and failed.
    #[error("host {host}: to {what} failed: {said}")]
    Failed {
        /// The host.
        host: String,
        /// What was to be done.
        what: &'static str,
        /// What was said about it.
        said: String,
    },
}

/// Something that is to be done on a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand<'e> {
    /// Where.
    pub(super) host: &'e Host,
    /// What, as in `start a worker`.
    pub(super) what: &'static str,
    /// How long it may take.
    pub(super) within: Duration,
}

impl Ssh {
    /// `ssh`, or another command, with arguments parted by white space.
    pub(crate) fn of(command: Option<&str>) -> Ssh {
        let words: Vec<String> =
            command.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        Ssh { words: if words.is_empty() { vec!["ssh".to_owned()] } else { words } }
    }

    /// The command, as [`of`](Ssh::of) takes it.
    pub(crate) fn command(&self) -> String {
        self.words.join(" ")
    }

    /// Has a host's `sh` run a script, which comes on its standard input. Returns the lines that are for us.
    pub(super) async fn script(
        &self,
        errand: Errand<'_>,
        script: &str,
    ) -> Result<Vec<String>, HostError> {
        let mut child = self.start(errand, "/bin/sh")?;
        let stdin = child.stdin.take();
        let give = async {
            if let Some(mut stdin) = stdin {
                // If it is not read to its end, the exit status says why.
                let _ = stdin.write_all(script.as_bytes()).await;
            }
        };
        self.ended(errand, child, give).await
    }

    /// Has a host run a command of `sh` without single quotes, with a file as its standard input.
    pub(super) async fn send(
        &self,
        errand: Errand<'_>,
        command: &str,
        file: &Path,
    ) -> Result<Vec<String>, HostError> {
        let mut from = tokio::fs::File::open(file).await.map_err(|error| {
            failed(errand, format!("{} cannot be read: {error}", file.display()))
        })?;
        let mut child = self.start(errand, &format!("/bin/sh -c '{command}'"))?;
        let stdin = child.stdin.take();
        let give = async {
            if let Some(mut stdin) = stdin {
                // As above.
                let _ = tokio::io::copy(&mut from, &mut stdin).await;
            }
        };
        self.ended(errand, child, give).await
    }

    fn start(&self, errand: Errand<'_>, command: &str) -> Result<Child, HostError> {
        let mut ssh = Command::new(&self.words[0]);
        ssh.args(&self.words[1..]).arg("-T");
        ssh.args(["-o", &format!("ConnectTimeout={CONNECT_S}")]);
        ssh.args(OPTIONS.iter().flat_map(|option| ["-o", option]));
        if let Some(port) = errand.host.ssh_port {
            ssh.args(["-p", &port.to_string()]);
        }
        ssh.args(["--", &errand.host.name, command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        ssh.spawn().map_err(|source| HostError::NoSsh { command: self.command(), source })
    }

    async fn ended(
        &self,
        errand: Errand<'_>,
        child: Child,
        give: impl Future<Output = ()>,
    ) -> Result<Vec<String>, HostError> {
        let both = async { tokio::join!(give, child.wait_with_output()).1 };
        let Ok(output) = tokio::time::timeout(errand.within, both).await else {
            return Err(HostError::Slow {
                host: errand.host.name.clone(),
                what: errand.what,
                seconds: errand.within.as_secs(),
            });
        };
        let Output { status, stdout, stderr } =
            output.map_err(|error| failed(errand, error.to_string()))?;
        let said = last_lines(&String::from_utf8_lossy(&stderr));
        if status.success() {
            let stdout = String::from_utf8_lossy(&stdout);
            let ours = stdout.lines().filter_map(|line| line.strip_prefix(MARK));
            return Ok(ours.map(str::to_owned).collect());
        }
        Err(match status.code() {
            Some(FAILED_ITSELF) => HostError::Unreachable {
                host: errand.host.name.clone(),
                command: self.command(),
                said,
            },
            _ if said.is_empty() => failed(errand, status.to_string()),
            _ => failed(errand, said),
        })
    }
}

fn failed(errand: Errand<'_>, said: String) -> HostError {
    HostError::Failed { host: errand.host.name.clone(), what: errand.what, said }
}

/// The last lines of what was said, in one.
fn last_lines(text: &str) -> String {
    const LINES: usize = 3;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host { name: "one".to_owned(), slots: None, memory: None, port: 0, ssh_port: Some(2222) }
    }

    /// What comes of a script with a program in place of `ssh`, which is this script of `sh`.
    async fn with(program: &str, within: Duration) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh.sh");
        std::fs::write(&path, program).unwrap();
        let ssh = Ssh::of(Some(&format!("sh {}", path.display())));
        let host = host();
        let errand = Errand { host: &host, what: "try it", within };
        ssh.script(errand, "echo 'windrow: of the script'").await.map_err(|error| error.to_string())
    }

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn lines_that_are_for_us_come_back() {
        let told = with("echo hello; echo 'windrow: a b'; exec sh", LONG).await.unwrap();
        assert_eq!(told, ["a b", "of the script"]);
        let told = with("cat > /dev/null; echo \"windrow: $*\"", LONG).await.unwrap();
        assert!(told[0].contains("BatchMode=yes") && told[0].contains("-p 2222"), "{told:?}");
        assert!(told[0].ends_with(" -- one /bin/sh"), "{told:?}");
    }

    #[tokio::test]
    async fn failures_name_the_host_and_what_to_do() {
        let refused = with("echo no key >&2; exit 255", LONG).await.unwrap_err();
        assert!(refused.contains("host one: ssh could not connect: no key"), "{refused}");
        assert!(refused.contains("BatchMode=yes one true"), "{refused}");
        let failed = with("echo a >&2; exit 3", LONG).await.unwrap_err();
        assert_eq!(failed, "host one: to try it failed: a");
        let failed = with("exit 3", LONG).await.unwrap_err();
        assert!(failed.contains("exit status: 3"), "{failed}");
        let slow = with("exec sleep 600", Duration::from_millis(50)).await.unwrap_err();
        assert!(slow.contains("host one: to try it took longer"), "{slow}");
        let ssh = Ssh::of(Some("no-such-ssh"));
        let host = host();
        let errand = Errand { host: &host, what: "try it", within: LONG };
        let none = ssh.script(errand, "").await.unwrap_err().to_string();
        assert!(none.contains("`no-such-ssh` cannot be started"), "{none}");
    }
}
