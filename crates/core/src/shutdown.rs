//! One signal that tells every task of a process to finish.

use std::io::Read as _;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
pub use tokio_util::sync::CancellationToken as Shutdown;
pub use tokio_util::task::TaskTracker;

/// How long a tier drains before it gives up on what is still in flight.
pub const DRAIN: Duration = Duration::from_secs(20);

/// How long a supervised child drains after its parent died without asking it to stop.
const ABANDONED: Duration = Duration::from_millis(1_500);

/// What a parent writes to a supervised child's standard input, before it closes it, to have the
/// child drain.
pub const STOP_WORD: &[u8] = b"stop\n";

/// Returns a token that is cancelled by SIGTERM, SIGINT or, for a supervised child, by the end of
/// its standard input.
///
/// A supervised child whose input ends without [`STOP_WORD`] has lost its parent: it must not hold
/// ports and files for as long as a drain may take, and exits after a moment.
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
        let mut said = Vec::new();
        // Nothing is left to do about an input that can't be read: it has ended.
        std::io::stdin().take(64).read_to_end(&mut said).ok();
        // The receiver is gone when the process already shuts down for another reason.
        sender.send(()).ok();
        if said != STOP_WORD {
            std::thread::park_timeout(ABANDONED);
            std::process::exit(1);
        }
    });
    receiver.await.ok();
}

/// Waits for `tracker` to finish its tasks, at most [`DRAIN`]; returns `false` if it gave up.
pub async fn drained(tracker: &TaskTracker) -> bool {
    tracker.close();
    tokio::time::timeout(DRAIN, tracker.wait()).await.is_ok()
}
