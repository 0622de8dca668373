//! regex over a generated text of many megabytes, each answer held against a scan that looks at one byte at a time.

use crate::carry::{Asked, checkpoint, sized};
use crate::random::Random;
use regex::{Captures, Regex, RegexSet};
use std::collections::BTreeMap;

const WORDS: [&str; 12] =
    ["sing", "a", "King", "reading", "ing", "bring3", "naïve", "going", "thing", "on", "rings", "x_ing"];

pub(crate) fn run() -> Asked {
    let text = generate(sized(6 << 20));

    let dates = Regex::new(r"(?-u:\b\d{4}-\d{2}-\d{2}\b)").expect("a pattern");
    let found: Vec<String> = dates.find_iter(&text).map(|m| m.as_str().to_owned()).collect();
    let slow: Vec<String> = slow_words(&text).filter(|w| is_date(w)).map(str::to_owned).collect();
    assert!(!found.is_empty() && found == slow, "{} dates by regex, {} by scan", found.len(), slow.len());

    let ending = Regex::new(r"(?:^|[ \n])([a-z]+ing)(?:$|[ \n])").expect("a pattern");
    // Each line by itself and each word with both its blanks, as the pattern takes the blank behind a word away.
    let found: usize = text.lines().map(|line| ending.captures_iter(&line.replace(' ', "  ")).count()).sum();
    let slow = slow_words(&text).filter(|w| is_ing(w)).count();
    assert!(found > 0 && found == slow, "{found} words in -ing by regex, {slow} by scan");
    checkpoint();

    let address = Regex::new(r"(?<who>[a-z]+)@(?<host>[a-z]+)\.example").expect("a pattern");
    let mut by_host: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for found in address.captures_iter(&text) {
        by_host.entry(found["host"].to_owned()).or_default().push(found["who"].to_owned());
    }
    assert!(by_host == slow_addresses(&text), "addresses by host");
    let addresses: usize = by_host.values().map(Vec::len).sum();

    let hidden = address.replace_all(&text, |found: &Captures| format!("<{}>", found["who"].to_uppercase()));
    assert_eq!(hidden.matches('<').count(), addresses, "each address is hidden");
    assert_eq!(address.find_iter(&hidden).count(), 0, "no address is left");

    let lines: Vec<String> = Regex::new(r"\n").expect("a pattern").split(&text).map(str::to_owned).collect();
    assert!(lines.join("\n") == text, "split and joined");
    let set = RegexSet::new([r"^[^@]*$", r"\d{4}-\d\d-\d\d", r"\bKing\b"]).expect("patterns");
    let slow = |line: &str| {
        (!line.contains('@'), line.split(' ').any(is_date), line.split(' ').any(|w| w == "King"))
    };
    for line in lines.iter().step_by(16) {
        let hits = set.matches(line);
        assert_eq!((hits.matched(0), hits.matched(1), hits.matched(2)), slow(line), "{line:?}");
    }

    compile_many(sized(600));
    Asked { objects: (2 * addresses + 2 * lines.len()) as u64, bytes: 2 * text.len() as u64 }
}

/// Words, dates and addresses, divided by single blanks and line ends.
fn generate(len: usize) -> String {
    let mut random = Random::new(5);
    let mut text = String::with_capacity(len + 64);
    while text.len() < len {
        match random.below(24) {
            0 => {
                text +=
                    &format!("{}-{:02}-{:02}", 1900 + random.below(200), random.below(14), random.below(33))
            }
            1 => {
                text += &format!(
                    "{}@{}.example",
                    random.word(5),
                    ["north", "south", "east", "west"][random.below(4)]
                )
            }
            2 => text += &format!("{}-{}", random.below(99_999), random.below(99)),
            _ => text += WORDS[random.below(WORDS.len())],
        }
        text.push(if random.below(14) == 0 { '\n' } else { ' ' });
    }
    text
}

fn slow_words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\n'])
}

fn is_date(word: &str) -> bool {
    let b = word.as_bytes();
    b.len() == 10
        && b.iter().enumerate().all(|(i, c)| if i == 4 || i == 7 { *c == b'-' } else { c.is_ascii_digit() })
}

fn is_ing(word: &str) -> bool {
    word.len() > 3 && word.ends_with("ing") && word.bytes().all(|c| c.is_ascii_lowercase())
}

fn slow_addresses(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut by_host: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for word in slow_words(text) {
        if let Some((who, host)) = word.strip_suffix(".example").and_then(|w| w.split_once('@')) {
            by_host.entry(host.to_owned()).or_default().push(who.to_owned());
        }
    }
    by_host
}

/// Compiling makes automata of many small and growing tables.
fn compile_many(patterns: usize) {
    let mut random = Random::new(9);
    for _ in 0..patterns {
        let (a, b) = (random.word(6), random.word(3));
        let pattern =
            Regex::new(&format!(r"(?i)^(?:{a}|{b})+\p{{Greek}}*(?<n>\d{{2,5}})$")).expect("a pattern");
        let found = pattern.captures(&format!("{}{b}λ{}", a.to_uppercase(), 1234)).map(|c| c["n"].to_owned());
        assert_eq!(found.as_deref(), Some("1234"), "{pattern}");
        assert!(!pattern.is_match(&format!("{a}λ1")), "{pattern}");
    }
}
