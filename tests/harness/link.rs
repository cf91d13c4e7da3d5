//! A link between processes that can be cut or stand still: a port in front of another one.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// What comes is passed on.
    Open,
    /// Connections end at once.
    Cut,
    /// Connections are there, and nothing gets through.
    Silent,
}

/// A link to another port; what is on the way is lost when this is dropped.
pub struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    state: AtomicU8,
    /// Connections that were ended or held up.
    broken: AtomicU64,
}

impl Shared {
    fn is(&self, state: State) -> bool {
        self.state.load(Ordering::SeqCst) == state as u8
    }
}

impl Link {
    /// An open link to that port of this machine.
    pub fn to(port: u16) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (state, broken) = (AtomicU8::new(State::Open as u8), AtomicU64::new(0));
        let shared = Arc::new(Shared { to: ([127, 0, 0, 1], port).into(), state, broken });
        let (address, of_thread) = (listener.local_addr().unwrap(), shared.clone());
        std::thread::spawn(move || {
            for from in listener.incoming().flatten() {
                let shared = of_thread.clone();
                std::thread::spawn(move || connection(&shared, from));
            }
        });
        Link { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it is so.
    pub fn turn(&self, state: State) {
        self.shared.state.store(state as u8, Ordering::SeqCst);
    }

    /// How often something was ended or held up.
    pub fn broken(&self) -> u64 {
        self.shared.broken.load(Ordering::SeqCst)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.turn(State::Cut);
    }
}

fn connection(shared: &Arc<Shared>, from: TcpStream) {
    if shared.is(State::Cut) {
        shared.broken.fetch_add(1, Ordering::SeqCst);
        return;
    }
    let Ok(to) = TcpStream::connect(shared.to) else { return };
    let (Ok(from_too), Ok(to_too)) = (from.try_clone(), to.try_clone()) else { return };
    let back = shared.clone();
    std::thread::spawn(move || pass_on(&back, to_too, from_too));
    pass_on(shared, from, to);
}

/// Passes on what comes, until one side ends or the link is cut.
fn pass_on(shared: &Shared, mut from: TcpStream, mut to: TcpStream) {
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut buffer = vec![0; 16 << 10];
    let mut held_up = false;
    loop {
        if shared.is(State::Cut) {
            shared.broken.fetch_add(1, Ordering::SeqCst);
            break;
        }
        if shared.is(State::Silent) {
            if !std::mem::replace(&mut held_up, true) {
                shared.broken.fetch_add(1, Ordering::SeqCst);
            }
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) if to.write_all(&buffer[..count]).is_ok() => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
            _ => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
