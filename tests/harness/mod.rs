//! The one harness for tests of the real binary.
//!
//! Each test has a [`Room`]: a fresh directory that bears the test's name, in which the binary runs with a cleared
//! environment, and with a deadline. Whatever goes wrong, the message of the panic has the command, the directory with
//! a listing, the exit status, and all of both outputs: it alone should do to find the cause. The directory of a test
//! that failed is left; that of a test that succeeded is removed.

// Each test binary uses a part of it, and it is a module of each.
#![allow(dead_code, unreachable_pub)]

pub mod binaries;
pub mod disk;
pub mod link;
pub mod processes;
pub mod sshd;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a command may take, unless a test says otherwise. Generous: machines of CI are slow and shared.
const TIMEOUT: Duration = Duration::from_secs(240);

/// A user without rights, and without files.
const NOBODY: u32 = 65534;

/// A fresh [`Room`] that bears the name of the test that asks for it.
#[macro_export]
macro_rules! room {
    () => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here);
        $crate::harness::Room::new(name.trim_end_matches("::here"))
    }};
}

/// A directory of a test's own: `work`, in which commands run, and `tmp`, for what they keep there.
pub struct Room {
    root: PathBuf,
}

impl Room {
    /// A fresh one; what an earlier run has left under this name is removed.
    pub fn new(test: &str) -> Room {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test.replace("::", "-"));
        Room::at(root)
    }

    fn at(root: PathBuf) -> Room {
        if root.exists() {
            remove(&root);
        }
        for folder in ["work", "tmp"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        Room { root }
    }

    /// The path of something in the directory in which commands run.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join("work").join(name)
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The real binary, with arguments that are parted by white space; more can be added.
    pub fn windrow(&self, arguments: &str) -> Run<'_> {
        self.program(Path::new(env!("CARGO_BIN_EXE_windrow")), arguments)
    }

    /// Makes sure that a command line of the real binary is one. It is not run: of what is wrong with one is told before anything
    /// is started.
    pub fn takes(&self, command: &str) {
        let told = self.windrow(&format!("{command} --no-such-flag")).fails(2);
        told.says(&["unexpected argument '--no-such-flag'"]);
    }

    /// Some other program, in the same way.
    pub fn program(&self, program: &Path, arguments: &str) -> Run<'_> {
        let mut command = Command::new(program);
        command
            .args(arguments.split_whitespace())
            .current_dir(self.path(""))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.root)
            .env("TMPDIR", self.root.join("tmp"))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Run { room: self, command, timeout: TIMEOUT }
    }

    /// The part files of an output in the order of their names. Names are without the job's short id.
    pub fn parts(&self, output: &str) -> Vec<(String, Vec<u8>)> {
        let folder = self.path(output);
        let entries = fs::read_dir(&folder);
        let entries = entries.unwrap_or_else(|error| {
            panic!("{}: {error}\n{}", folder.display(), self.listing());
        });
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("part-"))
            .collect();
        names.sort_unstable();
        let part = |name: String| {
            let bytes = fs::read(folder.join(&name)).unwrap();
            let (number, rest) = name["part-".len()..].split_once('-').unwrap();
            let extension = rest.split_once('.').map_or("", |(_, extension)| extension);
            (format!("part-{number}.{extension}"), bytes)
        };
        names.into_iter().map(part).collect()
    }

    /// The bytes of an output: of all part files, in order.
    pub fn bytes(&self, output: &str) -> Vec<u8> {
        self.parts(output).into_iter().flat_map(|(_, bytes)| bytes).collect()
    }

    /// The lines of an output of text, in order.
    pub fn rows(&self, output: &str) -> Vec<String> {
        let bytes = self.bytes(output);
        let text = String::from_utf8(bytes).expect("an output of UTF-8");
        text.lines().map(str::to_string).collect()
    }

    /// Panics unless two outputs have the same part files, byte for byte, but for the short ids of the jobs.
    pub fn same_output(&self, one: &str, other: &str) {
        let (one_parts, other_parts) = (self.parts(one), self.parts(other));
        let names = |parts: &[(String, Vec<u8>)]| -> Vec<String> {
            parts.iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(names(&one_parts), names(&other_parts), "parts of {one} and {other}");
        for ((name, a), (_, b)) in one_parts.iter().zip(&other_parts) {
            let differs = a.iter().zip(b).position(|(a, b)| a != b);
            assert!(
                a == b,
                "{name} of {one} ({} bytes) and {other} ({} bytes) differ at byte {}\n{}",
                a.len(),
                b.len(),
                differs.unwrap_or(a.len().min(b.len())),
                self.listing()
            );
        }
    }

    /// The manifest of an output.
    pub fn manifest(&self, output: &str) -> serde_json::Value {
        let path = self.path(output).join("_SUCCESS");
        let json = fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}\n{}", path.display(), self.listing());
        });
        serde_json::from_slice(&json).unwrap()
    }

    /// All files and folders below a folder, hidden ones too, with their content: to see that nothing has changed.
    pub fn tree(&self, name: &str) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![self.path(name)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                    tree.insert(path, None);
                } else {
                    let bytes = fs::read(&path).unwrap_or_default();
                    tree.insert(path, Some(bytes));
                }
            }
        }
        tree
    }

    /// What the binary has left in the folder for temporary files.
    pub fn temporary(&self) -> Vec<PathBuf> {
        fs::read_dir(self.root.join("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// All files with their sizes, as text.
    pub fn listing(&self) -> String {
        let mut lines = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let shown = path.strip_prefix(&self.root).unwrap_or(&path).display().to_string();
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => {
                        lines.push(format!("  {shown}/"));
                        folders.push(path);
                    }
                    Ok(metadata) => lines.push(format!("  {shown} ({} bytes)", metadata.len())),
                    Err(error) => lines.push(format!("  {shown}: {error}")),
                }
            }
        }
        lines.sort_unstable();
        const MOST: usize = 200;
        if lines.len() > MOST {
            let more = lines.len() - MOST;
            lines.truncate(MOST);
            lines.push(format!("  … and {more} more"));
        }
        lines.join("\n")
    }

    /// A room that a user without rights may write to, where there is such a user: for tests as root, who may read and
    /// write all. The binary is copied there, since the way to it may be closed to that user. `None` if it cannot be.
    pub fn for_nobody(test: &str) -> Option<Room> {
        let name = format!("windrow-{}-{}", test.replace("::", "-"), std::process::id());
        let room = Room::at(std::env::temp_dir().join(name));
        let binary = room.root.join("windrow");
        fs::copy(env!("CARGO_BIN_EXE_windrow"), &binary).unwrap();
        for folder in ["work", "tmp"] {
            std::os::unix::fs::chown(room.root.join(folder), Some(NOBODY), Some(NOBODY)).ok()?;
        }
        let run = room.program(&binary, "--version").by_nobody().try_run();
        matches!(run, Ok(done) if done.code() == Some(0)).then_some(room)
    }

    /// The binary in a room [for nobody](Room::for_nobody), run by that user.
    pub fn windrow_by_nobody(&self, arguments: &str) -> Run<'_> {
        self.program(&self.root.join("windrow"), arguments).by_nobody()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            remove(&self.root);
        }
    }
}

