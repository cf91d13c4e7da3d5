//! What a child gets from its parent: a socket, and a signal when the parent dies.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use tokio::process::Command;
use windrow_protocol::executor::EXECUTOR_SOCKET_VAR;

/// The number of the executor's end of the socket.
const SOCKET_FD: RawFd = 3;

/// Lets a command's process be killed when this process dies. It must be started by
/// [`spawn_from_lasting_thread`](super::spawn_from_lasting_thread).
pub fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let bind = move || {
        // SAFETY: both are plain system calls without memory of ours.
        let (set, now) =
            unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the signal was asked for.
        if u32::try_from(now) != Ok(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(bind) };
}

/// Lets a command's process begin without regard to being told to end ([`outlive_termination`](super::outlive_termination) is
/// for the rest of its life).
pub(crate) fn ignore_termination(command: &mut Command) {
    let ignore = || {
        // SAFETY: a plain system call without memory of ours.
        let before = unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
        if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: as in `die_with_parent`.
    unsafe { command.pre_exec(ignore) };
}

/// Lets this process, an executor, go on when it is told to end: where all processes of a worker are, its supervisor is too, and
/// ends it in good time. What the job's code starts is not concerned: handlers, other than what is ignored, are not inherited.
pub fn outlive_termination() {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler does nothing, which it may do at any time.
    unsafe { libc::signal(libc::SIGTERM, handler) };
}

/// Lets a command's process inherit a socket, which it finds by [`inherited_socket`].
pub(crate) fn pass_socket(command: &mut Command, socket: UnixStream) {
    command.env(EXECUTOR_SOCKET_VAR, SOCKET_FD.to_string());
    let pass = move || {
        let from = socket.as_raw_fd();
        // SAFETY: plain system calls on descriptors; the child has no other use for number 3.
        let passed = unsafe {
            if from == SOCKET_FD {
                libc::fcntl(from, libc::F_SETFD, 0)
            } else {
                libc::dup2(from, SOCKET_FD)
            }
        };
        if passed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: as in `die_with_parent`.
    unsafe { command.pre_exec(pass) };
}

/// The socket that this process inherited from its supervisor. Call it once, at the start of the process: processes
/// that this one starts do not inherit it.
///
/// # Errors
/// If the process was not started by a supervisor.
pub fn inherited_socket() -> io::Result<UnixStream> {
    let not_started = || {
        io::Error::other(format!(
            "this command is for processes that a worker starts ({EXECUTOR_SOCKET_VAR} is not set to a socket)"
        ))
    };
    let number = std::env::var(EXECUTOR_SOCKET_VAR).map_err(|_| not_started())?;
    let fd: RawFd = number.parse().map_err(|_| not_started())?;
    if fd != SOCKET_FD {
        return Err(not_started());
    }
    // SAFETY: asks and sets flags of a descriptor number; if it is not open, that is an error.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(not_started());
    }
    // SAFETY: the supervisor passed this descriptor for us to own; the variable says so, and nobody else has it.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    let socket = UnixStream::from(owned);
    socket.local_addr().map_err(|_| not_started())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
