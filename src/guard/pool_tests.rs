extern crate std;

use std::vec::Vec;

use super::*;
use crate::base::class_of;

/// Places of their own.
fn pool(random: &mut Random) -> std::boxed::Box<Pool> {
    let base = Linux.reserve(AREA, GUARD, c"gort: test").expect("there are addresses");
    let mut pool = std::boxed::Box::new(Pool::new());
    pool.set_up(base.as_ptr().expose_provenance(), Random::new(random.next()));
    pool.check_invariants();
    pool
}

fn request(random: &mut Random) -> Request {
    let size = random.below(ROOM + 2000);
    let align = 1 << random.below(13);
    let layout = core::alloc::Layout::from_size_align(size >> random.below(16), align).expect("it is small");
    match class_of(layout) {
        Some(class) => Request {
            bytes: class.size(),
            usable: class.size().0 - random.below(class.size().0.min(9)),
            class: Some(class),
        },
        None => {
            let bytes = Bytes(layout.size().max(1).next_multiple_of(8192));
            Request { bytes, usable: bytes.0, class: None }
        }
    }
}

fn byte<'a>(addr: usize) -> &'a mut u8 {
    // SAFETY: tests pass bytes of pages that are open.
    unsafe { &mut *ptr::with_exposed_provenance_mut(addr) }
}

fn free(pool: &mut Pool, addr: usize, said: Option<Class>) -> Result<Object, Refusal> {
    pool.free(addr, said.map_or(Said::Nothing, Said::Class), &Trace::NONE).map(|(object, _)| object)
}

/// Whether an address can be read, as the kernel says.
fn is_open(addr: usize) -> bool {
    unwind::read(addr & !7, &mut [0]) == 1
}

#[test]
fn places_match_a_list() {
    let mut random = Random::from_env("places", 0);
    let mut pool = pool(&mut random);
    let mut live: Vec<(usize, Request)> = Vec::new();
    let mut freed: Vec<usize> = Vec::new();
    for step in 0..4_000 {
        let grows = random.below(100) < if step / 700 % 2 == 0 { 70 } else { 30 };
        if grows {
            let request = request(&mut random);
            let fits = request.bytes.0 <= ROOM && live.len() < PLACES - LEAST_WAITING;
            let got = pool.alloc(&request, &Trace::NONE);
            assert_eq!(got.is_some(), fits, "{} live, {:?}", live.len(), request.bytes);
            let Some((p, opened)) = got else { continue };
            let p = p.as_ptr().addr();
            assert!(
                p.is_multiple_of(request.class.map_or(4096, |c| 1 << c.size().0.trailing_zeros().min(12)))
            );
            assert!(opened.0 >= request.bytes.0 && opened.0 < request.bytes.0 + 2 * pool.page);
            // All of the object is there, and behind one end of it nothing.
            assert!(is_open(p) && is_open(p + request.bytes.0 - 1));
            assert!(!is_open(p - 8) || !is_open(p + request.bytes.0));
            (*byte(p), *byte(p + request.bytes.0.min(request.usable.max(1)) - 1)) = (1, 1);
            freed.retain(|&f| pool.index_near(f) != pool.index_near(p));
            live.push((p, request));
        } else if !live.is_empty() {
            let (p, request) = live.swap_remove(random.below(live.len()));
            let object = free(&mut pool, p, request.class).unwrap_or_else(|why| panic!("{why:?}"));
            assert_eq!(
                (object.bytes, object.usable, object.class),
                (request.bytes, request.usable, request.class)
            );
            assert!(!is_open(p));
            freed.push(p);
        }
        pool.check_invariants();
        for (p, request) in &live {
            assert_eq!(pool.object_at(*p).expect("it is live").usable, request.usable);
        }
        for &p in &freed {
            assert!(pool.object_at(p).is_none());
            assert_eq!(free(&mut pool, p, None).err(), Some(Refusal::AlreadyFree));
        }
    }
}

#[test]
fn places_wait_in_the_order_in_which_they_were_freed() {
    let mut random = Random::from_env("order", 0);
    let mut pool = pool(&mut random);
    let request = || Request { bytes: Bytes(8192), usable: 8192, class: None };
    let mut before = Vec::new();
    for round in 0..3 {
        let mut order = Vec::new();
        for _ in 0..PLACES {
            let (p, _) = pool.alloc(&request(), &Trace::NONE).expect("places wait");
            let p = p.as_ptr().addr();
            order.push(pool.index_near(p));
            assert!(free(&mut pool, p, None).is_ok());
        }
        assert!(round == 0 || order == before);
        let mut all = order.clone();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), PLACES);
        before = order;
    }
}

#[test]
fn each_byte_beside_an_object_is_looked_at() {
    let mut random = Random::from_env("beside", 0);
    let mut pool = pool(&mut random);
    for _ in 0..300 {
        let class = class_of(core::alloc::Layout::new::<[u8; 60]>());
        let request = Request { bytes: Bytes(64), usable: 60, class };
        let (p, _) = pool.alloc(&request, &Trace::NONE).expect("places wait");
        let p = p.as_ptr().addr();
        let open: Vec<usize> =
            ((p & !4095)..(p & !4095) + 4096).filter(|a| !(p..p + 60).contains(a)).collect();
        let at = open[random.below(open.len())];
        let was = *byte(at);
        *byte(at) = was ^ 1 << random.below(8);
        assert_eq!(free(&mut pool, p, class).err(), Some(Refusal::Written(at)));
        *byte(at) = was;
        pool.resized(p, 64);
        assert!(free(&mut pool, p, class).is_ok());
    }
}

#[test]
fn what_is_no_object_is_refused() {
    let mut random = Random::from_env("refusals", 0);
    let mut pool = pool(&mut random);
    let class = |n: usize| class_of(core::alloc::Layout::from_size_align(n, 8).expect("a layout"));
    let request = Request { bytes: Bytes(64), usable: 64, class: class(64) };
    let (p, _) = pool.alloc(&request, &Trace::NONE).expect("places wait");
    let p = p.as_ptr().addr();
    assert_eq!(
        pool.free(p, Said::WholePages(40_000), &Trace::NONE).err(),
        Some(Refusal::OtherSize(40_000)),
        "it is of a class"
    );
    let mut why = |addr, said| free(&mut pool, addr, said).err();
    assert_eq!(why(p + 8, None), Some(Refusal::Middle));
    assert_eq!(why(p, class(100)), class(100).map(Refusal::NotOf));
    assert_eq!(why(p - 2 * AREA, None), Some(Refusal::Nothing));
    // Beside the object, up to the middle of what is closed, it is the nearest.
    for at in [p - GUARD / 2, p + GUARD / 2] {
        assert_eq!(pool.place_near(at).expect("it is near").addr, p);
    }
}

#[test]
fn nothing_is_opened_after_a_fault() {
    let mut random = Random::from_env("closed", 0);
    let mut pool = pool(&mut random);
    pool.close();
    assert!(pool.alloc(&Request { bytes: Bytes(64), usable: 64, class: None }, &Trace::NONE).is_none());
}
