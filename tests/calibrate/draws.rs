//! Random numbers of the kinds that traffic has.

use e2e::Random;

/// Above this mean, a Poisson number is drawn from the normal distribution next to it.
const LARGE: f64 = 50.0;

/// Draws from a seed.
pub(crate) struct Draws(Random);

// === impl Draws ===

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// Returns a number in (0, 1).
    fn uniform(&mut self) -> f64 {
        const STEPS: u64 = 1 << 53;
        (self.0.below(STEPS) as f64 + 0.5) / STEPS as f64
    }

    /// Returns how many independent events happen where `mean` are expected.
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        if mean > LARGE {
            // Box and Muller.
            let (one, other) = (self.uniform(), self.uniform());
            let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos();
            return (mean + mean.sqrt() * normal).round().max(0.0) as u64;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0);
        while product > limit {
            product *= self.uniform();
            count += 1;
        }
        count
    }

    /// Returns how many events happen where `mean` are expected, in bursts of `burst` on average,
    /// each of geometric size: variance over mean is `2·burst − 1`.
    pub(crate) fn bursts(&mut self, mean: f64, burst: f64) -> u64 {
        if burst <= 1.0 {
            return self.poisson(mean);
        }
        (0..self.poisson(mean / burst))
            .map(|_| 1 + (self.uniform().ln() / (-1.0 / burst).ln_1p()) as u64)
            .sum()
    }
}
