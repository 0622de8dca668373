//! Arithmetic of natural numbers of any length, each on the heap: the numbers of [`fraction`](super::fraction).
//!
//! Every operation gives a new number, as libraries for interpreters and for algebra do.

use std::cmp::Ordering;

/// A natural number: digits of 32 bits, the lowest first, the highest not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Natural(Vec<u32>);

impl Natural {
    fn of(mut digits: Vec<u32>) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Natural(digits)
    }

    pub(super) fn from_word(word: u64) -> Self {
        Natural::of(vec![word as u32, (word >> 32) as u32])
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn digits(&self) -> &[u32] {
        &self.0
    }

    pub(super) fn bits(&self) -> u32 {
        self.0.last().map_or(0, |top| self.0.len() as u32 * 32 - top.leading_zeros())
    }

    pub(super) fn plus(&self, other: &Natural) -> Natural {
        let (long, short) = if self.0.len() < other.0.len() { (other, self) } else { (self, other) };
        let mut digits = Vec::with_capacity(long.0.len() + 1);
        let mut carry = 0;
        for (i, digit) in long.0.iter().enumerate() {
            carry += u64::from(*digit) + u64::from(short.0.get(i).copied().unwrap_or(0));
            digits.push(carry as u32);
            carry >>= 32;
        }
        digits.push(carry as u32);
        Natural::of(digits)
    }

    /// The difference; `other` is not the larger one.
    pub(super) fn minus(&self, other: &Natural) -> Natural {
        let mut digits = Vec::with_capacity(self.0.len());
        let mut borrow = 0;
        for (i, digit) in self.0.iter().enumerate() {
            let less = i64::from(*digit) - i64::from(other.0.get(i).copied().unwrap_or(0)) + borrow;
            digits.push(less as u32);
            borrow = less >> 32;
        }
        assert_eq!(borrow, 0, "a natural number is not negative");
        Natural::of(digits)
    }

    pub(super) fn times(&self, other: &Natural) -> Natural {
        let mut digits = vec![0; self.0.len() + other.0.len()];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (j, b) in other.0.iter().enumerate() {
                carry += u64::from(digits[i + j]) + u64::from(*a) * u64::from(*b);
                digits[i + j] = carry as u32;
                carry >>= 32;
            }
            digits[i + other.0.len()] = carry as u32;
        }
        Natural::of(digits)
    }

    fn shifted_left(&self, bits: u32) -> Natural {
        let mut digits = vec![0; bits as usize / 32];
        let mut carry = 0;
        for digit in &self.0 {
            carry |= u64::from(*digit) << (bits % 32);
            digits.push(carry as u32);
            carry >>= 32;
        }
        digits.push(carry as u32);
        Natural::of(digits)
    }

    fn shifted_right(&self, bits: u32) -> Natural {
        let digits = self.0.get(bits as usize / 32..).unwrap_or_default();
        let wide = |i: usize| u64::from(digits[i]) | u64::from(digits.get(i + 1).copied().unwrap_or(0)) << 32;
        Natural::of((0..digits.len()).map(|i| (wide(i) >> (bits % 32)) as u32).collect())
    }

    /// The rest of a division by one digit.
    pub(super) fn rest_of(&self, divisor: u32) -> u32 {
        self.0.iter().rev().fold(0, |rest, digit| (rest << 32 | u64::from(*digit)) % u64::from(divisor))
            as u32
    }

    fn divided_by_digit(&self, divisor: u32) -> (Natural, Natural) {
        let mut digits = vec![0; self.0.len()];
        let mut rest = 0;
        for (digit, quotient) in self.0.iter().zip(&mut digits).rev() {
            rest = rest << 32 | u64::from(*digit);
            *quotient = (rest / u64::from(divisor)) as u32;
            rest %= u64::from(divisor);
        }
        (Natural::of(digits), Natural::from_word(rest))
    }

    /// Quotient and rest, by long division: each digit is guessed from the highest ones, too high by 2 at most.
    pub(super) fn divided_by(&self, divisor: &Natural) -> (Natural, Natural) {
        if *self < *divisor {
            return (Natural(Vec::new()), self.clone());
        }
        if let [digit] = divisor.0[..] {
            return self.divided_by_digit(digit);
        }
        // The divisor's highest bit is set, so that the guesses are good.
        let shift = divisor.0[divisor.0.len() - 1].leading_zeros();
        let divisor = divisor.shifted_left(shift).0;
        let mut rest = self.shifted_left(shift).0;
        rest.resize(rest.len().max(self.0.len()) + 1, 0);
        let (len, top) = (divisor.len(), u64::from(divisor[divisor.len() - 1]));
        let mut quotient = vec![0; rest.len() - len];
        for at in (0..quotient.len()).rev() {
            let high = u64::from(rest[at + len]) << 32 | u64::from(rest[at + len - 1]);
            let mut guess = (high / top).min(u64::from(u32::MAX));
            let mut borrow = 0_i128;
            for (i, digit) in divisor.iter().enumerate() {
                let less = i128::from(rest[at + i]) - i128::from(*digit) * i128::from(guess) + borrow;
                rest[at + i] = less as u32;
                borrow = less >> 32;
            }
            let mut highest = i128::from(rest[at + len]) + borrow;
            while highest < 0 {
                guess -= 1;
                let mut carry = 0;
                for (i, digit) in divisor.iter().enumerate() {
                    carry += u64::from(rest[at + i]) + u64::from(*digit);
                    rest[at + i] = carry as u32;
                    carry >>= 32;
                }
                highest += i128::from(carry);
            }
            rest[at + len] = highest as u32;
            quotient[at] = guess as u32;
        }
        (Natural::of(quotient), Natural::of(rest).shifted_right(shift))
    }

    /// The square root, rounded down, by Newton's method.
    pub(super) fn root(&self) -> Natural {
        let mut root = Natural(vec![1]).shifted_left(self.bits().div_ceil(2));
        loop {
            let better = root.plus(&self.divided_by(&root).0).shifted_right(1);
            if better >= root {
                return root;
            }
            root = better;
        }
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    fn natural(random: &mut Random, longest: usize) -> Natural {
        // Digits of all ones and all zeroes are where guesses are wrong.
        let mut digit = || [random.word() as u32, 0, u32::MAX][random.below(3)];
        let digits = (0..longest).map(|_| digit()).collect();
        Natural::of(digits)
    }

    #[test]
    fn division_is_the_inverse_of_multiplication() {
        let mut random = Random::new(1);
        for i in 0..20_000 {
            let (a, b) = (natural(&mut random, i % 9), natural(&mut random, i % 5 + 1));
            if !b.is_zero() {
                let (quotient, rest) = a.divided_by(&b);
                assert!(rest < b, "{a:?} / {b:?}");
                assert_eq!(quotient.times(&b).plus(&rest), a, "{a:?} / {b:?}");
                let small = b.digits()[0].max(1);
                assert_eq!(
                    a.divided_by(&Natural::from_word(small.into())).1,
                    Natural::from_word(a.rest_of(small).into())
                );
            }
        }
    }

    #[test]
    fn root_is_the_largest_whose_square_fits() {
        let mut random = Random::new(2);
        for i in 0..2000 {
            let a = natural(&mut random, i % 9 + 1);
            if !a.is_zero() {
                let root = a.root();
                let next = root.plus(&Natural::from_word(1));
                assert!(root.times(&root) <= a && next.times(&next) > a, "{a:?}");
                assert_eq!(next.times(&next).minus(&root.times(&root)), root.plus(&next));
            }
        }
    }
}
