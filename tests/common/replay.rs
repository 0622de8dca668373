//! What the stable toolchain does with a fuzz target: runs the inputs that are committed for it, and some that are made from them.

extern crate std;

use std::eprintln;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::vec::Vec;

/// A longer input only makes a longer program.
const LONGEST: usize = 400;

/// Runs `body` on all inputs in `tests/fuzz/corpus/<target>`, then on `count` that are made from them.
pub(crate) fn replay(target: &str, count: usize, body: fn(&[u8])) {
    corpus(target).iter().for_each(|input| body(input));
    fuzz(target, count, body);
}

/// Runs `body` on `count` inputs that are made from those of the corpus with a seed: of the clock, or `GORT_FUZZ_SEED`. It is printed first, so
/// that what ends the process can be repeated too.
pub(crate) fn fuzz(target: &str, count: usize, body: fn(&[u8])) {
    let inputs = corpus(target);
    let seed = match std::env::var("GORT_FUZZ_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|e| panic!("GORT_FUZZ_SEED={text:?}: {e}")),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |t| t.as_nanos() as u64),
    };
    eprintln!(
        "fuzzing {target}: {count} inputs from {} of the corpus, with GORT_FUZZ_SEED={seed}",
        inputs.len()
    );
    let mut numbers = Numbers(seed);
    for _ in 0..count {
        body(&numbers.input(&inputs));
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    // From the crate at the top, and from those one and two folders below it.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder =
        here.ancestors().take(3).map(|at| at.join("tests/fuzz/corpus").join(target)).find(|at| at.is_dir());
    let folder = folder.unwrap_or_else(|| panic!("there is no tests/fuzz/corpus/{target}"));
    let entries = fs::read_dir(&folder).expect("it is a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it is readable").path()).collect();
    files.sort();
    assert!(files.len() >= 10, "only {} inputs in {}", files.len(), folder.display());
    files.iter().map(|path| fs::read(path).expect("it was listed")).collect()
}

/// A splitmix64 generator.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// An input of the corpus, changed; parts of two; or nothing but random bytes.
    fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        if self.below(8) == 0 {
            return (0..self.below(LONGEST)).map(|_| self.next() as u8).collect();
        }
        let mut input = corpus[self.below(corpus.len())].clone();
        if self.below(2) == 0 {
            let other = &corpus[self.below(corpus.len())];
            input.truncate(self.below(input.len() + 1));
            input.extend(&other[self.below(other.len() + 1)..]);
        }
        for _ in 0..self.below(8) {
            let at = self.below(input.len() + 1);
            match self.below(4) {
                0 => input.insert(at, self.next() as u8),
                1 if at < input.len() => drop(input.remove(at)),
                2 if at < input.len() => input[at] ^= 1 << self.below(8),
                _ if at < input.len() => input[at] = self.next() as u8,
                _ => {}
            }
        }
        input.truncate(LONGEST);
        input
    }
}
