//! One attempt to connect.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use async_compat::Compat;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPScheme;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties, Error, ErrorKind};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::settings::Login;

/// For the socket and the TLS handshake.
const REACH: Duration = Duration::from_secs(5);

/// For all of an attempt.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends a socket however its connection feels: one that hangs would keep its thread for ever.
#[derive(Clone, Default)]
pub(super) struct Knife(Arc<Mutex<Option<std::net::TcpStream>>>);

// === impl Knife ===

impl Knife {
    pub(super) fn cut(&self) {
        if let Some(socket) = self.0.lock().take() {
            // It fails where the socket is closed already.
            socket.shutdown(Shutdown::Both).ok();
        }
    }

    fn hold(&self, socket: std::net::TcpStream) {
        *self.0.lock() = Some(socket);
    }
}

/// Connects, or says in plain words why that failed. `name` is what people see at the broker.
pub(super) async fn connect(login: Login, name: &str) -> Result<(Connection, Knife), String> {
    let Login { uri, authorities } = login;
    let (host, port) = (uri.authority.host.clone(), uri.authority.port);
    let (user, vhost) = (uri.authority.userinfo.username.clone(), uri.vhost.clone());
    let knife = Knife::default();
    let runtime = lapin::runtime::default_runtime().map_err(|error| error.to_string())?;
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("{name} ({})", std::process::id()).into());
    let tls = OwnedTLSConfig { identity: None, cert_chain: authorities };
    let cutter = knife.clone();
    let connecting = Connection::connector(
        uri,
        runtime,
        async move |uri, _| {
            let stream = timeout(REACH, open(&uri.authority.host, uri.authority.port, &cutter));
            let stream = AsyncTcpStream::Plain(Compat::new(late(stream.await)?));
            match uri.scheme {
                AMQPScheme::AMQP => Ok(stream),
                AMQPScheme::AMQPS => {
                    let shaken = stream.into_tls(&uri.authority.host, tls.as_ref());
                    Ok(late(timeout(REACH, shaken).await).map_err(tls_failed)?)
                }
            }
        },
        properties,
    );
    match timeout(PATIENCE, connecting).await {
        Ok(Ok(connection)) => Ok((connection, knife)),
        Ok(Err(error)) => Err(explain(&error, &host, port, &user, &vhost)),
        Err(_) => {
            knife.cut();
            Err(format!("{host}:{port} did not answer within {} s", PATIENCE.as_secs()))
        }
    }
}

async fn open(host: &str, port: u16, knife: &Knife) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    knife.hold(stream.try_clone()?);
    TcpStream::from_std(stream)
}

fn late<T>(done: Result<io::Result<T>, tokio::time::error::Elapsed>) -> io::Result<T> {
    done.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} s", REACH.as_secs()),
        ))
    })
}

fn tls_failed(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("no TLS: {error}"))
}

/// The client library's texts name numbers and states; people want to know what to change.
fn explain(error: &Error, host: &str, port: u16, user: &str, vhost: &str) -> String {
    match error.kind() {
        ErrorKind::IOError(error) => format!("{host}:{port}: {error}"),
        ErrorKind::ProtocolError(error) => {
            let text = error.get_message().to_string();
            if text.contains("ACCESS_REFUSED") && !text.contains("vhost") {
                return format!("{host}:{port} refused the user '{user}' or its password");
            }
            if text.contains("vhost") {
                return format!("{host}:{port}: virtual host '{vhost}': {text}");
            }
            format!("{host}:{port}: {text}")
        }
        _ => format!("{host}:{port}: {error}"),
    }
}
