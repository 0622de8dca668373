//! The models' own test: gort's sources broken on purpose, one place at a time, and the models that must notice.
//!
//! Each is a weaker ordering, a fence or lock that is gone, or two steps the wrong way round. All but a few compile to the same
//! instructions on x86-64, or go wrong there once in a great many runs.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, fs};

/// The beginning of the names of the models that must notice, a file, what it says, and what it is made to say.
const WEAKENED: &[(&str, &str, &str, &str)] = &[
    (
        "once",
        "sync/once.rs",
        "self.0.store(word, Release)",
        "self.0.store(word, core::sync::atomic::Ordering::Relaxed)",
    ),
    (
        "once",
        "sync/once.rs",
        "self.0.load(Acquire) == DONE",
        "self.0.load(core::sync::atomic::Ordering::Relaxed) == DONE",
    ),
    (
        "once",
        "sync/once.rs",
        "compare_exchange(seen, mine, Acquire, Acquire)",
        "compare_exchange(seen, mine, core::sync::atomic::Ordering::Relaxed, Acquire)",
    ),
    ("once", "sync/once.rs", "futex::wake(&self.0, i32::MAX as u32);", ""),
    ("once", "sync/once.rs", "RUNNING_IN + process_id()", "RUNNING_IN + 0 * process_id()"),
    ("mutex", "sync/mutex.rs", "swap(FREE, Release)", "swap(FREE, Relaxed)"),
    (
        "mutex",
        "sync/mutex.rs",
        "if self.state.compare_exchange(FREE, LOCKED, Acquire, Relaxed).is_err()",
        "if self.state.compare_exchange(FREE, LOCKED, Relaxed, Relaxed).is_err()",
    ),
    (
        "mutex",
        "sync/mutex.rs",
        "&& self.state.compare_exchange(FREE, LOCKED, Acquire, Relaxed).is_ok()",
        "&& self.state.compare_exchange(FREE, LOCKED, Relaxed, Relaxed).is_ok()",
    ),
    ("mutex", "sync/mutex.rs", "swap(SLEEPERS, Acquire)", "swap(SLEEPERS, Relaxed)"),
    ("mutex", "sync/mutex.rs", "swap(SLEEPERS, Acquire)", "swap(LOCKED, Acquire)"),
    ("mutex", "sync/mutex.rs", "futex::wake(&self.state, 1);", ""),
    ("biased", "sync/biased.rs", "        light_fence();\n", ""),
    (
        "biased",
        "sync/biased.rs",
        "self.busy.store(true, Relaxed);\n        // Pairs with `fence_all`, called between `claim` and `unclaim_after`.\n        light_fence();",
        "light_fence();\n        self.busy.store(true, Relaxed);",
    ),
    ("biased", "sync/biased.rs", "!self.busy.load(Acquire)", "!self.busy.load(Relaxed)"),
    ("biased", "sync/biased.rs", "self.claimed.load(Acquire)", "self.claimed.load(Relaxed)"),
    ("biased", "sync/biased.rs", "self.claimed.store(false, Release)", "self.claimed.store(false, Relaxed)"),
    ("biased", "sync/biased.rs", "self.busy.store(false, Release)", "self.busy.store(false, Relaxed)"),
    ("bin", "mcache/counts.rs", "        fence(Release);\n", ""),
    ("bin", "mcache/counts.rs", "                fence(Acquire);\n", ""),
    ("bin", "mcache/counts.rs", "store(v.wrapping_add(2), Release)", "store(v.wrapping_add(2), Relaxed)"),
    ("bin", "mcache/counts.rs", "let before = self.0.load(Acquire)", "let before = self.0.load(Relaxed)"),
    ("bin", "mcache/counts.rs", "if before.is_multiple_of(2)", "if true"),
    (
        "bin",
        "mcache/bin.rs",
        "self.hdr.store(hdr, Relaxed);",
        "self.hdr.store(hdr - ALLOCATION, Relaxed);\n        self.hdr.store(hdr, Relaxed);",
    ),
    (
        "central",
        "mcentral/mod.rs",
        "let mut got = state.take_transferred(out);",
        "let held = state.held;\n        drop(state);\n        let mut state = self.state.lock();\n        state.held = held;\n        let mut got = state.take_transferred(out);",
    ),
    (
        "central",
        "mcentral/mod.rs",
        "            if n == 0 {\n                break;\n            }\n            left -= n;",
        "            left -= n;",
    ),
    ("threads", "mcache/list.rs", "ALL.try_update(Release, Relaxed", "ALL.try_update(Relaxed, Relaxed"),
    ("threads", "mcache/list.rs", "NonNull::new(ALL.load(Acquire))", "NonNull::new(ALL.load(Relaxed))"),
    (
        "threads",
        "mcache/list.rs",
        "idle.0 = mcache.next_idle.get();\n            drop(idle);",
        "drop(idle);\n            IDLE.lock().0 = mcache.next_idle.get();",
    ),
    ("threads", "mcache/list.rs", "let _guard = FALLBACK_LOCK.lock();", ""),
    ("threads", "mcache/list.rs", "mcache.flush_own(heap);", ""),
    (
        "large",
        "mcache/mod.rs",
        "self.count_large(None, Some(bytes));",
        "self.count_large(None, Some(span.bytes()));",
    ),
    (
        "large",
        "mcache/list.rs",
        "if SWEEPING.compare_exchange(false, true, Acquire, Relaxed).is_err() {",
        "if false {",
    ),
    (
        "large",
        "mcache/list.rs",
        "SWEEPING.compare_exchange(false, true, Acquire, Relaxed)",
        "SWEEPING.compare_exchange(false, true, Relaxed, Relaxed)",
    ),
    ("large", "mcache/list.rs", "SWEEPING.store(false, Release);", "SWEEPING.store(false, Relaxed);"),
    (
        "large",
        "mcache/slow.rs",
        "self.gate.own(|| self.large.is_asked(n)) != Some(true)",
        "!self.large.is_asked(n)",
    ),
    ("large", "mcache/large.rs", "let ok = self.draw(span.npages(), in_use);", "let ok = true;"),
    ("large", "mcache/slow.rs", "Some(rest) => heap.free_span(rest, Some(self.spans())),", "Some(_) => {}"),
    (
        "large",
        "mcache/large.rs",
        "self.word.compare_exchange(word, 0, AcqRel, Relaxed)",
        "self.word.compare_exchange(word, 0, Relaxed, Relaxed)",
    ),
    (
        "large",
        "mcache/large.rs",
        "self.word.compare_exchange(0, word, AcqRel, Relaxed)",
        "self.word.compare_exchange(0, word, Relaxed, Relaxed)",
    ),
    (
        "pages_map",
        "page/map.rs",
        "w.store(word, Release)",
        "w.store(word, core::sync::atomic::Ordering::Relaxed)",
    ),
    (
        "pages_map",
        "page/map.rs",
        "Entry::unpack(self.words.get(page.0)?.load(Acquire))",
        "Entry::unpack(self.words.get(page.0)?.load(core::sync::atomic::Ordering::Relaxed))",
    ),
    (
        "pages",
        "heap/mheap.rs",
        "        self.free_pages_of(first);\n        self.free_headers(first, cache);",
        "        self.free_headers(first, cache);\n        self.free_pages_of(first);",
    ),
    (
        "pages",
        "heap/mheap.rs",
        "        each().for_each(|span| {\n            self.unmap_span(span);\n",
        "        self.free_pages_of(first);\n        each().for_each(|span| {\n            self.unmap_span(span);\n",
    ),
    ("pages_of_groups", "heap/shards.rs", "self.shards.owner.at(lent.number()).store(0, Relaxed);", ""),
    ("pages_of_groups", "heap/shards.rs", "self.take_back(refused);", "let _ = refused;"),
    (
        "huge",
        "heap/large.rs",
        "drop(table);\n        Some(Bytes(h.bytes))",
        "drop(table);\n        self.huge.lock().remove(p.addr());\n        Some(Bytes(h.bytes))",
    ),
];

