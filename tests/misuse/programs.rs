//! The tiny programs of the table as a Rust program would write them, on the doors of `GlobalAlloc`. As `programs.c`: each tells the
//! address that it is about, misuses it, says that it survived, goes on allocating, and tells what it saw of the consequences.
#![expect(unsafe_code, reason = "each breaks the contract of the doors on purpose")]

use std::alloc::{GlobalAlloc, Layout};
use std::io::Write;
use std::ops::Range;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{process, ptr, slice, thread};

use gort::GoAlloc;

use crate::common::{PAGE, check_heap, layout};

const ROOM: Layout = super::make(60);
const FULL: Layout = super::make(64);
const LARGE: Layout = super::make(100_000);
const LARGE_BYTES: usize = 106_496;
const HUGE: Layout = super::make(130 << 20);
const COUNT: usize = 3000;

static STATIC: [u64; 8] = [0; 8];

fn say(line: &str) {
    println!("\n{line}");
    std::io::stdout().flush().expect("stdout takes it");
}

fn tell(p: *mut u8) -> *mut u8 {
    say(&format!("address: {p:?}"));
    std::hint::black_box(p)
}

fn survived() {
    say("survived");
}

/// The end, whatever became of the program's objects: the heap's own data must be in order.
fn saw(what: &str) -> ! {
    check_heap();
    say(&format!("saw: {what}"));
    process::exit(0)
}

fn get(layout: Layout) -> *mut u8 {
    // SAFETY: the layout has a size.
    let p = unsafe { GoAlloc.alloc(layout) };
    assert!(!p.is_null());
    fill(p, layout.size().min(4096), 0x5a);
    p
}

fn fill(p: *mut u8, bytes: usize, byte: u8) {
    // SAFETY: none beyond the object, or after its free: the heap has to stand it.
    unsafe { std::hint::black_box(p).write_bytes(byte, bytes) };
}

fn byte(p: *const u8, at: usize) -> u8 {
    // SAFETY: none when the object is free. The memory stays mapped.
    unsafe { std::hint::black_box(p).wrapping_add(at).read_volatile() }
}

fn free(p: *mut u8, layout: Layout) {
    // SAFETY: none. The heap has to notice, or to stand it.
    unsafe { GoAlloc.dealloc(p, layout) };
}

fn free_elsewhere(p: *mut u8, layout: Layout) {
    let addr = p.expose_provenance();
    let _ = thread::spawn(move || free(ptr::with_exposed_provenance_mut(addr), layout)).join();
}

/// Allocates more than there are free objects of the class and gives it all back, a few times, and at last to the kernel. The objects must
/// not overlap.
fn go_on(layout: Layout) {
    for _ in 0..3 {
        let held: Vec<_> = (0..COUNT).map(|_| get(layout).cast::<u32>()).collect();
        for (i, p) in held.iter().enumerate() {
            // SAFETY: a live object of at least four bytes.
            unsafe { p.write(i as u32) };
        }
        for (i, p) in held.iter().enumerate() {
            // SAFETY: as above.
            if unsafe { p.read() } != i as u32 {
                saw("two objects at one address");
            }
            free(p.cast(), layout);
        }
    }
    gort::free_os_memory();
}

fn goes_on() -> ! {
    survived();
    go_on(ROOM);
    saw("the heap is sound")
}

/// As `goes_on`, with an object that the program takes for its own.
fn goes_on_with(p: *mut u8) -> ! {
    survived();
    fill(p, ROOM.size(), 1);
    let others: Vec<_> = (0..COUNT).map(|_| get(ROOM)).collect();
    if others.contains(&p) {
        saw("two objects at one address");
    }
    [p].iter().chain(&others).for_each(|&p| free(p, ROOM));
    go_on(ROOM);
    saw("the heap is sound")
}

/// What a program does not do on its own: the threads' caches are emptied.
fn flushed() {
    survived();
    gort::free_os_memory();
    saw("nothing");
}

fn two_owners(n: usize) {
    survived();
    let mut p: Vec<_> = (0..n).map(|_| get(ROOM)).collect();
    p.sort();
    p.dedup();
    saw(if p.len() < n { "two objects at one address" } else { "nothing" });
}

/// Whether objects are guarded, all of them as long as there is a place.
fn is_guarded() -> bool {
    std::env::var_os("GODEBUG").is_some()
}

