//! imbl's persistent maps and vectors: nodes shared by many versions, whose last owner may be another thread.

use crate::carry::{Asked, checkpoint, sized};
use crate::random::Random;
use imbl::{HashMap, OrdMap, Vector};
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

const KEYS: usize = 20_000;
const KEPT: usize = 24;

/// One version of everything, and what it must be equal to.
struct Snapshot {
    ordered: OrdMap<u32, String>,
    hashed: HashMap<String, u32>,
    list: Vector<u32>,
    model: BTreeMap<u32, String>,
    flat: Vec<u32>,
}

impl Snapshot {
    fn check(&self) {
        assert!(self.ordered.iter().eq(self.model.iter()), "the ordered map");
        assert_eq!(self.hashed.len(), self.model.len(), "the hashed map");
        assert!(self.model.iter().all(|(k, v)| self.hashed.get(v) == Some(k)), "the hashed map");
        assert!(self.list.iter().eq(self.flat.iter()), "the list");
    }
}

pub(crate) fn run() -> Asked {
    let steps = sized(150_000);
    // Old snapshots are checked and dropped elsewhere, while this thread goes on changing the nodes they share.
    let (retire, retired) = mpsc::sync_channel::<Snapshot>(4);
    let checker = thread::spawn(move || retired.iter().map(|snapshot| snapshot.check()).count());

    let mut random = Random::new(8);
    let (mut ordered, mut hashed, mut list) = (OrdMap::new(), HashMap::new(), Vector::new());
    let (mut model, mut flat) = (BTreeMap::new(), Vec::new());
    let (mut kept, mut taken, mut inserts) = (Vec::new(), 0, 0);
    for step in 0..steps {
        let key = random.below(KEYS) as u32;
        if random.below(5) < 3 {
            let value = format!("{key} at {step}");
            inserts += 1;
            if let Some(old) = ordered.insert(key, value.clone()) {
                hashed.remove(&old);
            }
            hashed.insert(value.clone(), key);
            model.insert(key, value);
        } else {
            let gone = ordered.remove(&key);
            assert_eq!(gone, model.remove(&key));
            gone.map(|old| hashed.remove(&old));
        }
        change(&mut list, &mut flat, &mut random);
        if step % (steps / 60) == 0 {
            let (ordered, hashed, list) = (ordered.clone(), hashed.clone(), list.clone());
            kept.push(Snapshot { ordered, hashed, list, model: model.clone(), flat: flat.clone() });
            taken += 1;
            if kept.len() > KEPT {
                retire.send(kept.swap_remove(random.below(KEPT))).expect("the checker runs");
                checkpoint();
            }
        }
    }
    kept.into_iter().for_each(|snapshot| retire.send(snapshot).expect("the checker runs"));
    drop(retire);
    assert_eq!(checker.join().expect("every snapshot is as it was"), taken);
    Asked { objects: 2 * inserts, bytes: 2 * inserts * "1 at 1".len() as u64 }
}

/// The same change to both lists.
fn change(list: &mut Vector<u32>, flat: &mut Vec<u32>, random: &mut Random) {
    let (value, at) = (random.next() as u32, random.below(flat.len() + 1));
    match random.below(400) {
        0 if flat.len() > 4_000 => {
            let tail = list.split_off(at);
            let moved = flat.split_off(at);
            *list = tail + list.clone();
            flat.splice(0..0, moved);
        }
        1..20 if at < flat.len() => {
            list.set(at, value);
            flat[at] = value;
        }
        _ if flat.len() < 20_000 => {
            list.push_back(value);
            flat.push(value);
        }
        _ => assert_eq!(list.pop_back(), flat.pop()),
    }
}
