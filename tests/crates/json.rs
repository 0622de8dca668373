//! serde_json on a generated document of tens of megabytes: typed and untyped, compact and pretty, there and back.

use crate::carry::{Asked, checkpoint, sized};
use crate::random::Random;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Person {
    id: u64,
    name: String,
    born: Option<i32>,
    tags: Vec<String>,
    place: Place,
    events: Vec<Event>,
    settings: BTreeMap<String, Setting>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Place {
    street: String,
    at: (f64, f64),
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Event {
    Paid { cents: i64, note: String },
    Moved(Place),
    Left,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Setting {
    Switch(bool),
    Text(String),
    List(Vec<u32>),
}

pub(crate) fn run() -> Asked {
    let mut random = Random::new(11);
    let people: Vec<Person> = (0..sized(9_000)).map(|id| person(&mut random, id as u64)).collect();
    let text = serde_json::to_string(&people).expect("it is data");
    assert!(text.len() > 500 * people.len(), "a document of {} bytes is too small", text.len());

    let before = checkpoint();
    let value: Value = serde_json::from_str(&text).expect("it is JSON");
    let (objects, bytes) = footprint(&value);
    let held = checkpoint();
    let (grown, more) = (held.heap_alloc - before.heap_alloc, held.heap_objects - before.heap_objects);
    assert!(grown >= bytes, "{bytes} bytes of values are alive, gort counts {grown} more than before");
    assert!(more >= objects, "{objects} values are alive, gort counts {more} more than before");

    let typed: Vec<Person> = serde_json::from_str(&text).expect("it is people");
    assert!(typed == people, "typed, there and back");
    let again = serde_json::to_string(&value).expect("it is data");
    assert!(serde_json::from_str::<Value>(&again).expect("it is JSON") == value, "untyped, there and back");
    let pretty = serde_json::to_vec_pretty(&value).expect("it is data");
    assert!(pretty.len() > text.len(), "pretty takes more room");
    assert!(
        serde_json::from_reader::<_, Value>(&pretty[..]).expect("it is JSON") == value,
        "through a reader"
    );
    drop(pretty);
    let converted: Vec<Person> = serde_json::from_value(value).expect("it is people");
    assert!(converted == people, "from untyped to typed");

    Asked { objects: 3 * objects, bytes: 3 * bytes }
}

fn person(random: &mut Random, id: u64) -> Person {
    let events = random.below(12);
    Person {
        id,
        name: name(random),
        born: (random.below(5) > 0).then(|| 1900 + random.below(120) as i32),
        tags: (0..random.below(8)).map(|_| word(random, 10)).collect(),
        place: place(random),
        events: (0..events).map(|_| event(random)).collect(),
        settings: (0..random.below(6)).map(|_| (word(random, 8), setting(random))).collect(),
    }
}

fn word(random: &mut Random, longest: usize) -> String {
    let len = 1 + random.below(longest);
    random.word(len)
}

/// With all that a JSON string must escape, and more than one byte a letter.
fn name(random: &mut Random) -> String {
    const ODD: [&str; 8] = ["\"", "\\", "\n", "ß", "Ω", "漢", "🦀", "\u{1}"];
    format!("{} {}{}", word(random, 8), ODD[random.below(ODD.len())], word(random, 16))
}

/// Quarters of a degree: exact in binary and in decimal.
fn place(random: &mut Random) -> Place {
    let at = (random.below(720) as f64 / 4.0 - 90.0, random.below(1440) as f64 / 4.0 - 180.0);
    Place { street: format!("{} {}", word(random, 20), random.below(200)), at }
}

fn event(random: &mut Random) -> Event {
    match random.below(4) {
        0 => Event::Left,
        1 => Event::Moved(place(random)),
        _ => Event::Paid { cents: random.next() as i64 >> 24, note: name(random) },
    }
}

fn setting(random: &mut Random) -> Setting {
    match random.below(3) {
        0 => Setting::Switch(random.below(2) == 0),
        1 => Setting::Text(word(random, 60)),
        _ => Setting::List((0..random.below(40)).map(|_| random.below(1 << 20) as u32).collect()),
    }
}

/// How many objects and bytes `value` cannot do without.
fn footprint(value: &Value) -> (u64, u64) {
    let of = |parts: Vec<(u64, u64)>| parts.iter().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    match value {
        Value::String(s) if !s.is_empty() => (1, s.len() as u64),
        Value::Array(list) if !list.is_empty() => {
            let (objects, bytes) = of(list.iter().map(footprint).collect());
            (objects + 1, bytes + size_of_val(&list[..]) as u64)
        }
        Value::Object(map) => of(map
            .iter()
            .map(|(k, v)| {
                let (o, b) = footprint(v);
                (o + 1, b + k.len() as u64)
            })
            .collect()),
        _ => (0, 0),
    }
}
