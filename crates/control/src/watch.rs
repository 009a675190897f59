//! Watches the product file: a change that compiles becomes the next routing document.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::clock::Timestamp;
use tidegate_core::shutdown::Shutdown;
use tidegate_ops::Check;
use tokio::time::MissedTickBehavior;

use crate::Error;
use crate::contract::{Governed, ProductFile};
use crate::issue::Issuer;
use crate::metrics::METRICS;
use crate::state::State;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps the routing document in step with the product file.
pub(crate) struct Reload {
    file: ProductFile,
    state: State,
    issuer: Arc<Issuer>,
    /// What the newest document says.
    governed: Governed,
    /// The last look's problem; the document stays as it was.
    problem: Arc<Mutex<Option<String>>>,
}

// === impl Reload ===

impl Reload {
    pub(crate) fn new(
        file: ProductFile,
        state: State,
        issuer: Arc<Issuer>,
        governed: Governed,
    ) -> Self {
        let problem = Arc::new(Mutex::new(None));
        Self { file, state, issuer, governed, problem }
    }

    /// Makes the readiness check that fails as long as the file is not what edges follow.
    pub(crate) fn check(&self) -> Check {
        let problem = Arc::clone(&self.problem);
        Check::new("product", move || {
            let problem = problem.lock().clone();
            async move { problem.map_or(Ok(()), Err) }
        })
    }

    /// Looks at the file every second until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.look(Timestamp::now());
        }
    }

    /// Looks once. A file of a few kilobytes is read faster than it is handed to another thread.
    fn look(&mut self, now: Timestamp) {
        let outcome = self.file.read().and_then(|source| self.take(source, now));
        let problem = outcome.err().map(|error| error.to_string());
        let mut told = self.problem.lock();
        if let Some(problem) = &problem
            && told.as_ref() != Some(problem)
        {
            METRICS.reloaded(false);
            tracing::warn!(error = %problem, "Product file was refused; the former one stays.");
        }
        *told = problem;
    }

    fn take(&mut self, source: Option<String>, now: Timestamp) -> Result<(), Error> {
        if source == self.governed.source {
            return Ok(());
        }
        if source.is_none() {
            return Err(Error::Product("its file is gone; put it back".to_owned()));
        }
        let governed = self.file.compile(source)?;
        if let Some(product) = &governed.product {
            self.state.govern(product)?;
        }
        METRICS.reloaded(true);
        self.issuer.issue(&governed, now);
        self.governed = governed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::keys::PrivateKey;

    use super::*;
    use crate::config;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
    const AIR: &str = include_str!("../../../deploy/products/air.toml");

    struct Fixture {
        reload: Reload,
        dir: tempfile::TempDir,
    }

    // === impl Fixture ===

    impl Fixture {
        fn without_product() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let config = config::sample(dir.path());
            let state = State::open(&config.state).unwrap();
            let key = PrivateKey::load_or_create(&state.key_file()).unwrap();
            let file = ProductFile::new(config.product.clone());
            let governed = file.load().unwrap();
            let life = state.begin(&config.profile.name, config.environment, None).unwrap();
            let issuer = Arc::new(Issuer::new(&config, key, life.epoch, &governed, NOW));
            Self { reload: Reload::new(file, state, issuer, governed), dir }
        }

        /// Writes the file, looks, and returns generation, product and problem.
        fn change(&mut self, source: &str) -> (u64, Option<String>, Option<String>) {
            std::fs::write(self.dir.path().join("product.toml"), source).unwrap();
            self.look()
        }

        fn look(&mut self) -> (u64, Option<String>, Option<String>) {
            self.reload.look(NOW);
            let generation = self.reload.issuer.newest().borrow().version.1;
            let problem = self.reload.problem.lock().clone();
            (generation, self.reload.governed.product.clone(), problem)
        }
    }

    #[test]
    fn each_change_of_the_file_is_one_generation() {
        let air = Some("air".to_owned());
        let mut fixture = Fixture::without_product();
        assert_eq!(fixture.look(), (1, None, None));
        assert_eq!(fixture.change(AIR), (2, air.clone(), None));
        assert_eq!(fixture.look(), (2, air.clone(), None));
        assert_eq!(fixture.change(&format!("{AIR}\n# a comment\n")), (3, air, None));
    }

    #[test]
    fn a_broken_file_keeps_the_former_document_and_shows() {
        let mut fixture = Fixture::without_product();
        fixture.change(AIR);
        let (generation, product, problem) = fixture.change("[product\n");
        assert_eq!((generation, product.as_deref()), (2, Some("air")));
        assert!(problem.unwrap().contains("product.toml"));
        assert_eq!(fixture.change(AIR), (2, Some("air".to_owned()), None));
    }

    #[test]
    fn a_file_that_is_gone_keeps_the_former_document_and_shows() {
        let mut fixture = Fixture::without_product();
        fixture.change(AIR);
        std::fs::remove_file(fixture.dir.path().join("product.toml")).unwrap();
        let (generation, _, problem) = fixture.look();
        assert_eq!(generation, 2);
        assert!(problem.unwrap().contains("gone"));
    }

    #[test]
    fn another_product_is_refused() {
        let mut fixture = Fixture::without_product();
        fixture.change(AIR);
        let other = AIR.replace("name = \"air\"", "name = \"water\"").replace(":air", ":water");
        let (generation, product, problem) = fixture.change(&other);
        assert_eq!((generation, product.as_deref()), (2, Some("air")));
        assert!(problem.unwrap().contains("'air', not 'water'"));
    }
}
