//! What every store must do, whatever it is made of: each engine runs all of these claims.

mod contracts;
mod hazards;
mod ingest;
mod jobs;
mod model;
mod outbox;
mod overflow;
mod reads;
mod support;
mod tokens;
mod writers;

use async_trait::async_trait;
use tidegate_product::fold::Value;

pub(crate) use self::contracts::*;
pub(crate) use self::hazards::*;
pub(crate) use self::ingest::*;
pub(crate) use self::jobs::*;
pub(crate) use self::model::*;
pub(crate) use self::outbox::*;
pub(crate) use self::overflow::*;
pub(crate) use self::reads::*;
pub(crate) use self::support::*;
pub(crate) use self::tokens::*;
pub(crate) use self::writers::*;
use crate::{Claim, SharedStore};

/// An engine under test.
#[async_trait]
pub(crate) trait Engine: Send + Sync {
    /// Makes a place for a store, empty and of its own.
    async fn create(&self) -> Box<dyn Place>;

    /// How many random scenarios are worth their time.
    fn scenarios(&self) -> u32;
}

/// Where a store is kept.
#[async_trait]
pub(crate) trait Place: Send + Sync {
    /// Opens the store, as another process would.
    async fn open(&self) -> SharedStore;

    /// Runs a query behind the stores' back.
    async fn rows(&self, statement: &str) -> Vec<Vec<Value>>;

    /// Runs statements behind the stores' back.
    async fn run(&self, statements: &str);

    /// Applies a claim as a protocol would that trusts the delivery: it looks neither at the fence
    /// nor at which rows are new.
    async fn apply_naively(&self, claim: Claim);
}

/// Makes a test of each claim.
macro_rules! conformance {
    ($engine:expr => $($claim:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                crate::conformance::$claim(&$engine).await;
            }
        )+
    };
}
pub(crate) use conformance;