/// Removes a room, also where a test has taken rights away.
fn remove(root: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o755));
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    if let Err(error) = fs::remove_dir_all(root) {
        panic!("{} cannot be removed: {error}", root.display());
    }
}

/// Whether the test is run by root.
pub fn is_root() -> bool {
    // SAFETY: `geteuid` always succeeds.
    unsafe { libc::geteuid() == 0 }
}

/// A command that is to be run.
pub struct Run<'r> {
    room: &'r Room,
    command: Command,
    timeout: Duration,
}

impl<'r> Run<'r> {
    /// One more argument, taken as it is.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// One variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Several variables of the environment.
    #[must_use]
    pub fn envs<V: AsRef<OsStr>>(
        mut self,
        variables: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Self {
        self.command.envs(variables);
        self
    }

    /// Another deadline.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Run by a user without rights. Only root can do so.
    #[must_use]
    pub fn by_nobody(mut self) -> Self {
        self.command.uid(NOBODY).gid(NOBODY);
        self
    }

    /// No file may become larger: writing more is an error, as on a full disk.
    #[must_use]
    pub fn files_of_at_most(mut self, bytes: u64) -> Self {
        let limit = move || {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            // SAFETY: both calls may be made between fork and exec, and get what they ask for.
            let failed = unsafe {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) != 0
            };
            if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
        };
        // SAFETY: the closure only makes system calls.
        unsafe { self.command.pre_exec(limit) };
        self
    }

