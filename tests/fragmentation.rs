//! What the size classes cost a real program: the bytes it requested against the bytes it was given.
//!
//! The job runs in two child processes. In the first dhat carries it and knows every live byte that was requested; in the
//! second gort carries it and counts what its classes made of the same requests, while a ledger in front of it adds up what
//! the size-class table says they should be. So three counts that share no code are held against each other.
//!
//! ```text
//! cargo test --release --test fragmentation -- --nocapture
//! ```
#![expect(unsafe_code, reason = "a global allocator that hands every call on to one of two others")]

use gort_size_classes::{class_for, table};
use serde_json::{Map, Value};
use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering::Relaxed};
use std::{env, fs, hint};

/// The table's bound: its classes lie about an eighth apart. Single tiny objects cost more, being rounded to 8 and then to 16
/// bytes; whole programs do not consist of them.
const BOUND: f64 = 0.125;

/// Names the allocator of a child process: `dhat`, or anything else for gort.
const CHILD: &std::ffi::CStr = c"GORT_TEST_CARRIER";

#[global_allocator]
static GLOBAL: Carrier = Carrier;

/// Hands every call on to the allocator that the environment names, the same one for the whole life of the process.
struct Carrier;

/// 0 until the first allocation of the process, then 1 for gort and 2 for dhat.
static CHOICE: AtomicU8 = AtomicU8::new(0);

fn is_dhat() -> bool {
    if CHOICE.load(Relaxed) == 0 {
        // SAFETY: the name is a C string; the first allocation comes before `main`, when nothing changes the environment.
        let name = unsafe { libc::getenv(CHILD.as_ptr()) };
        // SAFETY: `getenv` returned a C string, and the `&&` has ruled out null.
        let dhat = !name.is_null() && unsafe { *name } == b'd' as libc::c_char;
        CHOICE.store(1 + u8::from(dhat), Relaxed);
    }
    CHOICE.load(Relaxed) == 2
}

/// What is alive in gort's process: objects, requested bytes, and those bytes rounded as the table says.
#[derive(Default)]
struct Ledger {
    objects: AtomicI64,
    requested: AtomicI64,
    rounded: AtomicI64,
}

static LEDGER: Ledger =
    Ledger { objects: AtomicI64::new(0), requested: AtomicI64::new(0), rounded: AtomicI64::new(0) };

impl Ledger {
    fn enter(&self, layout: Layout, sign: i64) {
        self.objects.fetch_add(sign, Relaxed);
        self.requested.fetch_add(sign * layout.size() as i64, Relaxed);
        self.rounded.fetch_add(sign * rounded(layout) as i64, Relaxed);
    }
}

/// The bytes that the table gives to a request; whole pages where it has no class.
fn rounded(layout: Layout) -> usize {
    match class_for(layout.size(), layout.align()) {
        Some(class) => table::CLASS_TO_SIZE[usize::from(class)] as usize,
        None => layout.size().next_multiple_of(table::PAGE_SIZE),
    }
}

// SAFETY: every method is the same method of one allocator, the same one in all calls.
unsafe impl GlobalAlloc for Carrier {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_dhat() {
            // SAFETY: the caller's obligations are this method's own.
            return unsafe { dhat::Alloc.alloc(layout) };
        }
        LEDGER.enter(layout, 1);
        // SAFETY: the caller's obligations are this method's own.
        unsafe { gort::GoAlloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_dhat() {
            // SAFETY: the caller's obligations are this method's own.
            return unsafe { dhat::Alloc.dealloc(block, layout) };
        }
        LEDGER.enter(layout, -1);
        // SAFETY: the caller's obligations are this method's own.
        unsafe { gort::GoAlloc.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if is_dhat() {
            // SAFETY: the caller's obligations are this method's own.
            return unsafe { dhat::Alloc.realloc(block, layout, new_size) };
        }
        LEDGER.enter(layout, -1);
        // SAFETY: the caller promises that the new size is valid with the old alignment.
        LEDGER.enter(unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) }, 1);
        // SAFETY: the caller's obligations are this method's own.
        unsafe { gort::GoAlloc.realloc(block, layout, new_size) }
    }
}

/// What one count says is alive.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Count {
    objects: i64,
    /// Requested bytes to dhat, requested or rounded to the ledger, rounded to gort.
    bytes: i64,
}

impl Count {
    fn since(self, before: Count) -> Count {
        Count { objects: self.objects - before.objects, bytes: self.bytes - before.bytes }
    }
}

/// The lines a child writes: for each job, what each counter says it holds.
type Counts = BTreeMap<(String, String), Count>;