/// How long each model may take. One that takes longer has not noticed: what it would have said is not known.
const SECONDS: &str = "60";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folders can be made");
    for entry in fs::read_dir(from).expect("the sources are there") {
        let entry = entry.expect("the folder can be read");
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == "target" {
        } else if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("files can be written");
        }
    }
}

/// The models that noticed, with what they said; and those that did not come to an end.
fn verdict(said: &str) -> (Vec<String>, Vec<&str>) {
    let (mut noticed, mut not_done) = (Vec::new(), Vec::new());
    let mut lines = said.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("model ").and_then(|l| l.split(' ').next()) else { continue };
        if line.contains("... NOT DONE") {
            not_done.push(name);
        } else if line.contains("... FAILED") {
            // A panic's message is on the line behind its place; gort's own begins with its name.
            let mut after = lines.clone().take_while(|l| !l.starts_with("model "));
            let why = after.find(|l| l.contains("panicked at") || l.starts_with("gort")).unwrap_or_default();
            let why = if why.starts_with("gort") { why } else { after.next().unwrap_or(why) };
            noticed.push(format!("{name} ({why})"));
        }
    }
    (noticed, not_done)
}

/// Fails if a place that is to be broken is not there any more, or there twice.
pub(crate) fn check_places() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src");
    for (_, file, from, _) in WEAKENED {
        let text = fs::read_to_string(src.join(file)).expect("the file is there");
        assert_eq!(text.matches(from).count(), 1, "src/{file} has this once, to be broken: {from}");
    }
}

