//! The progress of a run on standard error: a bar on a terminal, a line now and then elsewhere.

use std::convert::Infallible;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use super::board::Board;
use crate::output;

/// Time between two pictures of the bar.
const FRAME: Duration = Duration::from_millis(200);

/// Time between two lines.
const LINE: Duration = Duration::from_secs(5);

/// Shows the progress until it is dropped.
pub(crate) async fn show(board: &Board) -> Infallible {
    if output::stderr_is_terminal() { draw(board).await } else { write(board).await }
}

async fn draw(board: &Board) -> Infallible {
    let style = ProgressStyle::with_template("{bar:16} {percent:>3} %  {wide_msg}")
        .expect("the template must be valid");
    let bar =
        ProgressBar::new(board.rows()).with_style(style).with_finish(ProgressFinish::AndClear);
    let mut frames = tokio::time::interval(FRAME);
    loop {
        frames.tick().await;
        bar.set_position(board.rows_applied());
        bar.set_message(board.line());
    }
}

async fn write(board: &Board) -> Infallible {
    let mut lines = tokio::time::interval(LINE);
    // The first tick is at once, when there is nothing to tell.
    lines.tick().await;
    loop {
        lines.tick().await;
        output::note(&board.line());
    }
}