/// Two live neighbours in one span, the lower of them; all around them is live as well. An object that is guarded has none.
fn neighbours(layout: Layout) -> *mut u8 {
    if is_guarded() {
        return get(layout);
    }
    let held: Vec<_> = (0..COUNT).map(|_| get(layout)).collect();
    let is_lower = |&&p: &&*mut u8| held[COUNT / 2..].contains(&p.wrapping_add(64));
    *held.iter().find(is_lower).expect("objects of a class are side by side")
}

fn twice(layout: Layout) {
    let p = tell(get(layout));
    free(p, layout);
    free(p, layout);
}

fn free_others_between() {
    let (p, q) = (tell(get(ROOM)), get(ROOM));
    [p, q, p].into_iter().for_each(|p| free(p, ROOM));
}

/// Two threads free an object and allocate then, each with the object in a bin of its own.
fn double_free_by_two_that_live() -> ! {
    let p = tell(get(ROOM));
    let (addr, meet) = (p.expose_provenance(), Barrier::new(2));
    let many = || (0..COUNT).map(|_| get(ROOM).expose_provenance());
    let mut all: Vec<_> = thread::scope(|s| {
        let other = s.spawn(|| {
            free(ptr::with_exposed_provenance_mut(addr), ROOM);
            meet.wait();
            // The second free.
            meet.wait();
            many().collect::<Vec<_>>()
        });
        meet.wait();
        free(p, ROOM);
        survived();
        meet.wait();
        many().chain(other.join().expect("it only allocates")).collect()
    });
    all.sort();
    all.dedup();
    saw(if all.len() < 2 * COUNT { "two objects at one address" } else { "the heap is sound" })
}

/// Of an object's two owners one frees it, and another comes; then both free it.
fn both_owners_free() {
    twice(ROOM);
    survived();
    let (p, q) = (get(ROOM), get(ROOM));
    free(p, ROOM);
    let r = get(ROOM);
    if p != q || q != r {
        saw("one owner");
    }
    free(q, ROOM);
    free(r, ROOM);
    gort::free_os_memory();
    saw("nothing");
}

fn freed(p: *mut u8, layout: Layout) {
    let _other = get(ROOM);
    free(tell(p), layout);
    flushed();
}

fn realloc_of_a_freed(size: usize) -> *mut u8 {
    let p = tell(get(ROOM));
    free(p, ROOM);
    // SAFETY: none. The heap has to notice, or to stand it.
    unsafe { GoAlloc.realloc(p, ROOM, size) }
}

fn write_after_free(layout: Layout) {
    let p = tell(get(layout));
    free(p, layout);
    fill(p.wrapping_add(8), 1, 1);
    goes_on();
}

fn overflow_into_a_neighbour(layout: Layout, bytes: usize) {
    let p = tell(neighbours(layout));
    fill(p.wrapping_add(layout.size()), bytes, 1);
    survived();
    let changed = byte(p, 64) == 1;
    free(p, layout);
    go_on(layout);
    saw(if changed { "a neighbour's bytes changed" } else { "the heap is sound" });
}

fn underflow_by_one(layout: Layout) {
    let p = tell(neighbours(layout));
    // The lower neighbour's last byte is before the upper one's first. No byte of a canary is 0.
    fill(if is_guarded() { p.wrapping_sub(1) } else { p.wrapping_add(63) }, 1, 0);
    survived();
    let changed = layout == FULL && byte(p, 63) == 0;
    free(p, layout);
    go_on(layout);
    saw(if changed { "a neighbour's bytes changed" } else { "the heap is sound" });
}

fn read_of_a_recycled_secret(layout: Layout, count: usize) {
    let p = tell(get(layout));
    fill(p.wrapping_add(16), 8, b's');
    free(p, layout);
    survived();
    for _ in 0..count {
        // SAFETY: the layout has a size.
        let p = unsafe { GoAlloc.alloc(layout) };
        // SAFETY: the object is that long; what its bytes are is the question.
        let bytes = unsafe { slice::from_raw_parts(std::hint::black_box(p), 60) };
        if bytes.windows(8).any(|w| w == b"ssssssss") {
            saw("the secret");
        }
    }
    saw("zeros");
}

/// A live object, of which each word is its number.
struct Numbered {
    p: *mut u8,
    layout: Layout,
    number: u32,
}

