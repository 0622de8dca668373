//! What programs do: `Box`, `Vec` and collections through the process's global allocator. One file for two processes.

use divan::{Bencher, black_box, counter::ItemsCount};
use gort_bench::Random;
use std::collections::BTreeMap;

#[divan::bench(consts = [8, 64, 512, 4096])]
fn ping_pong<const SIZE: usize>(bencher: Bencher) {
    bencher.bench_local(|| {
        black_box(Box::<[u8; SIZE]>::new_uninit());
    });
}

#[divan::bench]
fn random_over_1000(bencher: Bencher) {
    let mut random = Random::new(1);
    let mut live: Vec<_> = (0..1_000).map(|_| Box::<[u8]>::new_uninit_slice(16)).collect();
    bencher.bench_local(|| {
        let (at, more) = random.two(1_000, 497);
        live[at] = Box::new_uninit_slice(16 + more);
    });
}

#[divan::bench(args = [64 << 10, 1 << 20])]
fn large(bencher: Bencher, size: usize) {
    bencher.bench_local(|| {
        black_box(Box::<[u8]>::new_uninit_slice(size));
    });
}

#[divan::bench(args = [100, 10_000, 1_000_000])]
fn push(bencher: Bencher, elements: u64) {
    bencher.counter(ItemsCount::new(elements)).bench_local(|| {
        let mut list = Vec::new();
        (0..elements).for_each(|i| list.push(black_box(i)));
        list
    });
}

#[divan::bench(args = [64 << 10, 16 << 20])]
fn vec_of_zeros(bencher: Bencher, size: usize) {
    bencher.bench_local(|| {
        black_box(vec![0_u8; size]);
    });
}

#[divan::bench]
fn strings_in_a_map(bencher: Bencher) {
    let mut random = Random::new(3);
    bencher.counter(ItemsCount::new(1_000_usize)).bench_local(|| {
        let mut map = BTreeMap::new();
        for _ in 0..1_000 {
            let (key, more) = random.two(500, 40);
            map.insert(key, "x".repeat(more));
        }
        map
    });
}
