//! Listening sockets.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections the kernel completes before the process accepts them.
const BACKLOG: i32 = 1_024;

/// Binds `address` and listens.
///
/// The port may be held by a bound socket that does not listen: a supervisor reserves ports so,
/// and a restarted child gets the same one.
///
/// # Errors
/// The address can't be bound; the text names it.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bind().map_err(|error| {
        io::Error::new(error.kind(), format!("address {address} can't be bound: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reserved_port_can_be_listened_on() {
        let reserved = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        reserved.set_reuse_address(true).unwrap();
        reserved.set_reuse_port(true).unwrap();
        reserved.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        let address = reserved.local_addr().unwrap().as_socket().unwrap();

        let listener = bind(address).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        tokio::net::TcpStream::connect(address).await.unwrap();
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named_in_the_error() {
        let error = bind("192.0.2.1:9".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("192.0.2.1:9"), "{error}");
    }
}
