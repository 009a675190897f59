//! Asks a running process whether it is ready, for health checks in images without a shell.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A process that has not answered by then is as good as gone; longer than its own checks may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// Most of an answer that is read.
const MAX_ANSWER: u64 = 64 * 1024;

/// What a process said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It is ready.
    Ready,
    /// It is not; its answer names the failed checks.
    Unready(String),
}

/// Asks the private listener at `address`, `HOST:PORT`.
///
/// # Errors
/// Nothing answers there.
pub(crate) async fn ask(address: &str) -> io::Result<Health> {
    let answer = tokio::time::timeout(PATIENCE, get(address)).await.map_err(|_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{address} does not answer within {} s", PATIENCE.as_secs()),
        )
    })?;
    let answer = answer.map_err(|error| {
        io::Error::new(error.kind(), format!("{address} can't be asked: {error}"))
    })?;
    read(&answer).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{address} does not speak HTTP"))
    })
}

/// HTTP/1.0, so that the answer ends with the connection.
async fn get(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.0\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn read(answer: &str) -> Option<Health> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(if status == "200" { Health::Ready } else { Health::Unready(body.trim().to_owned()) })
}

#[cfg(test)]
mod tests {
    use tidegate_core::shutdown::Shutdown;

    use super::*;
    use crate::Check;

    async fn asked(checks: Vec<Check>) -> Health {
        let listener = crate::listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = Shutdown::new();
        let server = tokio::spawn(crate::serve(listener, crate::router(checks), stop.clone()));
        let health = ask(&address).await.unwrap();
        stop.cancel();
        server.await.unwrap();
        health
    }

    #[tokio::test]
    async fn a_process_says_whether_it_is_ready_and_what_failed() {
        assert_eq!(asked(vec![]).await, Health::Ready);
        let locked = Check::new("store", || async { Err("locked".to_owned()) });
        let Health::Unready(answer) = asked(vec![locked]).await else { panic!("ready") };
        assert!(answer.contains(r#""reason":"locked""#), "{answer}");
    }

    #[tokio::test]
    async fn an_address_without_a_process_is_named() {
        let listener = crate::listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = ask(&address).await.unwrap_err().to_string();
        assert!(error.contains(&address), "{error}");
    }

    #[test]
    fn what_is_no_http_is_no_answer() {
        assert_eq!(read("220 smtp.example.com ESMTP\r\n\r\n"), None);
        assert_eq!(read(""), None);
    }
}