    /// Starts it. It is killed when what this gives is dropped.
    pub fn start(self) -> Running<'r> {
        let shown = format!("{:?}", self.command);
        self.try_start().unwrap_or_else(|error| panic!("{shown} cannot be started: {error}"))
    }

    fn try_start(mut self) -> std::io::Result<Running<'r>> {
        let words = self.command.get_args().map(|word| word.to_string_lossy().into_owned());
        let program = self.command.get_program().to_string_lossy().into_owned();
        let mut shown = [program].into_iter().chain(words).collect::<Vec<_>>().join(" ");
        if shown.len() > 2000 {
            let cut = shown.floor_char_boundary(2000);
            shown.truncate(cut);
            shown.push('…');
        }
        let mut child = self.command.spawn()?;
        let stdout = read_all(child.stdout.take());
        let stderr = read_all(child.stderr.take());
        let deadline = Instant::now() + self.timeout;
        Ok(Running {
            room: self.room,
            shown,
            child,
            stdout,
            stderr,
            deadline,
            timeout: self.timeout,
        })
    }

    fn try_run(self) -> std::io::Result<Done> {
        Ok(self.try_start()?.wait())
    }

    /// Runs it to its end, whatever that is.
    pub fn run(self) -> Done {
        self.start().wait()
    }

    /// Runs it; panics unless it succeeds.
    pub fn ok(self) -> Done {
        let done = self.run();
        assert!(done.status.success(), "should have succeeded\n{}", done.report);
        done
    }

    /// Runs it; panics unless it fails with this exit code, and without a panic.
    pub fn fails(self, code: i32) -> Done {
        self.start().fails(code)
    }
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> Option<JoinHandle<Vec<u8>>> {
    pipe.map(|mut pipe| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read until then is shown.
            let _ = pipe.read_to_end(&mut bytes);
            bytes
        })
    })
}

/// A command that runs.
pub struct Running<'r> {
    room: &'r Room,
    shown: String,
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    deadline: Instant,
    timeout: Duration,
}

impl Running<'_> {
    /// Sends a signal, as in `libc::SIGINT`.
    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: the child has not been waited for, so its id is still its own.
        let sent = unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        assert_eq!(sent, 0, "{}: the signal cannot be sent", self.shown);
    }

    /// Whether it has ended. It can still be waited for.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has a handler for this signal, so that the signal does not just kill it.
    pub fn until_it_catches(&mut self, signal: libc::c_int) {
        let status = format!("/proc/{}/status", self.child.id());
        self.until("a handler of the signal", || {
            let status = fs::read_to_string(&status).unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
            caught.is_some_and(|bits| bits & (1 << (signal - 1)) != 0)
        });
    }

    /// Waits until something holds; panics if the command ends first, or at the deadline.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        while !holds() {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > self.deadline {
                let done = self.collect(ended);
                panic!("never came: {what}\n{}", done.report);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Done {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return self.collect(Some(status));
            }
            if Instant::now() > self.deadline {
                let done = self.collect(None);
                panic!("took longer than {:?}\n{}", self.timeout, done.report);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for its end, which must be good.
    pub fn ok(self) -> Done {
        let done = self.wait();
        assert_eq!(done.code(), Some(0), "{}", done.report);
        done
    }

    /// Waits for its end; panics unless that is a failure with this exit code, and without a panic.
    pub fn fails(self, code: i32) -> Done {
        let done = self.wait();
        assert_eq!(done.code(), Some(code), "should have failed with {code}\n{}", done.report);
        assert!(!done.stderr().contains("panicked at"), "a panic of the engine\n{}", done.report);
        done
    }

    /// Collects what it wrote; kills it first if it has not ended.
    fn collect(&mut self, ended: Option<ExitStatus>) -> Done {
        let status = ended.unwrap_or_else(|| {
            let _ = self.child.kill();
            self.child.wait().unwrap()
        });
        let join = |pipe: Option<JoinHandle<Vec<u8>>>| match pipe {
            Some(thread) => thread.join().unwrap(),
            None => Vec::new(),
        };
        let (stdout, stderr) = (join(self.stdout.take()), join(self.stderr.take()));
        let report = format!(
            "command: {}\ndirectory: {}\n{}\nstatus: {status}\nstandard output:\n{}\nstandard error:\n{}",
            self.shown,
            self.room.root.display(),
            self.room.listing(),
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr),
        );
        Done { status, stdout, stderr, report }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that has ended.
pub struct Done {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// All that is known, for the message of a failed check.
    pub report: String,
}

impl Done {
    /// The exit code; `None` if it was killed.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// What it wrote to standard output.
    pub fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("text on standard output")
    }

    /// What it wrote to standard error.
    pub fn stderr(&self) -> &str {
        std::str::from_utf8(&self.stderr).expect("text on standard error")
    }

    /// Panics unless standard error has all of these texts.
    pub fn says(&self, texts: &[&str]) -> &Done {
        for text in texts {
            assert!(self.stderr().contains(text), "does not say `{text}`\n{}", self.report);
        }
        self
    }
}

/// Compares a text with the file of this name in `tests/snapshots/`. `WINDROW_BLESS=1` writes the file instead.
pub fn snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("WINDROW_BLESS").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if expected != text {
        let line = expected.lines().zip(text.lines()).take_while(|(a, b)| a == b).count() + 1;
        panic!(
            "tests/snapshots/{name} differs from line {line} on; if that is meant, refresh it with WINDROW_BLESS=1\n--- snapshot\n{expected}\n--- now\n{text}"
        );
    }
}
