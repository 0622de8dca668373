//! One way that a model may go, of all that loom explores.
//!
//! loom's objects are made anew in each execution, by a thread that comes before all who use them; gort's are constants, in statics and in
//! memory full of zeros. So an execution begins with a stock of loom's, and a word, a cell or a lock of gort's takes one when it is touched
//! first in it. What it held before, in an earlier execution, is forgotten then: statics begin anew.
#![expect(unsafe_code, reason = "keeps loom's objects where all threads of an execution find them")]

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::{futex, sys};

/// How many objects of each kind an execution has.
const WORDS: usize = 160;
const CELLS: usize = 320;
const LOCKS: usize = 24;

struct Stock<T> {
    objects: UnsafeCell<Vec<T>>,
    used: Cell<usize>,
}

impl<T> Stock<T> {
    const fn new() -> Self {
        Self { objects: UnsafeCell::new(Vec::new()), used: Cell::new(0) }
    }

    fn fill(&self, n: usize, mut make: impl FnMut() -> T) {
        // SAFETY: between two executions nobody refers to an object, and all threads of a model are one of the system's.
        let objects = unsafe { &mut *self.objects.get() };
        objects.clear();
        objects.extend((0..n).map(|_| make()));
        self.used.set(0);
    }

    fn at(&self, place: &Place) -> &'static T {
        if place.is_new() {
            place.becomes(self.next());
        }
        self.objects_at(place.index.get())
    }

    fn next(&self) -> u32 {
        let next = self.used.get();
        self.used.set(next + 1);
        next as u32
    }

    fn objects_at(&self, index: u32) -> &'static T {
        // SAFETY: the vector is not changed before the next execution.
        let objects: &'static Vec<T> = unsafe { &*self.objects.get() };
        objects.get(index as usize).expect("the stock is large enough")
    }
}

thread_local! {
    static NUMBER: Cell<u32> = const { Cell::new(0) };
    static ALL_WORDS: Stock<loom::sync::atomic::AtomicU64> = const { Stock::new() };
    static ALL_TURNS: Stock<loom::sync::atomic::AtomicU64> = const { Stock::new() };
    static ALL_CELLS: Stock<loom::cell::UnsafeCell<()>> = const { Stock::new() };
    static ALL_LOCKS: Stock<loom::sync::Mutex<()>> = const { Stock::new() };
    /// Which of the cells an address has, in memory that the execution mapped.
    static CELLS_AT: RefCell<BTreeMap<usize, u32>> = const { RefCell::new(BTreeMap::new()) };
    static LOCAL: RefCell<Vec<Local>> = const { RefCell::new(Vec::new()) };
}

/// Which object of the stock something has, in which execution. Zeros are none.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Place {
    execution: Cell<u32>,
    index: Cell<u32>,
}

impl Place {
    pub(crate) const fn none() -> Self {
        Self { execution: Cell::new(0), index: Cell::new(0) }
    }

    /// Whether nobody has touched its owner in this execution.
    pub(crate) fn is_new(&self) -> bool {
        self.execution.get() != NUMBER.get()
    }

    fn becomes(&self, index: u32) {
        self.execution.set(NUMBER.get());
        self.index.set(index);
    }

    #[track_caller]
    pub(crate) fn word(&self) -> &'static loom::sync::atomic::AtomicU64 {
        let word = ALL_WORDS.with(|stock| stock.at(self));
        self.turn();
        word
    }

    /// Takes its turn at the word, before the word is touched.
    ///
    /// loom explores both orders of two accesses if it takes them for dependent, but knows of each word only its last access: a load that
    /// comes before the load and the store of another thread is forgotten, and never tried between those. An exchange that fails is
    /// dependent on all others of its kind, changes nothing and makes nothing visible.
    pub(crate) fn turn(&self) {
        let word = ALL_TURNS.with(|stock| stock.objects_at(self.index.get()));
        let _ = word.compare_exchange(1, 1, Relaxed, Relaxed);
    }

    /// The cell of a place that is nobody's in this execution, at an address that may have been another's before: then it has that one's
    /// cell, so that who still looks at the other is found out.
    pub(crate) fn cell_again(&self, address: usize) -> &'static loom::cell::UnsafeCell<()> {
        let index = ALL_CELLS.with(|stock| {
            CELLS_AT.with_borrow_mut(|all| *all.entry(address).or_insert_with(|| stock.next()))
        });
        self.becomes(index);
        self.cell()
    }

    pub(crate) fn cell(&self) -> &'static loom::cell::UnsafeCell<()> {
        ALL_CELLS.with(|stock| stock.at(self))
    }

    pub(crate) fn lock(&self) -> &'static loom::sync::Mutex<()> {
        ALL_LOCKS.with(|stock| stock.at(self))
    }
}

/// A thread-local word of one thread.
struct Local {
    symbol: &'static str,
    thread: loom::thread::ThreadId,
    value: *const u8,
}

/// Exchanges the calling thread's word, or reads it.
pub(crate) fn local(symbol: &'static str, initial: *const u8, new: Option<*const u8>) -> *const u8 {
    let thread = loom::thread::current().id();
    LOCAL.with_borrow_mut(|all| {
        let at = all.iter().position(|l| l.symbol == symbol && l.thread == thread).unwrap_or_else(|| {
            all.push(Local { symbol, thread, value: initial });
            all.len() - 1
        });
        let old = all[at].value;
        all[at].value = new.unwrap_or(old);
        old
    })
}

/// Explores a model, with at most so many switches away from a thread that could go on.
pub(crate) fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 20_000;
    let start = Instant::now();
    builder.check(move || {
        NUMBER.set(NUMBER.get() + 1);
        LOCAL.with_borrow_mut(Vec::clear);
        CELLS_AT.with_borrow_mut(BTreeMap::clear);
        ALL_WORDS.with(|s| s.fill(WORDS, || loom::sync::atomic::AtomicU64::new(0)));
        ALL_TURNS.with(|s| s.fill(WORDS, || loom::sync::atomic::AtomicU64::new(0)));
        ALL_CELLS.with(|s| s.fill(CELLS, || loom::cell::UnsafeCell::new(())));
        ALL_LOCKS.with(|s| s.fill(LOCKS, || loom::sync::Mutex::new(())));
        futex::begin();
        sys::give_all_back();
        model();
    });
    println!("{} executions, {:.1} s", NUMBER.get(), start.elapsed().as_secs_f64());
}
