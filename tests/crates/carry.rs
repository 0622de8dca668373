//! Runs a program in a child process and holds what the allocator says of it against what the program knows.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, io};

/// Set in the child processes: the test is to do its work there and then.
const CHILD: &str = "GORT_TEST_CHILD";

/// What each program runs under: no limit, and one that none of them can keep to.
const LIMITS: [Option<&str>; 2] = [None, Some("8MiB")];

/// A child that is still running after this has hung.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a program may leave behind: thread pools, lazily made tables, the test harness's own lines.
const LEFT_OVER: u64 = 2 << 20;

/// Idle bytes that may be held after a program's end: the page caches of threads of a pool that have not ended yet.
const STILL_HELD: u64 = 8 << 20;

/// What a program knows it must have asked of the allocator, a lower bound.
pub(crate) struct Asked {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

/// The `size` of a program, or a part of it where every step is checked.
pub(crate) fn sized(size: usize) -> usize {
    if cfg!(any(debug_assertions, feature = "invariants")) { size / 3 } else { size }
}

/// Runs `program`, the body of the test called `name`, in one child process for each memory limit.
pub(crate) fn carry(name: &str, program: fn() -> Asked) {
    if env::var_os(CHILD).is_some() {
        return checked(program);
    }
    for limit in LIMITS {
        let started = Instant::now();
        let mut command = Command::new(env::current_exe().expect("a test binary knows its path"));
        command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
        match limit {
            Some(limit) => command.env("GOMEMLIMIT", limit),
            None => command.env_remove("GOMEMLIMIT"),
        };
        let (status, said) = finish(&mut command).expect("the child process starts");
        let limit = limit.unwrap_or("off");
        assert!(status.is_some_and(|s| s.success()), "{name}, GOMEMLIMIT={limit}: {status:?}\n{said}");
        assert!(said.contains("1 passed"), "{name}, GOMEMLIMIT={limit}: no test of this name ran\n{said}");
        println!("{name}: GOMEMLIMIT={limit}, {:.1?}", started.elapsed());
        print!(
            "{}",
            said.lines().filter(|l| l.starts_with("gort:")).map(|l| format!("  {l}\n")).collect::<String>()
        );
    }
}

/// Runs `command` to its end and returns its status and all it wrote; no status if it had to be killed.
fn finish(command: &mut Command) -> io::Result<(Option<ExitStatus>, String)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out, err) = (thread::spawn(|| drain(out)), thread::spawn(|| drain(err)));
    let status = wait(&mut child)?;
    let said = [out, err].map(|reader| reader.join().expect("a reader does not panic")).concat();
    Ok((status, said))
}

fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn drain(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // A pipe that breaks has said all it will say.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs `program` in this process and checks the allocator's account of it.
fn checked(program: fn() -> Asked) {
    let before = settled();
    let (asked, mine) = watched(|| gort::measure(program));
    let after = settled();

    let (objects, bytes) = (after.mallocs - before.mallocs, after.total_alloc - before.total_alloc);
    println!(
        "\ngort: {objects} objects, {bytes} bytes, of them {} and {} on the program's main thread",
        mine.allocs, mine.bytes
    );
    assert!(
        objects >= asked.objects,
        "gort counted {objects} objects, the program asked for {}",
        asked.objects
    );
    assert!(bytes >= asked.bytes, "gort counted {bytes} bytes, the program asked for {}", asked.bytes);
    assert!(
        mine.allocs <= objects && mine.bytes <= bytes,
        "one thread of the program did more than all: {mine:?}"
    );
    assert!(
        after.heap_alloc <= before.heap_alloc + LEFT_OVER,
        "{} bytes in use before the program, {} after it",
        before.heap_alloc,
        after.heap_alloc
    );

    // All that is left of the program is idle now, and goes back when asked for.
    gort::free_os_memory();
    let last = settled();
    let kept = last.heap_idle - last.heap_released;
    assert!(kept <= STILL_HELD, "{kept} idle bytes are held after all was to be given back: {last:?}");
}

/// Runs `program` while another thread looks at the heap every few milliseconds: no count ever goes back, not even when a
/// thread ends and its counts change hands, and the heap is in order at any moment where checking it is built in.
fn watched<R>(program: impl FnOnce() -> R) -> R {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    thread::scope(|s| {
        s.spawn(|| {
            let mut before = gort::stats();
            while !over.load(Relaxed) {
                thread::sleep(Duration::from_millis(2));
                #[cfg(feature = "invariants")]
                gort::check_invariants();
                let now = gort::stats();
                assert!(
                    now.mallocs >= before.mallocs && now.frees >= before.frees,
                    "{before:?}, then {now:?}"
                );
                assert!(now.total_alloc >= before.total_alloc, "{before:?}, then {now:?}");
                before = now;
            }
        });
        // Also when the program panics: the watcher must end for the panic to be seen.
        let _over = Over(&over);
        program()
    })
}

/// Checks what must hold of the statistics at any moment, and the heap itself where that is built in.
pub(crate) fn checkpoint() -> gort::MemStats {
    #[cfg(feature = "invariants")]
    gort::check_invariants();
    let now = gort::stats();
    assert!(now.mallocs >= now.frees, "{now:?}");
    assert_eq!(now.heap_objects, now.mallocs - now.frees, "{now:?}");
    assert!(now.heap_alloc <= now.total_alloc, "{now:?}");
    assert!(now.heap_alloc >= now.heap_objects * 8, "no object is smaller than 8 bytes: {now:?}");
    assert!(now.heap_inuse <= now.heap_sys, "{now:?}");
    now
}

/// The same, and what may be off for a moment while other threads allocate.
fn settled() -> gort::MemStats {
    let now = checkpoint();
    assert!(now.heap_alloc <= now.heap_inuse, "{now:?}");
    assert!(now.heap_released <= now.heap_idle, "{now:?}");
    now
}
