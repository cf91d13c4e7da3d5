//! What is done on a host: it is looked at, gets the binary, starts a worker, and is left as it was.
//!
//! All of a cluster is below `~/.cache/windrow/clusters/` there, and its scratch in folders that are listed in it. The binary stays, so
//! that the next cluster need not send it.

use super::Host;
use super::ssh::{Errand, HostError, Ssh};
use ring::digest::{Context, SHA256};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// How long a host may take to look at something.
const LOOK: Duration = Duration::from_secs(60);

/// How long it may take until a worker is started, or has ended.
const CHANGE: Duration = Duration::from_secs(120);

/// How long it may take to send a binary: one with debug information has hundreds of megabytes.
const SEND: Duration = Duration::from_secs(3600);

/// What ends the files in a script.
const END: &str = "end-of-this-file-of-windrow";

/// Functions of all scripts. A worker is the process with the id and the start time that its folder has.
const FUNCTIONS: &str = r#"
umask 077
cache=${XDG_CACHE_HOME:-$HOME/.cache}/windrow
nap() { sleep 0.1 2>/dev/null || sleep 1; }
alive() {
  pid= began=
  [ -f "$folder/pid" ] && read -r pid began < "$folder/pid" || return 1
  set -- $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null)
  [ $# -ge 20 ] && [ "$1" != Z ] && [ "$1" != X ] && [ "${20}" = "$began" ]
}
until_it_has_ended() {
  naps=0
  while alive && [ "$naps" -lt "$1" ]; do nap; naps=$((naps + 1)); done
}
end_it() {
  if alive; then kill -INT "$pid" 2>/dev/null; until_it_has_ended 50; fi
  if alive; then
    kill -s KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null
    until_it_has_ended 50
  fi
}
"#;

/// A cluster's part on a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote<'r> {
    /// How it is talked to.
    pub(crate) ssh: &'r Ssh,
    /// The host.
    pub(crate) host: &'r Host,
    /// The name of the cluster's folder there.
    pub(crate) folder: &'r str,
}

/// What a host is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The address at which it sees this machine.
    pub(crate) own_address: String,
    /// What `uname` says of it, as in `Linux x86_64`.
    pub(crate) machine: String,
    /// Whether the binary is there.
    pub(crate) has_binary: bool,
}

/// What a worker is started with.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The SHA-256 of the binary.
    pub(crate) sha256: String,
    /// The coordinator.
    pub(crate) coordinator: String,
    /// Where it listens, without the port.
    pub(crate) listen_ip: String,
    /// Its threads, unless its host says otherwise.
    pub(crate) threads: Option<u16>,
    /// Its memory, unless its host says otherwise.
    pub(crate) memory: u64,
    /// In which folders its scratch folders are made; in that for temporary files, if there is none.
    pub(crate) scratch: Vec<String>,
    /// The cluster's certificate.
    pub(crate) certificate: String,
    /// The token of workers.
    pub(crate) token: String,
}

/// How a worker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// Whether it runs.
    pub(crate) is_alive: bool,
    /// The end of what it has said.
    pub(crate) log: String,
}

/// A text as one word of `sh`.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The SHA-256 of the binary of this process, and its file.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn own_binary() -> std::io::Result<(String, &'static Path)> {
    let path = Path::new("/proc/self/exe");
    let mut file = std::fs::File::open(path)?;
    let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => context.update(&buffer[..read]),
        }
    }
    let digest = context.finish();
    Ok((digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(), path))
}

