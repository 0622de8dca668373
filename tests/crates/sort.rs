//! rayon on strings: made, sorted, grouped and joined by four threads, then by one, and the two compared.

use crate::carry::{Asked, checkpoint, sized};
use crate::random::Random;
use rayon::prelude::*;
use std::collections::BTreeMap;

pub(crate) fn run() -> Asked {
    let strings = sized(225_000);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("four threads");

    let made: Vec<String> = pool.install(|| (0..strings).into_par_iter().map(line).collect());
    let bytes: usize = made.iter().map(String::len).sum();
    let now = checkpoint();
    assert!(now.heap_alloc >= bytes as u64, "{bytes} bytes of strings are alive: {now:?}");
    assert!(now.heap_objects >= strings as u64, "{strings} strings are alive: {now:?}");
    assert!(made.iter().enumerate().all(|(i, s)| *s == line(i)), "collected in order");

    let mut sorted = made.clone();
    pool.install(|| sorted.par_sort());
    let mut slowly = made.clone();
    slowly.sort();
    assert!(sorted == slowly, "sorted in parallel and in sequence");

    let grouped = pool.install(|| group(&made));
    let mut one_by_one = Groups::new();
    made.iter().for_each(|s| add(&mut one_by_one, s));
    one_by_one.values_mut().for_each(|g| g.sort());
    assert!(grouped == one_by_one, "grouped in parallel and in sequence");

    let joined = pool.install(|| sorted.par_iter().cloned().reduce(String::new, |a, b| a + &b));
    assert!(joined == slowly.concat(), "joined in parallel and in sequence");

    // Freed by threads that did not allocate them.
    pool.install(|| sorted.into_par_iter().with_max_len(1000).for_each(drop));
    Asked { objects: 4 * strings as u64, bytes: 4 * bytes as u64 }
}

type Groups = BTreeMap<String, Vec<String>>;

fn line(i: usize) -> String {
    let mut random = Random::new(i as u64);
    let (words, len) = (1 + random.below(4), 1 + random.below(12));
    (0..words).map(|_| random.word(len)).collect::<Vec<_>>().join(" ")
}

/// By the first two letters.
fn add(groups: &mut Groups, s: &str) {
    groups.entry(s.chars().take(2).collect()).or_default().push(s.to_owned());
}

fn group(strings: &[String]) -> Groups {
    let mut groups = strings
        .par_iter()
        .fold(Groups::new, |mut groups, s| {
            add(&mut groups, s);
            groups
        })
        .reduce(Groups::new, |mut a, b| {
            b.into_iter().for_each(|(key, group)| a.entry(key).or_default().extend(group));
            a
        });
    groups.par_iter_mut().for_each(|(_, group)| group.sort());
    groups
}
