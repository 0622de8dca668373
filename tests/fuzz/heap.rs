//! A program on the whole heap, read from bytes: objects of all doors on three threads, memory limits, pages given back, threads that
//! come and go, calls to the kernel that are refused. After each step the heap's invariants are checked and its counts compared with a
//! ledger; contents, zeros, alignment and overlap are checked as objects come and go.
#![expect(unsafe_code, reason = "calls the allocator's doors")]

use std::alloc::Layout;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use gort::{Measured, c};
use gort_size_classes::table::{CLASS_TO_SIZE, NUM_CLASSES};

use crate::common::{Input, Ledger, Object, PAGE, check_heap, class_of, layout, rounded};

/// A program that has more than this allocates no more.
const MOST_BYTES: u64 = 24 << 20;
const MOST_OBJECTS: usize = 700;
const MOST_STEPS: usize = 300;
const C_ALIGN: usize = 16;

/// A thread that does what it is told, one thing at a time.
struct Worker {
    jobs: Sender<Box<dyn FnOnce() + Send>>,
    thread: JoinHandle<()>,
    /// What it has allocated and freed.
    ledger: Ledger,
}

impl Worker {
    fn start() -> Self {
        let (jobs, inbox): (_, Receiver<Box<dyn FnOnce() + Send>>) = channel();
        let thread = thread::spawn(move || inbox.into_iter().for_each(|job| job()));
        Self { jobs, thread, ledger: Ledger::new() }
    }

    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let job = Box::new(move || done.send(job()).expect("somebody waits"));
        self.jobs.send(job).expect("the thread waits for jobs");
        result.recv().expect("the job did not fail")
    }

    fn stop(self) -> Ledger {
        drop(self.jobs);
        self.thread.join().expect("no job failed");
        self.ledger
    }
}

/// A live object, and what it counts as.
struct Live {
    object: Object,
    booked: Layout,
    /// Came from the C door.
    is_c: bool,
}

impl Live {
    fn end(&self) -> usize {
        self.object.addr() + rounded(self.booked) as usize
    }
}

/// What goes on from one program to the next: threads and counts. The heap does as well.
struct Machine {
    workers: [Worker; 2],
    /// This thread's.
    own: Ledger,
    /// What this thread had counted before.
    before: Measured,
    /// Of threads that are gone.
    gone: Ledger,
    live: Vec<Live>,
    /// First and last byte of what each live object may use.
    places: BTreeMap<usize, usize>,
    bytes: u64,
    /// Whether calls to the kernel may be refused, so that the heap may answer null.
    refusing: bool,
    tag: u64,
}

thread_local! {
    static MACHINE: RefCell<Option<Machine>> = const { RefCell::new(None) };
}

/// Runs the program.
pub(crate) fn run(data: &[u8]) {
    MACHINE.with_borrow_mut(|machine| machine.get_or_insert_with(Machine::new).run(data));
}

fn refuse(after: u64, count: u64) {
    #[cfg(feature = "faults")]
    gort::refuse_after(after, count);
    #[cfg(not(feature = "faults"))]
    let _ = (after, count);
}

impl Machine {
    fn new() -> Self {
        // Starts the heap, so that this thread's counts are exact from here on.
        drop(Object::new(layout(8, 8), 0));
        let gone = Ledger::of(&gort::stats());
        let mut machine = Self {
            workers: [Worker::start(), Worker::start()],
            own: Ledger::new(),
            before: gort::thread_stats(),
            gone,
            live: Vec::new(),
            places: BTreeMap::new(),
            bytes: 0,
            refusing: false,
            tag: 0,
        };
        (1..3).for_each(|who| machine.attach(who));
        machine
    }

    /// The first object of a thread, while nothing is refused: from here on it has a cache of its own.
    fn attach(&mut self, who: usize) {
        self.alloc(who, layout(8, 8), 1);
        self.free(who, self.live.len() - 1);
    }