/// Each counter of this process by name. Asking makes no object.
fn now() -> [Option<(&'static str, Count)>; 3] {
    if is_dhat() {
        let stats = dhat::HeapStats::get();
        let live = Count { objects: stats.curr_blocks as i64, bytes: stats.curr_bytes as i64 };
        return [Some(("dhat", live)), None, None];
    }
    let stats = gort::stats();
    let objects = LEDGER.objects.load(Relaxed);
    [
        Some(("requested", Count { objects, bytes: LEDGER.requested.load(Relaxed) })),
        Some(("rounded", Count { objects, bytes: LEDGER.rounded.load(Relaxed) })),
        Some(("gort", Count { objects: stats.heap_objects as i64, bytes: stats.heap_alloc as i64 })),
    ]
}

/// Does `job` and prints what its result holds.
fn account<R>(name: &str, job: impl FnOnce() -> R) {
    let before = now();
    let held = hint::black_box(job());
    let after = now();
    for ((who, before), (_, after)) in before.into_iter().flatten().zip(after.into_iter().flatten()) {
        let grown = after.since(before);
        println!("\ncount {name} {who} {} {}", grown.objects, grown.bytes);
    }
    drop(held);
}

#[test]
fn internal_fragmentation_stays_within_the_tables_bound() {
    if env::var_os(CHILD.to_str().expect("a plain name")).is_some() {
        return jobs();
    }
    let (dhat, gort) = (child("dhat"), child("gort"));
    let jobs: Vec<&String> = dhat.keys().map(|(job, _)| job).collect();
    assert_eq!(jobs, ["document", "sources", "tables"]);
    for job in jobs {
        let of = |counts: &Counts, who: &str| counts[&(job.clone(), who.to_owned())];
        let (requested, given) = (of(&dhat, "dhat"), of(&gort, "gort"));
        assert_eq!(requested, of(&gort, "requested"), "{job}: dhat and the ledger saw other requests");
        assert_eq!(given, of(&gort, "rounded"), "{job}: gort's count and the table's rounding");

        let cost = given.bytes as f64 / requested.bytes as f64 - 1.0;
        println!(
            "{job}: {} objects, {} bytes requested, {} given, internal fragmentation {:.2} %",
            requested.objects,
            requested.bytes,
            given.bytes,
            100.0 * cost
        );
        assert!((0.0..=BOUND).contains(&cost), "{job}: {given:?} for {requested:?}");
    }
}

/// Runs this same test under the carrier of that name and reads what it counted.
fn child(carrier: &str) -> Counts {
    let name = "internal_fragmentation_stays_within_the_tables_bound";
    let output = Command::new(env::current_exe().expect("a test binary knows its path"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD.to_str().expect("a plain name"), carrier)
        .output()
        .expect("the child process starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{carrier}: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said.lines().filter_map(|line| line.strip_prefix("count ")).map(count).collect()
}

fn count(line: &str) -> ((String, String), Count) {
    let parts: Vec<&str> = line.split(' ').collect();
    let [job, who, objects, bytes] = parts[..] else { panic!("{line:?} is not a count") };
    let number = |s: &str| s.parse().unwrap_or_else(|e| panic!("{line:?}: {e}"));
    ((job.to_owned(), who.to_owned()), Count { objects: number(objects), bytes: number(bytes) })
}

/// The jobs: all of them deterministic and on one thread, so that two processes ask for exactly the same.
fn jobs() {
    // The first line of output makes the buffer it goes through.
    println!();
    static PROFILER: OnceLock<dhat::Profiler> = OnceLock::new();
    if is_dhat() {
        PROFILER.get_or_init(|| dhat::Profiler::builder().testing().trim_backtraces(Some(4)).build());
    }
    let text = document(if cfg!(debug_assertions) { 1_000 } else { 4_000 });
    account("document", || serde_json::from_str::<Value>(&text).expect("it is JSON"));
    let sources = sources();
    account("sources", || {
        sources.iter().map(|s| syn::parse_file(s).expect("it is Rust")).collect::<Vec<_>>()
    });
    account("tables", || (0..300).map(|i| vec![0_u8; i * i]).collect::<Vec<_>>());
}

/// A JSON text of lists, objects, numbers and strings of many lengths.
fn document(records: usize) -> String {
    let list: Vec<Value> = (0..records)
        .map(|i| {
            let mut record = Map::new();
            record.insert("id".into(), i.into());
            record.insert("name".into(), "name ".repeat(1 + i % 13).into());
            record.insert("note".into(), "n".repeat(i * 7 % 700).into());
            record.insert("tags".into(), (0..i % 9).map(|t| format!("tag {t}")).collect());
            record.insert("marks".into(), (0..i % 31).map(|m| (m * i) as f64 / 4.0).collect());
            record.into()
        })
        .collect();
    Value::Array(list).to_string()
}

/// The size-class crate's own sources.
fn sources() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/size_classes/src");
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(|e| e.expect("its entry").path()).collect();
    paths.sort();
    paths.iter().map(|p| fs::read_to_string(p).expect("a source can be read")).collect()
}
