//! Strings in maps, and an index of a text.

use super::Workload;
use crate::Random;
use crate::job::{Job, Outcome, Sum, parameter};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};

/// Hashes alike in every run.
type Hash = BuildHasherDefault<DefaultHasher>;

pub(super) const ROWS: &[Workload] = &[
    Workload {
        name: "string-map",
        group: super::PROGRAMS,
        about: "a hash map from strings to vectors of strings: entries made, extended, looked up and removed at random",
        published: "redis (mimalloc-bench)",
        threads: 1,
        parameters: &[
            parameter("operations", 800_000, "how many commands"),
            parameter("keys", 50_000, "how many different keys there are"),
        ],
        run: string_map,
    },
    Workload {
        name: "string-btree",
        group: super::PROGRAMS,
        about: "a B-tree from strings to strings: entries made, replaced, read in order and removed at random",
        published: "rocksdb (mimalloc-bench)",
        threads: 1,
        parameters: &[
            parameter("operations", 800_000, "how many commands"),
            parameter("keys", 50_000, "how many different keys there are"),
        ],
        run: string_btree,
    },
    Workload {
        name: "cache",
        group: super::PROGRAMS,
        about: "a cache of pages of 100 B to 8 KB, of which the oldest go when there are too many bytes",
        published: "redis, used as a cache",
        threads: 1,
        parameters: &[
            parameter("operations", 500_000, "how many requests"),
            parameter("bytes", 16 << 20, "how much the cache holds"),
            parameter("keys", 30_000, "how many different pages there are"),
        ],
        run: cache,
    },
    Workload {
        name: "text-index",
        group: super::PROGRAMS,
        about: "an index of a real text: its words and pairs of words, with where they are, made, asked and dropped",
        published: "gs, espresso and other readers of text (mimalloc-bench)",
        threads: 1,
        parameters: &[
            parameter("rounds", 60, "how often the index is made"),
            parameter("queries", 2000, "how many questions it is asked"),
        ],
        run: text_index,
    },
];

fn key(at: usize) -> String {
    format!("user:{}:{at}", at % 97)
}

/// A store of lists under names, as a program keeps its state.
fn string_map(job: &Job) -> Outcome {
    let (operations, keys) = (job.times("operations"), job.get("keys"));
    let mut random = job.random(0);
    job.measure(operations, || {
        let (mut map, mut sum) = (HashMap::<String, Vec<String>, Hash>::default(), Sum::default());
        for i in 0..operations {
            let (at, what) = random.two(keys as u32, 8);
            let key = key(at);
            match what {
                0 => sum.add(map.remove(&key).map_or(0, |list| list.iter().map(|s| s.len() as u64).sum())),
                1..5 => {
                    map.entry(key).or_default().push(format!("value {i} {}", "-".repeat(i as usize % 40)))
                }
                _ => sum.add(map.get(&key).and_then(|list| list.last()).map_or(1, |last| last.len() as u64)),
            }
        }
        map.values().flatten().for_each(|text| sum.text(text));
        sum
    })
}

/// A store that is read in order: nodes of many sizes that split and merge, beside the strings.
fn string_btree(job: &Job) -> Outcome {
    let (operations, keys) = (job.times("operations"), job.get("keys"));
    let mut random = job.random(0);
    job.measure(operations, || {
        let (mut map, mut sum) = (BTreeMap::new(), Sum::default());
        for i in 0..operations {
            let (at, what) = random.two(keys as u32, 8);
            let key = key(at);
            match what {
                0..2 => sum.add(map.remove(&key).map_or(0, |value: String| value.len() as u64)),
                2..6 => sum.add(map.insert(key, format!("{i:>width$}", width = at % 60)).map_or(1, |_| i)),
                6 => map
                    .range(key..)
                    .take(10)
                    .for_each(|(key, value)| sum.add((key.len() * value.len()) as u64)),
                _ => sum.add(map.get(&key).map_or(2, |value| value.len() as u64)),
            }
        }
        map.iter().for_each(|(key, value)| sum.add((key.len() ^ value.len()) as u64));
        sum
    })
}

struct Page {
    body: Vec<u8>,
    asked: u64,
}

/// Objects that live until as many bytes have come after them: first in, first out over the whole heap, with some asked for
/// again and therefore longer-lived.
fn cache(job: &Job) -> Outcome {
    let (operations, bytes, keys) = (job.times("operations"), job.get("bytes"), job.get("keys"));
    let mut random = job.random(0);
    let popular = |random: &mut Random| random.below(keys).min(random.below(keys));
    job.measure(operations, || {
        let (mut pages, mut sum) = (HashMap::<String, Box<Page>, Hash>::default(), Sum::default());
        let (mut by_age, mut held) = (BTreeMap::<u64, String>::new(), 0);
        for now in 0..operations {
            let key = key(popular(&mut random));
            if let Some(page) = pages.get_mut(&key) {
                by_age.remove(&page.asked);
                page.asked = now;
                sum.add(u64::from(page.body[0]) + page.body.len() as u64);
            } else {
                let body = vec![now as u8; random.skewed(100..=8000)];
                held += body.len();
                pages.insert(key.clone(), Box::new(Page { body, asked: now }));
            }
            by_age.insert(now, key);
            while held > bytes
                && let Some((_, oldest)) = by_age.pop_first()
                && let Some(page) = pages.remove(&oldest)
            {
                held -= page.body.len();
                sum.add(page.asked);
            }
        }
        sum
    })
}

/// English and Rust, as people write them; not what is edited while a comparison builds its allocators one after the other.
const TEXT: [&str; 8] = [
    include_str!("../../../LICENSE-APACHE"),
    include_str!("../../../LICENSE-MIT"),
    include_str!("fraction.rs"),
    include_str!("json.rs"),
    include_str!("passing.rs"),
    include_str!("phases.rs"),
    include_str!("random.rs"),
    include_str!("trees.rs"),
];

#[derive(Default)]
struct Entry {
    /// Line and word of a line.
    places: Vec<(u32, u32)>,
    /// The words that came next, and how often.
    next: BTreeMap<String, u32>,
}

fn words(line: &str) -> impl Iterator<Item = String> {
    line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// What compilers, search engines and scripts do: many small strings, few of them new.
fn text_index(job: &Job) -> Outcome {
    let (rounds, queries) = (job.times("rounds"), job.get("queries"));
    let lines: Vec<&str> = TEXT.iter().flat_map(|text| text.lines()).collect();
    let count: usize = lines.iter().map(|line| words(line).count()).sum();
    let mut random = job.random(0);
    job.measure(rounds * count as u64, || {
        let mut sum = Sum::default();
        for _ in 0..rounds {
            let mut index = HashMap::<String, Entry, Hash>::default();
            for (number, line) in lines.iter().enumerate() {
                let words: Vec<String> = words(line).collect();
                for (at, word) in words.iter().enumerate() {
                    let entry = index.entry(word.clone()).or_default();
                    entry.places.push((number as u32, at as u32));
                    if let Some(next) = words.get(at + 1) {
                        *entry.next.entry(next.clone()).or_default() += 1;
                    }
                }
            }
            for _ in 0..queries {
                let asked: Vec<String> = words(lines[random.below(lines.len())]).collect();
                for entry in asked.iter().filter_map(|word| index.get(word)) {
                    sum.add(entry.places.len() as u64);
                    entry
                        .next
                        .iter()
                        .for_each(|(word, times)| sum.add(word.len() as u64 * u64::from(*times)));
                }
            }
        }
        sum
    })
}
