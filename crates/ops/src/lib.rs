//! What every tier shows its operators on its private listener, and how listeners are bound.
//!
//! ```text
//! let listener = ops::listen::bind(address)?;
//! let checks = vec![Check::new("store", move || …), Check::accepting(&shutdown)];
//! ops::serve(listener, ops::router(checks).merge(own_routes), stop).await;
//! ```

mod health;
mod program;

pub mod listen;
mod serve;
mod stream;

mod check;
mod router;

pub use check::Check;
pub use program::program;
pub use router::router;
pub use serve::{HEAD_TIMEOUT, serve};
pub use stream::Stream;
