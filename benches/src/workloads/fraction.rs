//! The continued fraction of a square root, in numbers of any length.

use super::{Workload, bignum::Natural};
use crate::job::{Job, Outcome, Sum, parameter};

pub(super) const ROWS: &[Workload] = &[Workload {
    name: "bignum",
    group: super::PROGRAMS,
    about: "the expansion of a square root by which continued fractions factor numbers, each number on the heap",
    published: "cfrac",
    threads: 1,
    parameters: &[
        parameter("terms", 250_000, "how many terms of the fraction"),
        parameter("bits", 140, "length of the number whose root is taken"),
    ],
    run: bignum,
}];

/// The state of the expansion of the root of `n`, after Lehmer and Powers.
struct Expansion {
    n: Natural,
    root: Natural,
    /// What is under the root's fraction bar.
    q: Natural,
    /// What is added to the root above it.
    p: Natural,
    /// The numerators of this convergent and of the one before, modulo `n`.
    a: [Natural; 2],
}

impl Expansion {
    fn new(n: Natural) -> Self {
        let root = n.root();
        let one = Natural::from_word(1);
        Expansion { root: root.clone(), p: root.clone(), q: n.minus(&root.times(&root)), a: [root, one], n }
    }

    fn step(&mut self) {
        let term = self.root.plus(&self.p).divided_by(&self.q).0;
        let p = term.times(&self.q).minus(&self.p);
        self.q = self.n.minus(&p.times(&p)).divided_by(&self.q).0;
        self.p = p;
        let next = term.times(&self.a[0]).plus(&self.a[1]).divided_by(&self.n).1;
        self.a = [next, std::mem::replace(&mut self.a[0], Natural::from_word(0))];
    }
}

const PRIMES: [u32; 15] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47];

/// Short-lived objects of few words, hardly any of them alive at a time. Each `q` is divided by small primes, which is what a
/// factorisation collects.
fn bignum(job: &Job) -> Outcome {
    let (terms, bits) = (job.times("terms"), job.get("bits"));
    let mut random = job.random(0);
    let word = Natural::from_word(1 << 32);
    let mut n = Natural::from_word(random.word() | 1 << 63 | 1);
    while (n.bits() as usize) < bits {
        n = n.times(&word).plus(&Natural::from_word(random.word() >> 32 | 1));
    }
    job.measure(terms, || {
        let mut sum = Sum::default();
        let mut expansion = Expansion::new(n);
        for _ in 0..terms {
            expansion.step();
            let mut q = expansion.q.clone();
            if q.is_zero() {
                break;
            }
            for prime in PRIMES {
                while q.rest_of(prime) == 0 {
                    q = q.divided_by(&Natural::from_word(prime.into())).0;
                }
            }
            q.digits().iter().chain(expansion.a[0].digits()).for_each(|digit| sum.add((*digit).into()));
        }
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The square of each numerator is plus or minus the next `q`, modulo `n`.
    #[test]
    fn numerators_squared_are_the_denominators() {
        let n = Natural::from_word(0xffff_ffff_ffff_ffc5).times(&Natural::from_word(0xffff_fffb));
        let mut expansion = Expansion::new(n.clone());
        for i in 0..500 {
            let square = expansion.a[0].times(&expansion.a[0]).divided_by(&n).1;
            let q = if i % 2 == 0 { n.minus(&expansion.q) } else { expansion.q.clone() };
            assert_eq!(square, q, "term {i}");
            expansion.step();
        }
    }
}