    fn run(&mut self, data: &[u8]) {
        let mut input = Input::new(data);
        for _ in 0..MOST_STEPS {
            if input.is_empty() {
                break;
            }
            self.step(&mut input);
            self.check();
        }
        self.wind_down();
    }

    fn ledger(&mut self, who: usize) -> &mut Ledger {
        match who {
            0 => &mut self.own,
            _ => &mut self.workers[who - 1].ledger,
        }
    }

    /// Runs `f` on a thread.
    fn on<T: Send + 'static>(&self, who: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
        match who {
            0 => f(),
            _ => self.workers[who - 1].run(f),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let code = input.u8();
        let who = usize::from(code >> 5) % 3;
        match code & 31 {
            0..=4 => {
                let layout = a_layout(input);
                self.alloc(who, layout, 0);
            }
            5 | 6 => {
                let layout = a_layout(input);
                self.alloc(who, layout, 1);
            }
            7 => {
                let size = a_size(input);
                self.alloc_c(who, size, C_ALIGN, input.u8() % 2);
            }
            8 => {
                let layout = a_layout(input);
                self.alloc_c(who, layout.size(), layout.align(), 2);
            }
            9..=12 => {
                let at = self.pick(input);
                let size = a_size(input).max(1);
                self.resize(who, at, size);
            }
            13 | 14 => {
                // A little longer or shorter, by pages: in place if the neighbours let it.
                let at = self.pick(input);
                let by = usize::from(input.u8() % 32) * PAGE;
                if let Some(live) = at.and_then(|at| self.live.get(at)) {
                    let old = live.object.layout().size();
                    let size = if by.is_multiple_of(2 * PAGE) { old + by } else { old.saturating_sub(by) };
                    self.resize(who, at, size.clamp(1, 3 << 20));
                }
            }
            15..=20 => {
                if let Some(at) = self.pick(input) {
                    self.free(who, at);
                }
            }
            21 | 22 => {
                let (layout, count) = (a_layout(input), input.u8() % 64);
                (0..count).for_each(|_| self.alloc(who, layout, 0));
            }
            23 | 24 => {
                let (from, count) = (self.pick(input), input.u8() % 64);
                for _ in 0..count {
                    if let Some(at) = from.filter(|&at| at < self.live.len()) {
                        self.free(who, at);
                    }
                }
            }
            25 => {
                let limit = match input.u8() {
                    0..=63 => u64::MAX,
                    n => u64::from(n - 64) << 18,
                };
                self.on(who, move || gort::set_memory_limit(limit));
            }
            26 | 27 => {
                self.on(who, gort::free_os_memory);
            }
            28 => {
                let (after, count) = (input.u8() % 32, input.u8() % 8);
                self.refusing = count > 0;
                refuse(after.into(), count.into());
            }
            29 => self.refuse_nothing(),
            30 => self.replace(who),
            _ => {
                if let Some(at) = self.pick(input) {
                    self.live[at].object.check();
                }
            }
        }
    }

    fn pick(&self, input: &mut Input<'_>) -> Option<usize> {
        usize::from(input.u16()).checked_rem(self.live.len())
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.bytes + bytes <= MOST_BYTES && self.live.len() < MOST_OBJECTS
    }

    /// Enters an object, which nothing else may overlap. `None` is only right while calls are refused.
    fn enter(&mut self, who: usize, object: Option<Object>, booked: Layout, is_c: bool) {
        let Some(object) = object else {
            assert!(self.refusing, "null for {booked:?}");
            return;
        };
        self.ledger(who).allocated(booked);
        self.put(Live { object, booked, is_c });
    }

    fn put(&mut self, live: Live) {
        let (start, end) = (live.object.addr(), live.end());
        if let Some((&other, &its_end)) = self.places.range(..end).next_back() {
            assert!(its_end <= start, "{start:#x} to {end:#x} overlaps {other:#x} to {its_end:#x}");
        }
        self.places.insert(start, end);
        self.bytes += rounded(live.booked);
        self.live.push(live);
    }

