//! One signal that tells every task of a process to finish.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
pub use tokio_util::sync::CancellationToken as Shutdown;
pub use tokio_util::task::TaskTracker;

/// How long a tier drains before it gives up on what is still in flight.
pub const DRAIN: Duration = Duration::from_secs(20);

/// Returns a token that is cancelled by SIGTERM, SIGINT or, for a supervised child, by the end of
/// its standard input: a child whose parent was killed must not live on.
///
/// # Errors
/// Fails if the signal handlers can't be installed.
pub fn on_signal(supervised: bool) -> std::io::Result<Shutdown> {
    let shutdown = Shutdown::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            // A terminal sends SIGINT to the whole group; the parent decides for its children.
            _ = interrupt.recv(), if !supervised => {}
            () = stdin_closed(), if supervised => {}
        }
        token.cancel();
    });
    Ok(shutdown)
}

async fn stdin_closed() {
    // An own thread: tokio's stdin would block the runtime's shutdown.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = [0u8; 64];
        while matches!(std::io::Read::read(&mut std::io::stdin(), &mut sink), Ok(read) if read > 0)
        {
        }
        // The receiver is gone when the process already shuts down for another reason.
        sender.send(()).ok();
    });
    receiver.await.ok();
}

/// Waits for `tracker` to finish its tasks, at most [`DRAIN`]; returns `false` if it gave up.
pub async fn drained(tracker: &TaskTracker) -> bool {
    tracker.close();
    tokio::time::timeout(DRAIN, tracker.wait()).await.is_ok()
}
