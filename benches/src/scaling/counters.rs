//! What a program's report says of its locks.

use super::model::Lock;
use serde::Deserialize;
use std::path::Path;

/// What a visit holds each kind of lock for, in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Holds {
    pub(super) central: f64,
    pub(super) page_heap: f64,
    pub(super) metadata: f64,
}

/// Locks of each kind that threads share out among themselves.
#[derive(Clone, Debug)]
pub(super) struct Shards {
    pub(super) central: usize,
    pub(super) page_heap: usize,
}

/// Threads that go to one page heap.
const GROUP: usize = 8;

/// The part of a report that is of use here.
#[derive(Deserialize)]
pub(super) struct Counters {
    contention: Contention,
    by_size: Vec<Row>,
}

#[derive(Deserialize)]
struct Contention {
    operations: u64,
    page_heap: Taken,
    metadata: Taken,
}

#[derive(Deserialize)]
struct Row {
    size: u64,
    central: Central,
}

#[derive(Deserialize)]
struct Central {
    lock: Taken,
}

#[derive(Deserialize)]
struct Taken {
    taken: u64,
}

impl Counters {
    /// Reads a report; the error is one line.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        Self::parse(&text).map_err(|why| format!("{}: {why}", file.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let counters: Self =
            serde_json::from_str(text).map_err(|e| format!("not a report of GORT_STATS_JSON: {e}"))?;
        if counters.contention.operations == 0 {
            return Err("the program allocated nothing".to_owned());
        }
        Ok(counters)
    }

    /// The program's locks. With `one_class`, as if all of its objects had the same size class.
    pub(super) fn locks(&self, holds: &Holds, shards: &Shards, one_class: bool) -> Vec<Lock> {
        let lock = |name: String, taken: u64, hold: f64, shards: usize, group: usize| Lock {
            name,
            per_million: taken as f64 * 1e6 / self.contention.operations as f64,
            hold,
            shards,
            group,
        };
        let central = |name: String, taken| lock(name, taken, holds.central, shards.central, 1);
        let mut locks: Vec<Lock> = if one_class {
            vec![central(
                "all classes".to_owned(),
                self.by_size.iter().map(|row| row.central.lock.taken).sum(),
            )]
        } else {
            self.by_size
                .iter()
                .map(|row| central(format!("{} B", row.size), row.central.lock.taken))
                .collect()
        };
        let Contention { page_heap, metadata, .. } = &self.contention;
        locks.push(lock("page heap".to_owned(), page_heap.taken, holds.page_heap, shards.page_heap, GROUP));
        locks.push(lock("metadata".to_owned(), metadata.taken, holds.metadata, 1, 1));
        locks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"gort": "0", "mallocs": 1500000,
        "contention": {"operations": 2000000, "page_heap": {"taken": 20, "waited": 0}, "metadata": {"taken": 2}},
        "by_size": [{"size": 8, "central": {"lock": {"taken": 600}}}, {"size": 16, "central": {"lock": {"taken": 200}}}]}"#;
    const HOLDS: Holds = Holds { central: 10.0, page_heap: 20.0, metadata: 30.0 };

    #[test]
    fn rates_are_per_million_operations() {
        let counters = Counters::parse(REPORT).expect("a report");
        let seen = |one_class| -> Vec<(String, f64, f64)> {
            counters
                .locks(&HOLDS, &Shards { central: 2, page_heap: 3 }, one_class)
                .into_iter()
                .map(|l| {
                    let (shards, group) = if l.name == "page heap" {
                        (3, 8)
                    } else {
                        (1 + usize::from(l.name != "metadata"), 1)
                    };
                    assert_eq!((l.shards, l.group), (shards, group), "{}", l.name);
                    (l.name, l.per_million, l.hold)
                })
                .collect()
        };
        let heap = [("page heap".to_owned(), 10.0, 20.0), ("metadata".to_owned(), 1.0, 30.0)];
        let classes = [("8 B".to_owned(), 300.0, 10.0), ("16 B".to_owned(), 100.0, 10.0)];
        assert_eq!(seen(false), [classes.as_slice(), &heap].concat());
        assert_eq!(seen(true), [[("all classes".to_owned(), 400.0, 10.0)].as_slice(), &heap].concat());
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for text in ["", "{}", "[1]", &REPORT.replace("2000000", "0"), &REPORT.replace("page_heap", "pages")]
        {
            assert!(Counters::parse(text).is_err_and(|why| !why.contains('\n')), "{text}");
        }
    }
}