    fn take(&mut self, at: usize) -> Live {
        let live = self.live.swap_remove(at);
        self.places.remove(&live.object.addr());
        self.bytes -= rounded(live.booked);
        live
    }

    fn alloc(&mut self, who: usize, layout: Layout, zeroed: u8) {
        if !self.has_room(rounded(layout)) {
            return;
        }
        self.tag += 1;
        let tag = self.tag;
        let make = if zeroed == 0 { Object::try_new } else { Object::try_zeroed };
        let object = self.on(who, move || make(layout, tag));
        self.enter(who, object, layout, false);
    }

    /// From C's doors: malloc, calloc or aligned_alloc.
    fn alloc_c(&mut self, who: usize, size: usize, align: usize, door: u8) {
        let size = if door == 1 { size.max(1).next_multiple_of(3) } else { size };
        let booked = layout(size, align.max(C_ALIGN));
        if !self.has_room(rounded(booked)) {
            return;
        }
        self.tag += 1;
        let tag = self.tag;
        let object = self.on(who, move || {
            let p = match door {
                0 => c::malloc(size),
                1 => c::calloc(size / 3, 3),
                _ => c::aligned_alloc(align, size),
            };
            if door == 1 && !p.is_null() {
                // SAFETY: calloc has initialised as many bytes.
                let bytes = unsafe { std::slice::from_raw_parts(p, size) };
                assert!(bytes.iter().all(|&b| b == 0), "memory from calloc({size}) is not zero");
            }
            // Not with its own alignment, which C's realloc does not keep.
            // SAFETY: as it came from the door, and at least as long and as aligned as this layout.
            let object = unsafe { Object::adopt(p, layout(size, C_ALIGN), tag) };
            if object.is_some() {
                assert!(p.addr().is_multiple_of(align), "{p:?} is not aligned to {align}");
                assert!(c::usable_size(p) >= size, "{} usable of {size}", c::usable_size(p));
            }
            object
        });
        self.enter(who, object, booked, true);
    }

    fn resize(&mut self, who: usize, at: Option<usize>, size: usize) {
        let Some(at) = at.filter(|_| self.has_room(size as u64 + 2 * PAGE as u64)) else { return };
        let Live { object, booked, is_c } = self.take(at);
        let (old, from) = (object.layout(), object.addr());
        let door =
            move || if is_c { object.try_resize_by(size, resize_c(size)) } else { object.try_resize(size) };
        let (object, resized) = match self.on(who, door) {
            Ok(object) => (object, true),
            Err(object) => (object, false),
        };
        if !resized {
            assert!(self.refusing, "null for {old:?} resized to {size}");
            return self.put(Live { object, booked, is_c });
        }
        let mut now = object.layout();
        if is_c {
            now = self.now(booked, from, &object);
        }
        self.ledger(who).resized(booked, now);
        self.put(Live { object, booked: now, is_c });
    }

    /// What an object of C's door counts as that was resized and was `booked` before.
    fn now(&self, booked: Layout, from: usize, object: &Object) -> Layout {
        let (size, addr) = (object.layout().size(), object.addr());
        let usable = c::usable_size(addr as *const u8);
        if cfg!(feature = "hardened") {
            // The size is known, but for whole pages without a mapping, and only what stays in its class or pages stays where it is.
            let now = if addr == from { booked } else { object.layout() };
            let in_heap = class_of(now) == 0 && usable as u64 == rounded(now);
            assert!(usable == size || in_heap, "{booked:?} resized to {size} has {usable} bytes");
            return now;
        }
        assert!(usable >= size, "{usable} usable of {size}");
        // C's realloc leaves what shrinks a little, and what there is no memory for, where it is.
        let was_pages = class_of(booked) == 0;
        let stays = !was_pages && usable as u64 == rounded(booked);
        // At the same place it is what it was; elsewhere it may be as long, and of a class.
        let is_pages = (was_pages && self.refusing && addr == from) || class_of(object.layout()) == 0;
        let now = if stays || !is_pages {
            layout(usable, C_ALIGN)
        } else {
            // Whole pages: so large an alignment has no class.
            layout(usable, 2 * PAGE)
        };
        assert!(
            self.refusing || stays || rounded(now) == rounded(object.layout()),
            "{booked:?} resized to {size} has {usable} bytes"
        );
        assert_eq!(rounded(now), usable as u64, "{booked:?} resized to {size}");
        now
    }

