//! A keep-alive HTTP/1.1 connection that costs next to nothing: requests are ready-made bytes, and
//! of an answer only status, `ETag` and length are looked at.

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Bytes read at once, and the longest head.
const BUFFER: usize = 64 * 1024;

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What is known of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its `ETag`.
    pub(crate) etag: Option<String>,
}

// === impl Connection ===

impl Connection {
    /// Connects to `HOST:PORT`.
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER] })
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        let (head_bytes, head) = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            filled += read;
            if let Some(end) = end_of_head(&self.buffer[..filled]) {
                break (end, std::str::from_utf8(&self.buffer[..end])?);
            }
        };
        let status = head.get(9..12).context("an answer begins with a status")?.parse()?;
        let etag = field(head, "etag").map(str::to_owned);
        // A 304 names the length that the content would have (RFC 9110 section 8.6).
        let length: usize = match (status, field(head, "content-length")) {
            (304, _) => 0,
            (_, Some(length)) => length.parse()?,
            (_, None) => bail!("an answer without Content-Length"),
        };
        let mut left = (head_bytes + length).checked_sub(filled).context("more than one answer")?;
        while left > 0 {
            let room = left.min(BUFFER);
            match self.stream.read(&mut self.buffer[..room]).await? {
                0 => bail!("the server closed the connection"),
                read => left -= read,
            }
        }
        Ok(Answer { status, etag })
    }
}

/// Makes a GET request.
pub(crate) fn get(path: &str, token: &str, if_none_match: Option<&str>) -> Vec<u8> {
    let condition =
        if_none_match.map_or(String::new(), |etag| format!("if-none-match: {etag}\r\n"));
    format!(
        "GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n{condition}\r\n"
    )
    .into_bytes()
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
