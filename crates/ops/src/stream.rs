//! A client's connection, with bounded patience for a client that does not read, and with an end
//! that does not cut off the last answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// Longest time and most bytes for what a client still sends after its last answer.
const LINGER: Duration = Duration::from_secs(1);
const MAX_LINGERED_BYTES: usize = 64 << 20;

/// A connection from a client.
#[derive(Debug)]
pub struct Stream {
    inner: TcpStream,
    /// Longest time without a byte that the client takes.
    patience: Duration,
    /// Runs only while the client keeps us waiting.
    waiting: Option<Pin<Box<Sleep>>>,
    ending: Ending,
}

/// How far the end of a connection has come.
#[derive(Debug)]
enum Ending {
    NotBegun,
    /// Nothing is written any more; what still comes is thrown away.
    Lingering {
        until: Pin<Box<Sleep>>,
        bytes: usize,
    },
    Over,
}

// === impl Stream ===

impl Stream {
    /// Wraps an accepted connection. Small writes are sent at once.
    pub fn new(inner: TcpStream, patience: Duration) -> Self {
        // Answers are written whole: waiting to fill a segment only delays them.
        inner.set_nodelay(true).ok();
        Self { inner, patience, waiting: None, ending: Ending::NotBegun }
    }

    fn within_patience(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.within_patience(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(context, pieces);
        this.within_patience(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    /// Ends the connection; if the client is still sending, only after that was read.
    ///
    /// A connection closed with bytes unread is reset, and the reset may overtake the answer that
    /// says why they were not wanted.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.ending {
                Ending::Over => return Poll::Ready(Ok(())),
                Ending::NotBegun => {
                    ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
                    let until = Box::pin(tokio::time::sleep_until(Instant::now() + LINGER));
                    this.ending = Ending::Lingering { until, bytes: 0 };
                }
                Ending::Lingering { until, bytes } => {
                    ready!(poll_discard(&mut this.inner, context, (until, bytes)));
                    this.ending = Ending::Over;
                }
            }
        }
    }
}

/// Throws away what a client still sends until it ends or the bounds are reached; is done at once
/// if nothing came.
fn poll_discard(
    stream: &mut TcpStream,
    context: &mut Context<'_>,
    (until, bytes): (&mut Pin<Box<Sleep>>, &mut usize),
) -> Poll<()> {
    let mut space = [0; 16 << 10];
    loop {
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                *bytes += buffer.filled().len();
                // Also bounds the time: a fast client never keeps us waiting.
                if *bytes > MAX_LINGERED_BYTES || until.as_ref().is_elapsed() {
                    return Poll::Ready(());
                }
            }
            Poll::Ready(_) => return Poll::Ready(()),
            // Nothing was on its way, so that nothing will be reset.
            Poll::Pending if *bytes == 0 => return Poll::Ready(()),
            Poll::Pending => return until.as_mut().poll(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair(patience: Duration) -> (TcpStream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (client, Stream::new(server, patience))
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_given_up() {
        let (client, mut server) = pair(Duration::from_millis(20)).await;
        let error = server.write_all(&vec![0; 64 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn a_client_that_is_still_sending_gets_the_last_answer() {
        let (mut client, mut server) = pair(Duration::from_secs(10)).await;
        let upload = async {
            client.write_all(&vec![0; 8 << 20]).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let refuse = async {
            server.read_u8().await.unwrap();
            server.write_all(b"no").await.unwrap();
            server.shutdown().await.unwrap();
            drop(server);
        };
        assert_eq!(tokio::join!(upload, refuse).0, "no");
    }

    #[tokio::test]
    async fn a_client_that_sends_nothing_is_not_waited_for() {
        let (_client, mut server) = pair(Duration::from_secs(10)).await;
        let end = tokio::time::timeout(LINGER / 2, server.shutdown());
        end.await.expect("the end must not wait").unwrap();
    }
}
