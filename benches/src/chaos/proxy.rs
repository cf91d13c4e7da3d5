//! A link between processes that can be broken: a port in front of another one.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Link {
    /// Bytes pass.
    Open,
    /// Connections end, and no others are made.
    Cut,
    /// No byte passes either way.
    Silent,
    /// No byte passes to the port behind.
    SilentThere,
    /// No byte passes from the port behind.
    SilentBack,
}

/// How long a thread waits before it looks at the link again.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct State {
    behind: SocketAddr,
    link: AtomicU8,
    /// Whether a bit of what comes back next is to be another one.
    flip: AtomicBool,
    over: AtomicBool,
}

impl State {
    fn is(&self, link: Link) -> bool {
        self.link.load(Ordering::Relaxed) == link as u8
    }
}

/// See the module. Connections end when it is dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    /// Where it listens.
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

impl Proxy {
    /// One in front of this port, whose link is open. Nobody need listen there yet.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn start(behind: SocketAddr) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            behind,
            link: AtomicU8::new(Link::Open as u8),
            flip: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let of = state.clone();
        std::thread::spawn(move || accept(&listener, &of));
        Ok(Proxy { address, state })
    }

    /// Changes the link.
    pub(super) fn set(&self, link: Link) {
        self.state.link.store(link as u8, Ordering::Relaxed);
    }

    /// Flips a bit of what comes back next.
    pub(super) fn flip(&self) {
        self.state.flip.store(true, Ordering::Relaxed);
    }

    /// Whether that bit was flipped.
    #[cfg(test)]
    fn has_flipped(&self) -> bool {
        !self.state.flip.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
    }
}

/// Takes connections until the proxy is dropped.
fn accept(listener: &TcpListener, state: &Arc<State>) {
    while !state.over.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((front, _)) => drop(connect(front, state)),
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// Joins a connection with one to the port behind; it ends where that cannot be made.
fn connect(front: TcpStream, state: &Arc<State>) -> io::Result<()> {
    if state.is(Link::Cut) {
        return Ok(());
    }
    let back = TcpStream::connect_timeout(&state.behind, Duration::from_secs(1))?;
    for stream in [&front, &back] {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
    }
    let ways = [(front.try_clone()?, back.try_clone()?, true), (back, front, false)];
    for (from, to, is_there) in ways {
        let state = state.clone();
        std::thread::spawn(move || {
            let _ = pump(&from, &to, is_there, &state);
            let _ = from.shutdown(Shutdown::Read);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}

/// Passes on what comes, until it ends or the link is cut. What comes while no byte passes waits: to the other side a lost
/// packet that is sent again and again looks the same.
fn pump(mut from: &TcpStream, mut to: &TcpStream, is_there: bool, state: &State) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        if state.over.load(Ordering::Relaxed) || state.is(Link::Cut) {
            let _ = from.shutdown(Shutdown::Both);
            return to.shutdown(Shutdown::Both);
        }
        let one_way = if is_there { Link::SilentThere } else { Link::SilentBack };
        if state.is(Link::Silent) || state.is(one_way) {
            std::thread::sleep(LOOK);
            continue;
        }
        let len = match from.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        if !is_there && state.flip.swap(false, Ordering::Relaxed) {
            bytes[len / 2] ^= 4;
        }
        to.write_all(&bytes[..len])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy in front of a port that gives back what it gets, and a connection through it.
    fn echo() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut back = stream.try_clone().unwrap();
                std::thread::spawn(move || io::copy(&mut stream, &mut back));
            }
        });
        let stream = TcpStream::connect(proxy.address).unwrap();
        (proxy, stream)
    }

    #[test]
    fn bytes_pass_a_bit_is_flipped_and_connections_are_cut() {
        let (proxy, mut stream) = echo();
        let mut got = [0; 4];
        stream.write_all(b"abcd").unwrap();
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"abcd");
        proxy.flip();
        stream.write_all(b"abcd").unwrap();
        stream.read_exact(&mut got).unwrap();
        assert_ne!(&got, b"abcd");
        assert!(proxy.has_flipped());
        proxy.set(Link::Cut);
        assert!(matches!(stream.read(&mut got), Ok(0) | Err(_)));
    }

    #[test]
    fn a_silent_link_passes_all_once_it_is_open_again() {
        for silent in [Link::Silent, Link::SilentThere, Link::SilentBack] {
            let (proxy, mut stream) = echo();
            proxy.set(silent);
            stream.write_all(b"abcd").unwrap();
            stream.set_read_timeout(Some(20 * LOOK)).unwrap();
            let mut got = [0; 4];
            stream.read(&mut got).expect_err("no byte passes");
            proxy.set(Link::Open);
            stream.set_read_timeout(None).unwrap();
            stream.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"abcd");
        }
    }
}