impl Remote<'_> {
    fn errand(&self, what: &'static str, within: Duration) -> Errand<'_> {
        Errand { host: self.host, what, within }
    }

    /// The functions, and the cluster's folder.
    fn begin(&self) -> String {
        format!("{FUNCTIONS}folder=$cache/clusters/{}\n", quoted(self.folder))
    }

    /// Looks what the host is like, and whether it has the binary.
    ///
    /// # Errors
    /// [`HostError`].
    pub(crate) async fn look(&self, sha256: &str) -> Result<Found, HostError> {
        let script = format!(
            r#"{}set -eu
command -v sha256sum > /dev/null || {{ echo "there is no sha256sum: install coreutils" >&2; exit 1; }}
echo "windrow: address ${{SSH_CONNECTION:-}}"
echo "windrow: machine $(uname -s) $(uname -m)"
binary=$cache/binaries/{sha256}/windrow
if [ -x "$binary" ] && [ "$(sha256sum < "$binary" | cut -d" " -f1)" = {sha256} ]; then
  touch "$cache/binaries/{sha256}"
  echo "windrow: binary"
fi
"#,
            self.begin()
        );
        let told = self.ssh.script(self.errand("look at it", LOOK), &script).await?;
        let of = |begin: &str| told.iter().find_map(|line| line.strip_prefix(begin));
        let address = of("address ").and_then(|all| all.split_whitespace().next());
        Ok(Found {
            own_address: address.unwrap_or_default().to_owned(),
            machine: of("machine ").unwrap_or_default().to_owned(),
            has_binary: of("binary").is_some(),
        })
    }

    /// Sends the binary, and tries whether it can be started. Others go that are a day old and that nothing runs.
    ///
    /// # Errors
    /// [`HostError`].
    pub(crate) async fn send_binary(&self, sha256: &str, file: &Path) -> Result<(), HostError> {
        // Without single quotes, for it is an argument; and so it has nothing that is secret.
        let command = format!(
            r#"set -eu; umask 077; all=${{XDG_CACHE_HOME:-$HOME/.cache}}/windrow/binaries; folder=$all/{sha256}; mkdir -p "$folder"; part=$folder/part-$$; trap "rm -f \"$part\"" EXIT; cat > "$part"; if [ "$(sha256sum < "$part" | cut -d" " -f1)" != {sha256} ]; then echo "what came is not what was sent" >&2; exit 1; fi; chmod 700 "$part"; "$part" --version > /dev/null || {{ echo "the binary cannot be started there; one that is linked statically runs on any Linux of its kind" >&2; exit 1; }}; mv -f "$part" "$folder/windrow"; for other in "$all"/*; do if [ "$other" != "$folder" ] && [ -n "$(find "$other" -prune -mtime +0)" ] && ! ls -l /proc/[0-9]*/exe 2> /dev/null | grep -qF " $other/"; then rm -rf "$other"; fi; done"#
        );
        self.ssh.send(self.errand("send the binary", SEND), &command, file).await.map(drop)
    }

    /// Starts a worker that outlives the connection, unless one of the same binary runs there already for this cluster.
    ///
    /// # Errors
    /// [`HostError`].
    pub(crate) async fn start_worker(&self, launch: &Launch) -> Result<(), HostError> {
        let Launch { sha256, coordinator, listen_ip, certificate, token, .. } = launch;
        let scratch: Vec<String> = launch.scratch.iter().map(|folder| quoted(folder)).collect();
        let scratch = match scratch.is_empty() {
            true => "\"${TMPDIR:-/tmp}\"".to_owned(),
            false => scratch.join(" "),
        };
        let memory = self.host.memory.unwrap_or(launch.memory);
        let threads = self.host.slots.or(launch.threads);
        let threads = threads.map_or_else(String::new, |threads| format!("--threads {threads}"));
        let (coordinator, name) = (quoted(coordinator), quoted(&self.host.name));
        let listen = quoted(&format!("{listen_ip}:{}", self.host.port));
        // The token is in the script, which comes on standard input.
        let script = format!(
            r#"{}set -eu
binary=$cache/binaries/{sha256}/windrow
if alive; then
  [ "$(readlink "/proc/$pid/exe")" = "$binary" ] && exit 0
  end_it
fi
rm -f "$folder/pid"
mkdir -p "$folder/security"
cat > "$folder/security/ca.pem" <<'{END}'
{}
{END}
cat > "$folder/security/token" <<'{END}'
{}
{END}
# What a worker that has died has left in its scratch folders, the next one finds.
if [ ! -s "$folder/scratch" ]; then
  for parent in {scratch}; do
    mkdir -p "$parent"
    mktemp -d "$parent/windrow-XXXXXX" >> "$folder/scratch"
  done
fi
set -- worker --coordinator {coordinator} --listen {listen} --host {name} {threads} --memory {memory} --security "$folder/security"
while read -r each; do set -- "$@" --scratch "$each"; done < "$folder/scratch"
cd "$folder"
alone=$(command -v setsid || true)
$alone sh -c 'echo "$$ $(sed "s/.*) //" /proc/$$/stat | cut -d" " -f20)" > pid.new && mv pid.new pid && exec "$@"' sh nohup "$binary" "$@" < /dev/null > worker.log 2>&1 &
naps=0
until [ -f pid ]; do
  nap
  naps=$((naps + 1))
  if [ "$naps" -gt 100 ]; then tail -n 3 worker.log >&2; exit 1; fi
done
"#,
            self.begin(),
            certificate.trim_end(),
            token.trim_end(),
        );
        self.ssh.script(self.errand("start a worker", CHANGE), &script).await.map(drop)
    }

    /// Whether the worker runs, and what it has said last.
    ///
    /// # Errors
    /// [`HostError`].
    pub(crate) async fn life(&self) -> Result<Life, HostError> {
        let script = format!(
            r#"{}if alive; then echo "windrow: alive"; fi
[ ! -f "$folder/worker.log" ] || tail -n 3 "$folder/worker.log" | sed 's/^/windrow: log /'
"#,
            self.begin()
        );
        let told = self.ssh.script(self.errand("look at its worker", LOOK), &script).await?;
        let log: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("log ")).collect();
        Ok(Life { is_alive: told.iter().any(|line| line == "alive"), log: log.join("; ") })
    }

    /// Ends the worker, if the coordinator's word has not, and removes all that is there of the cluster; and the binaries too, if
    /// that is asked for. It does no harm to do so again.
    ///
    /// # Errors
    /// [`HostError`].
    pub(crate) async fn end(&self, patient: bool, with_binaries: bool) -> Result<(), HostError> {
        // A fifth of a minute, for one that was told to end.
        let naps = if patient { 120 } else { 0 };
        let binaries = if with_binaries { "rm -rf \"$cache/binaries\"" } else { ":" };
        let script = format!(
            r#"{}until_it_has_ended {naps}
end_it
if alive; then echo "its worker, process $pid, does not end" >&2; exit 1; fi
if [ -f "$folder/scratch" ]; then
  while read -r each; do
    case $each in */windrow-*) rm -rf "$each" ;; esac
  done < "$folder/scratch"
fi
rm -rf "$folder" || exit 1
{binaries}
rmdir "$cache/clusters" "$cache" 2> /dev/null
exit 0
"#,
            self.begin()
        );
        self.ssh.script(self.errand("end its worker", CHANGE), &script).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_word_for_a_shell() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn the_binary_of_this_process_has_a_hash() {
        let (sha256, path) = own_binary().unwrap();
        assert_eq!(sha256.len(), 64);
        assert!(path.exists());
    }
}
