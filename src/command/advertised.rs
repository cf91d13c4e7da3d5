//! The address of a worker that others are told.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use windrow_protocol::link::addresses;

/// What `--advertise` says: a name or an IP address, and perhaps a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advertised {
    pub(super) host: String,
    /// That of `--listen` where there is none.
    pub(super) port: Option<u16>,
}

/// Reads `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
pub(super) fn advertised(text: &str) -> Result<Advertised, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port > 0);
            (host, Some(port.ok_or("its port is not a number from 1 to 65535")?))
        }
        _ => (text, None),
    };
    let is_v6 = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !is_v6) {
        return Err("it is not HOST or HOST:PORT; an IPv6 address is in brackets".to_owned());
    }
    Ok(Advertised { host: host.to_owned(), port })
}

/// What others are told of a worker that listens there and whose flag says nothing: the address itself, or, of one that
/// listens everywhere, that from which this machine reaches the coordinator.
pub(super) fn of_listening(listen: SocketAddr, coordinator: &str) -> Result<Advertised, String> {
    let coordinator = addresses(coordinator).next().unwrap_or(coordinator);
    let ip = if listen.ip().is_unspecified() {
        own_ip_towards(coordinator).map_err(|error| {
            format!(
                "--listen {listen} does not say at which address other workers reach this one, and how this machine \
                 reaches {coordinator} cannot be told ({error}): add --advertise HOST"
            )
        })?
    } else {
        listen.ip()
    };
    let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    Ok(Advertised { host, port: None })
}

/// Nothing is sent: the system only looks up which way it would go.
fn own_ip_towards(coordinator: &str) -> std::io::Result<IpAddr> {
    let mut last = std::io::ErrorKind::AddrNotAvailable.into();
    for address in std::net::ToSocketAddrs::to_socket_addrs(coordinator)? {
        let any: SocketAddr =
            if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let found = UdpSocket::bind(any)
            .and_then(|socket| socket.connect(address).and_then(|()| socket.local_addr()));
        match found {
            Ok(own) => return Ok(own.ip()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read() {
        let of = |host: &str, port| Ok(Advertised { host: host.to_owned(), port });
        assert_eq!(advertised("one"), of("one", None));
        assert_eq!(advertised("one:7078"), of("one", Some(7078)));
        assert_eq!(advertised("10.0.0.2:1"), of("10.0.0.2", Some(1)));
        assert_eq!(advertised("[::1]"), of("[::1]", None));
        assert_eq!(advertised("[::1]:2"), of("[::1]", Some(2)));
        for wrong in ["", ":1", "one:", "one:0", "one:70000", "one:x", "::1", "::1:2"] {
            assert!(advertised(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_worker_that_listens_everywhere_is_at_the_address_that_reaches_the_coordinator() {
        let told = |listen: &str| {
            of_listening(listen.parse().unwrap(), "127.0.0.1:7077,127.0.0.1:7078").unwrap()
        };
        assert_eq!(told("0.0.0.0:7078").host, "127.0.0.1");
        assert_eq!(told("10.0.0.2:7078").host, "10.0.0.2");
        assert_eq!(told("[::1]:7078").host, "[::1]");
        let nowhere = of_listening(([0, 0, 0, 0], 0).into(), "no port").unwrap_err();
        assert!(nowhere.contains("--advertise"), "{nowhere}");
    }
}