    fn free(&mut self, who: usize, at: usize) {
        let Live { object, booked, is_c } = self.take(at);
        object.check();
        self.ledger(who).freed(booked);
        self.on(who, move || if is_c { free_c(object) } else { drop(object) });
    }

    fn refuse_nothing(&mut self) {
        refuse(0, 0);
        self.refusing = false;
    }

    /// Lets a thread exit and starts another in its place. The main thread stays.
    fn replace(&mut self, who: usize) {
        if who > 0 {
            self.refuse_nothing();
            let old = std::mem::replace(&mut self.workers[who - 1], Worker::start());
            self.gone = self.gone + old.stop();
            self.attach(who);
        }
    }

    fn check(&self) {
        check_heap();
        let all = self.gone + self.own + self.workers[0].ledger + self.workers[1].ledger;
        assert_eq!(Ledger::of(&gort::stats()), all, "the counts of all threads");
        let own = gort::thread_stats();
        let before = self.before;
        let own = Measured {
            bytes: own.bytes - before.bytes,
            allocs: own.allocs - before.allocs,
            frees: own.frees - before.frees,
            bytes_freed: own.bytes_freed - before.bytes_freed,
        };
        assert_eq!(own, self.own.total, "the counts of the first thread");
        for worker in &self.workers {
            assert_eq!(worker.run(gort::thread_stats), worker.ledger.total, "the counts of a thread");
        }
    }

    /// Frees everything: nothing may be left.
    fn wind_down(&mut self) {
        self.refuse_nothing();
        self.live.iter().for_each(|live| live.object.check());
        while let Some(at) = self.live.len().checked_sub(1) {
            self.free(at % 3, at);
        }
        self.check();
        gort::set_memory_limit(u64::MAX);
        for who in 0..3 {
            self.on(who, gort::free_os_memory);
        }
        let stats = gort::stats();
        assert_eq!((stats.heap_alloc, stats.heap_inuse, stats.huge_inuse), (0, 0, 0), "what nobody has");
        assert_eq!(stats.heap_released, stats.heap_idle, "what has not gone back");
        self.check();
    }
}

fn resize_c(size: usize) -> impl FnOnce(*mut u8, Layout) -> *mut u8 {
    // SAFETY: the object is live, and its holder resizes it.
    move |p, _| unsafe { c::realloc(p, size) }
}

fn free_c(object: Object) {
    let size = object.layout().size();
    let p = object.into_raw();
    if size.is_multiple_of(2) {
        // SAFETY: the object is live, at least this long, and its holder gives it up.
        unsafe { c::free_sized(p, size) };
    } else {
        // SAFETY: as above.
        unsafe { c::free(p) };
    }
}

/// Sizes of all kinds: small ones, classes and their edges, pages and their edges, huge ones.
fn a_size(input: &mut Input<'_>) -> usize {
    let n = usize::from(input.u16());
    let (kind, n) = (n >> 13, n & 0x1fff);
    match kind {
        0..=2 => n & 0x3ff,
        3 => n * 4,
        4 => (CLASS_TO_SIZE[1 + n % (NUM_CLASSES - 1)] as usize + 1).saturating_sub(n >> 7 & 3),
        5 => ((n & 63) * PAGE + 1).saturating_sub(n >> 6 & 3),
        6 => n * 128,
        _ => n * 384,
    }
}

/// Mostly small alignments.
fn a_layout(input: &mut Input<'_>) -> Layout {
    let size = a_size(input);
    let n = input.u8();
    let align = match n {
        0..=127 => 1 << (n % 5),
        128..=223 => 1 << (n % 14),
        _ => 1 << (n % 22),
    };
    layout(size, align)
}
