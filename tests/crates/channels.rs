//! crossbeam channels of boxed messages: made by one thread, changed by a second, freed by a third, and threads of every
//! kind end while their objects are still alive elsewhere.

use crate::carry::{Asked, checkpoint, sized};
use crate::random::Random;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::thread;

/// How many threads of each kind, one generation after the other.
const GENERATIONS: usize = 12;
const AT_ONCE: usize = 3;

trait Message: Send {
    /// What the message is worth; the sum over all of them must come out at the end.
    fn worth(&self) -> u64;
    /// The message in another shape, of the same worth.
    fn changed(self: Box<Self>) -> Box<dyn Message>;
}

struct Text(String);
struct Numbers(Vec<u64>);
struct Nested(Box<dyn Message>, Option<Box<Nested>>);

impl Message for Text {
    fn worth(&self) -> u64 {
        self.0.bytes().map(u64::from).sum()
    }

    fn changed(self: Box<Self>) -> Box<dyn Message> {
        Box::new(Numbers(self.0.bytes().map(u64::from).collect()))
    }
}

impl Message for Numbers {
    fn worth(&self) -> u64 {
        self.0.iter().fold(0, |a, b| a.wrapping_add(*b))
    }

    fn changed(self: Box<Self>) -> Box<dyn Message> {
        let (left, right) = self.0.split_at(self.0.len() / 2);
        let right = Nested(Box::new(Numbers(right.to_vec())), None);
        Box::new(Nested(Box::new(Numbers(left.to_vec())), Some(Box::new(right))))
    }
}

impl Message for Nested {
    fn worth(&self) -> u64 {
        self.0.worth().wrapping_add(self.1.as_ref().map_or(0, |n| n.worth()))
    }

    fn changed(self: Box<Self>) -> Box<dyn Message> {
        Box::new(Numbers(vec![self.worth()]))
    }
}

type Sealed = (u64, Box<dyn Message>);

pub(crate) fn run() -> Asked {
    let each = sized(7_500);
    let (make, made) = bounded::<Sealed>(512);
    let (change, changed) = unbounded::<Sealed>();

    thread::scope(|s| {
        let consumer = s.spawn(move || consume(&changed));
        for generation in 0..GENERATIONS {
            let producers: Vec<_> = (0..AT_ONCE)
                .map(|i| {
                    let (make, seed) = (make.clone(), (generation * AT_ONCE + i) as u64);
                    s.spawn(move || produce(&make, seed, each))
                })
                .collect();

            let changers: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let (made, change) = (made.clone(), change.clone());
                    s.spawn(move || made.iter().take(each).for_each(|m| pass_on(m, &change)))
                })
                .collect();
            producers.into_iter().chain(changers).for_each(|t| t.join().expect("a thread of the pipeline"));
            checkpoint();
        }
        drop((make, change));
        assert_eq!(
            consumer.join().expect("the consumer"),
            GENERATIONS * AT_ONCE * each,
            "every message came through"
        );
    });
    // A message is a box and what is in it, made once and changed once.
    let messages = (GENERATIONS * AT_ONCE * each) as u64;
    Asked { objects: 3 * messages, bytes: 3 * 16 * messages }
}

fn produce(to: &Sender<Sealed>, seed: u64, messages: usize) {
    let mut random = Random::new(seed);
    for _ in 0..messages {
        let most = if random.below(50) == 0 { 6_000 } else { 60 };
        let len = 1 + random.below(most);
        let message: Box<dyn Message> = match random.below(3) {
            0 => Box::new(Text(random.word(len))),
            1 => Box::new(Numbers((0..len).map(|_| random.next()).collect())),
            _ => Box::new(Nested(Box::new(Text(random.word(len))), None)),
        };
        to.send((message.worth(), message)).expect("someone receives");
    }
}

fn pass_on((worth, message): Sealed, to: &Sender<Sealed>) {
    assert_eq!(message.worth(), worth, "as it was made");
    to.send((worth, message.changed())).expect("someone receives");
}

/// Checks each message and holds on to some for a while, so that they outlive the threads that made them.
fn consume(from: &Receiver<Sealed>) -> usize {
    let (mut kept, mut random, mut seen) = (Vec::new(), Random::new(1), 0);
    for (worth, message) in from {
        seen += 1;
        assert_eq!(message.worth(), worth, "as it was changed");
        kept.push((worth, message));
        if kept.len() > 4_000 {
            let (worth, message) = kept.swap_remove(random.below(4_000));
            assert_eq!(message.worth(), worth, "as it was kept");
        }
    }
    kept.iter().for_each(|(worth, message)| assert_eq!(message.worth(), *worth, "as it was kept"));
    seen
}