impl Numbered {
    fn new(layout: Layout) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: the numbers only have to differ.
        let object = Self { p: get(layout), layout, number: COUNT.fetch_add(1, Relaxed) };
        // SAFETY: the object is that long, aligned to a word, and nobody else's.
        unsafe { slice::from_raw_parts_mut(object.p.cast(), layout.size() / 4) }.fill(object.number);
        object
    }

    /// Ends the process unless nobody else has written to it.
    fn check(&self) {
        // SAFETY: the object is live, and `new` has written to all of it.
        let words: &[u32] = unsafe { slice::from_raw_parts(self.p.cast(), self.layout.size() / 4) };
        if words.iter().any(|&word| word != self.number) {
            saw("an object's bytes changed");
        }
    }

    fn free(&self) {
        free(self.p, self.layout);
    }
}

/// What an attack has left alive, and of what layouts it was.
struct Attacked<'a> {
    layouts: &'a [(Layout, usize)],
    live: Vec<Numbered>,
}

/// Of each layout more objects than a bin holds. Of some a span has many, of some a few, of some one; seven of the second leave 128 bytes of it.
const ATTACKED: [(Layout, usize); 5] = [
    (ROOM, 8000),
    (super::make(1100), 1600),
    (super::make(8192), 200),
    (super::make(20_000), 120),
    (super::make(32_768), 64),
];

/// Frees seven of eight objects, and writes over all of their bytes and over what is between them. Some are in spans then or, where these
/// were empty, in the page heap; some in transfer caches; some in the thread's own. Those that live are not written to.
fn attack(layouts: &[(Layout, usize)], first: impl FnOnce(&Numbered) -> *mut u8) -> Attacked<'_> {
    let all: Vec<Vec<_>> =
        layouts.iter().map(|&(layout, n)| (0..n).map(|_| Numbered::new(layout)).collect()).collect();
    let free_some = |which: Range<usize>| {
        let some = |objects: &Vec<Numbered>| {
            objects.iter().enumerate().filter(|(i, _)| which.contains(&(i % 8))).for_each(|(_, o)| o.free());
        };
        all.iter().for_each(some);
    };
    free_some(1..4);
    gort::free_os_memory();
    free_some(4..8);
    // The one that is told is the first: when it is guarded, it is the one that is reported.
    fill(first(&all[0][1]), layouts[0].0.size(), 0xff);
    let (mut live, mut between) = (vec![], 0);
    for (objects, &(layout, _)) in all.into_iter().zip(layouts) {
        let (alive, freed): (Vec<_>, Vec<_>) = objects.into_iter().enumerate().partition(|(i, _)| i % 8 == 0);
        live.extend(alive.into_iter().map(|(_, object)| object));
        between +=
            overwrite(freed.into_iter().map(|(_, object)| object.p).collect(), gort::usable_size(layout));
    }
    assert!(between > 0 || layouts != ATTACKED, "nothing lies between them");
    Attacked { layouts, live }
}

/// Writes over objects of so many bytes, and over what is between two of them if that is shorter than an object, which may be alive, and
/// than a page, which may be another span's. How many bytes were between them.
fn overwrite(mut objects: Vec<*mut u8>, bytes: usize) -> usize {
    objects.sort();
    let overwrite = |(i, &p): (usize, &*mut u8)| {
        let gap = objects.get(i + 1).map_or(0, |next| next.addr() - p.addr() - bytes);
        let between = if gap < bytes.min(PAGE) { gap } else { 0 };
        fill(p, bytes + between, 0xff);
        between
    };
    objects.iter().enumerate().map(overwrite).sum()
}

impl Attacked<'_> {
    /// Allocates more than was freed and gives it back, a few times, and at last to the kernel. No object may overlap another.
    fn go_on(self) {
        for _ in 0..3 {
            let new = |&(layout, n)| (0..n).map(move |_| Numbered::new(layout));
            let objects: Vec<_> = self.layouts.iter().flat_map(new).collect();
            objects.iter().chain(&self.live).for_each(Numbered::check);
            objects.iter().for_each(Numbered::free);
        }
        self.live.iter().for_each(Numbered::free);
        gort::free_os_memory();
        check_heap();
    }
}

