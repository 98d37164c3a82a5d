//! All chance of a run: one generator, from its seed. The same seed throws the same numbers on every machine.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, SeedableRng as _};

/// A pseudo-random generator.
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    /// The dice of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// From 0 up to, but without, `end`, which is above 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // Slightly uneven, which nobody minds here.
        self.0.next_u64() % end
    }

    /// From `first` to `last`.
    pub fn between(&mut self, first: i64, last: i64) -> i64 {
        let many = u64::try_from(last - first + 1).expect("a range");
        first + i64::try_from(self.below(many)).expect("within the range")
    }

    /// An index of something with so many members, at least one.
    pub fn index(&mut self, members: usize) -> usize {
        usize::try_from(self.below(u64::try_from(members).expect("a length"))).expect("an index")
    }

    /// Whether it happens that happens so many times in 100.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them; at least one is there.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// One of them, each as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, from: &[(u64, T)]) -> T {
        let mut left = self.below(from.iter().map(|(weight, _)| weight).sum());
        for (weight, what) in from {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *what,
            }
        }
        from[0].1
    }

    /// 128 bits.
    pub fn bits(&mut self) -> u128 {
        u128::from(self.0.next_u64()) << 64 | u128::from(self.0.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_throws_the_same_numbers_and_another_seed_others() {
        let throws = |seed| {
            let mut dice = Dice::new(seed);
            (dice.bits(), dice.between(-3, 3), dice.index(10))
        };
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
    }

    #[test]
    fn what_weighs_nothing_never_happens() {
        let mut dice = Dice::new(1);
        let thrown: Vec<char> = (0..200).map(|_| dice.weighted(&[(1, 'a'), (0, 'b'), (3, 'c')])).collect();
        assert!(thrown.contains(&'a') && thrown.contains(&'c') && !thrown.contains(&'b'), "{thrown:?}");
    }
}
