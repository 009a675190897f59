//! Random numbers by position: a seed and a position always give the same draw.
//!
//! A sequence would have to be replayed to know a reading of three days ago; a hash of the
//! position can be read in any order and keeps no state. The outputs are those of `SplitMix64`
//! (Steele, Lea, Flood 2014), written out here because a run must stay the same under any later
//! version of any library.

/// Step of the `SplitMix64` sequence: the golden ratio, odd.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// A family of independent draws, one for each position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    key: u64,
}

/// 64 random bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw(pub u64);

// === impl Draws ===

impl Draws {
    /// Returns the family `name` of a seed.
    pub(crate) fn new(seed: u64, name: u64) -> Self {
        Self { key: mix(mix(seed.wrapping_add(GAMMA)) ^ name) }
    }

    /// Returns the draw at a position.
    #[inline]
    pub(crate) fn at(self, position: u64) -> Draw {
        Draw(mix(self.key.wrapping_add(position.wrapping_mul(GAMMA))))
    }
}

// === impl Draw ===

impl Draw {
    /// Returns a number below `bound`, made from the upper half of the bits.
    #[inline]
    pub(crate) fn upper(self, bound: u32) -> u32 {
        scale(self.0 >> 32, bound)
    }

    /// Returns a number below `bound`, made from the lower half of the bits.
    #[inline]
    pub(crate) fn lower(self, bound: u32) -> u32 {
        scale(self.0 & 0xFFFF_FFFF, bound)
    }

    /// Returns another draw that follows from this one.
    #[inline]
    pub(crate) fn next(self) -> Self {
        Self(mix(self.0.wrapping_add(GAMMA)))
    }
}

#[inline]
fn scale(half: u64, bound: u32) -> u32 {
    u32::try_from((half * u64::from(bound)) >> 32).expect("a scaled half must fit its bound")
}

#[inline]
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_do_not_depend_on_the_order_of_reading() {
        let draws = Draws::new(7, 1);
        let forwards: Vec<u64> = (0..100).map(|at| draws.at(at).0).collect();
        let backwards: Vec<u64> = (0..100).rev().map(|at| draws.at(at).0).collect();
        assert!(forwards.iter().eq(backwards.iter().rev()));
        assert_ne!(Draws::new(8, 1).at(0).0, draws.at(0).0);
        assert_ne!(Draws::new(7, 2).at(0).0, draws.at(0).0);
    }

    #[test]
    fn both_halves_are_spread_evenly() {
        let draws = Draws::new(1, 1);
        let mut counts = [[0u32; 10]; 2];
        for draw in (0..100_000).map(|at| draws.at(at)) {
            counts[0][draw.upper(10) as usize] += 1;
            counts[1][draw.lower(10) as usize] += 1;
        }
        assert!(counts.iter().flatten().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }
}