/// Builds the models of each, and runs those that must notice. `wanted`: the numbers of some, or the beginnings of their models' names.
pub(crate) fn main(wanted: &[String]) -> ExitCode {
    check_places();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let house = here.join("target/weakened");
    let _ = fs::remove_dir_all(&house);
    copy(&here.join("../../src"), &house.join("src"));
    copy(here, &house.join("tests/models"));
    let (mut noticed, mut missed) = (0, 0);
    let chosen = |n: usize, models: &str| {
        let is = |w: &String| w.parse().map_or_else(|_| models.starts_with(w.as_str()), |w: usize| w == n);
        wanted.is_empty() || wanted.iter().any(is)
    };
    for (n, (models, file, from, to)) in (1..).zip(WEAKENED).filter(|&(n, w)| chosen(n, w.0)) {
        let start = Instant::now();
        let path = house.join("src").join(file);
        let good = fs::read_to_string(&path).expect("the file is there");
        fs::write(&path, good.replace(from, to)).expect("files can be written");
        let cargo = |args: &[&str]| {
            let mut command = Command::new("cargo");
            command
                .args(args)
                .args(["--release", "--quiet", "--manifest-path"])
                .arg(house.join("tests/models/Cargo.toml"));
            command
                .args(["--target-dir"])
                .arg(here.join("target/of_weakened"))
                .env("RUSTFLAGS", "-Awarnings")
                .env("CARGO_INCREMENTAL", "1")
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
            command
        };
        assert!(cargo(&["build"]).status().expect("cargo runs").success(), "it compiles: {to}");
        let out = cargo(&["run"]).args(["--", "--seconds", SECONDS, models]).output().expect("cargo runs");
        let said = String::from_utf8_lossy(&out.stdout);
        let (by, not_done) = verdict(&said);
        *if by.is_empty() { &mut missed } else { &mut noticed } += 1;
        let first = from.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
        let verdict = if by.is_empty() { "MISSED".into() } else { by.join(", ") };
        println!("{n:2} {file}: {first} ... {verdict}, {:.0} s", start.elapsed().as_secs_f64());
        if !not_done.is_empty() {
            println!("   not done: {}", not_done.join(", "));
        }
        fs::write(&path, good).expect("files can be written");
    }
    println!("{noticed} noticed, {missed} missed");
    ExitCode::from(u8::from(missed > 0 || noticed == 0))
}