/// Runs the program with this name; `None` when there is none in Rust.
pub(crate) fn run(name: &str) -> Option<()> {
    match name {
        "double_free" => {
            twice(ROOM);
            flushed();
        }
        "double_free_then_allocate" => {
            twice(ROOM);
            two_owners(2);
        }
        "double_free_then_more_frees" => {
            let n = if is_guarded() { 60 } else { 3000 };
            let others: Vec<_> = (0..n).map(|_| get(ROOM)).collect();
            twice(ROOM);
            survived();
            // Fewer than the store that threads share takes without looking at a span.
            others[..n / 6 * 5].iter().for_each(|&p| free(p, ROOM));
            saw("nothing");
        }
        "double_free_then_both_free" => both_owners_free(),
        "double_free_after_others" => {
            free_others_between();
            flushed();
        }
        "double_free_after_others_then_allocate" => {
            free_others_between();
            two_owners(3);
        }
        "double_free_after_a_write" => {
            let p = tell(get(ROOM));
            free(p, ROOM);
            fill(p, 8, 1);
            free(p, ROOM);
            flushed();
        }
        "double_free_by_two_threads" => {
            let p = tell(get(ROOM));
            free_elsewhere(p, ROOM);
            free_elsewhere(p, ROOM);
            goes_on();
        }
        "double_free_by_two_threads_that_live" => double_free_by_two_that_live(),
        "double_free_of_a_large" => {
            twice(LARGE);
            flushed();
        }
        "double_free_of_a_huge" => {
            twice(HUGE);
            flushed();
        }
        "free_inside_a_small" => freed(get(ROOM).wrapping_add(16), ROOM),
        "free_inside_a_large" => freed(get(LARGE).wrapping_add(8192), LARGE),
        "free_of_a_large_as_another_large" => freed(get(LARGE), layout(200_000, 8)),
        "free_of_a_huge_as_another_huge" => freed(get(HUGE), layout(400_000_000, 8)),
        "free_of_a_large_as_a_small" => freed(get(LARGE), ROOM),
        "free_of_a_small_as_a_large" => freed(get(ROOM), LARGE),
        "free_of_a_stack_address" => freed([0u64; 8].as_mut_ptr().cast(), ROOM),
        "free_of_a_static" => freed(STATIC.as_ptr().cast_mut().cast(), ROOM),
        "free_of_a_foreign_mapping" => {
            let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // SAFETY: a new mapping disturbs nobody.
            freed(unsafe { libc::mmap(ptr::null_mut(), 1 << 20, prot, flags, -1, 0) }.cast(), ROOM);
        }
        "free_as_another_size" => freed(get(ROOM), layout(100, 8)),
        "free_as_another_size_of_the_class" => {
            free(tell(get(ROOM)), layout(50, 8));
            goes_on();
        }
        "free_as_another_alignment" => freed(get(ROOM), layout(60, 128)),
        "realloc_of_a_freed" => goes_on_with(realloc_of_a_freed(61)),
        "realloc_of_a_freed_to_another_class" => {
            realloc_of_a_freed(500);
            flushed();
        }
        "write_after_free" => write_after_free(ROOM),
        "write_after_free_of_a_large" => write_after_free(LARGE),
        "read_after_free" => {
            let p = tell(get(ROOM));
            fill(p, 60, b's');
            free(p, ROOM);
            survived();
            saw(match byte(p, 20) {
                b's' => "the old bytes",
                0 => "zeros",
                _ => "other bytes",
            });
        }
        "overflow_by_one" => {
            let p = tell(get(ROOM));
            fill(p.wrapping_add(60), 1, 0);
            survived();
            free(p, ROOM);
            go_on(ROOM);
            saw("the heap is sound");
        }
        "overflow_by_one_without_room" => overflow_into_a_neighbour(FULL, 1),
        "overflow_by_one_object" => overflow_into_a_neighbour(ROOM, 64),
        "underflow_by_one" => underflow_by_one(ROOM),
        "underflow_by_one_into_a_full" => underflow_by_one(FULL),
        "overflow_by_one_of_a_large" => {
            let p = tell(get(LARGE));
            fill(p.wrapping_add(LARGE.size()), 1, 0);
            survived();
            free(p, LARGE);
            go_on(ROOM);
            saw("the heap is sound");
        }
        "overflow_of_a_large" => {
            let (p, _behind) = (tell(get(LARGE)), get(LARGE));
            fill(p.wrapping_add(LARGE_BYTES), 1, 1);
            goes_on();
        }
        "underflow_of_a_large" => {
            let (_before, p) = (get(LARGE), tell(get(LARGE)));
            fill(p.wrapping_sub(1), 1, 1);
            goes_on();
        }
        "read_of_a_recycled_secret" => read_of_a_recycled_secret(ROOM, COUNT),
        "read_of_a_recycled_secret_of_a_large" => read_of_a_recycled_secret(LARGE, 600),
        "attack_on_metadata" => {
            let told = attack(&ATTACKED, |first| tell(first.p));
            survived();
            told.go_on();
            // In the hardened build an access to these is a fault, and a row of its own.
            attack(&[(LARGE, 24)], |first| first.p).go_on();
            saw("the heap is sound");
        }
        _ => return None,
    }
    Some(())
}
