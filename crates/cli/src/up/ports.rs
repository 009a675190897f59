//! Ports, held for as long as `up` runs, so that a child started again gets the same ones.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::bail;
use socket2::{Domain, Protocol, Socket, Type};

use crate::args::Up;
use crate::up::tier::Tier;

/// A port that is bound here, without listening, and listened on by a child.
#[derive(Debug)]
pub(crate) struct Reserved {
    /// Closed with the supervisor: until then no other program gets the port.
    _socket: Socket,
    address: SocketAddr,
}

/// All ports of a stack.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) https: Reserved,
    pub(crate) http: Reserved,
    pub(crate) control: Reserved,
    pub(crate) api: Reserved,
    pub(crate) edge_private: Reserved,
    pub(crate) api_private: Reserved,
    pub(crate) worker_private: Reserved,
    pub(crate) control_private: Reserved,
}

// === impl Ports ===

impl Ports {
    /// Reserves the ports that were asked for, and free ones for what stays inside.
    pub(crate) fn reserve(args: &Up) -> anyhow::Result<Self> {
        let wanted = [("--https", args.https), ("--http", args.http), ("--control", args.control)];
        for (at, (flag, address)) in wanted.iter().enumerate() {
            let twin = wanted.iter().skip(at + 1).find(|(_, other)| other == address);
            if let Some((other, _)) = twin.filter(|_| address.port() != 0) {
                bail!("{flag} and {other} are both {address}; give each a port of its own");
            }
        }
        let [https, http, control] = wanted.map(|(flag, address)| reserve(flag, address));
        Ok(Self {
            https: https?,
            http: http?,
            control: control?,
            api: inside()?,
            edge_private: inside()?,
            api_private: inside()?,
            worker_private: inside()?,
            control_private: inside()?,
        })
    }

    /// Returns the listener that tells whether a tier is ready.
    pub(crate) fn private(&self, tier: Tier) -> SocketAddr {
        match tier {
            Tier::Api => self.api_private.address,
            Tier::Control => self.control_private.address,
            Tier::Worker => self.worker_private.address,
            Tier::Edge => self.edge_private.address,
        }
    }
}

// === impl Reserved ===

impl Reserved {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn inside() -> anyhow::Result<Reserved> {
    reserve("--data", SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

fn reserve(flag: &str, wanted: SocketAddr) -> anyhow::Result<Reserved> {
    match try_reserve(wanted) {
        Ok(reserved) => Ok(reserved),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => bail!(
            "port {} is in use: {flag} {wanted} can't be bound; stop what listens there, or choose \
             another with {flag} {}:0",
            wanted.port(),
            wanted.ip()
        ),
        Err(error) => bail!("{flag} {wanted} can't be bound: {error}"),
    }
}

fn try_reserve(wanted: SocketAddr) -> io::Result<Reserved> {
    // Without SO_REUSEPORT the kernel tells whether anyone listens there, which it would not tell
    // the socket that children share.
    bind(wanted, false)?;
    let socket = bind(wanted, true)?;
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(Reserved { _socket: socket, address })
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a former run that the kernel still remembers are no reason to refuse.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_in_use_is_refused_with_its_flag_and_the_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = reserve("--https", address).unwrap_err().to_string();
        for part in ["in use", &address.port().to_string(), "--https 127.0.0.1:0"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn a_child_that_listens_on_a_reserved_port_keeps_others_out() {
        let reserved = reserve("--http", "127.0.0.1:0".parse().unwrap()).unwrap();
        let child = bind(reserved.address, true).unwrap();
        child.listen(1).unwrap();
        assert!(reserve("--http", reserved.address).is_err());
        drop(child);
        let child = bind(reserved.address, true).unwrap();
        child.listen(1).unwrap();
    }
}
