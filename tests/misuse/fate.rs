//! What becomes of a program that misuses the heap, and whether it did.

use std::path::Path;

use Fate::{AtOnce, GoesOn, Later, Told};

/// What becomes of a program that misuses the heap. In lines `@` is the address that the program told, and `#` any number.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    /// It is ended with SIGABRT and this line, in the call.
    AtOnce(&'static str),
    /// It is ended so later: when the thread's cache is emptied, the object freed, or handed out again.
    Later(&'static str),
    /// It is ended with SIGSEGV, where it touches what is not its own, and this line.
    Told(&'static str),
    /// It goes on, and sees this.
    GoesOn(&'static str),
    /// There is no such program for this door.
    None,
}
/// How a program ended.
pub(crate) struct End<'a> {
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: &'a str,
    pub(crate) stderr: &'a str,
}

/// Whether a line is as it should be: `@` is the address, `#` a hexadecimal number.
fn is_line(line: &str, pattern: &str, address: &str) -> bool {
    let Some(line) = line.strip_prefix("gort: fatal: ") else { return false };
    let pattern = pattern.replace('@', address);
    let mut parts = pattern.split('#');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    for part in parts {
        let number = rest.bytes().take_while(|&b| b == b'x' || b.is_ascii_hexdigit()).count();
        match rest[number..].strip_prefix(part) {
            Some(after) if number > 0 => rest = after,
            _ => return false,
        }
    }
    rest.is_empty()
}

/// Fails unless the stacks of whom a report is about follow its first line, each with calls in a file that is there. Where the line does not
/// say who allocated the object, that is who touched it alone.
fn has_stacks(stacks: &str, line: &str, all: &str) {
    let mut blocks = vec![];
    for text in stacks.lines() {
        match text.strip_prefix("    #") {
            None => blocks.push((text, 0)),
            Some(call) => {
                let file = call
                    .split_once("0x")
                    .and_then(|(_, call)| Some(call.split_once(' ')?.1.rsplit_once("+0x")?.0));
                assert!(file.is_some_and(|file| Path::new(file).exists()), "no file of {text:?}: {all}");
                blocks.last_mut().expect("a stack starts with a line").1 += 1;
            }
        }
    }
    assert!(
        blocks.iter().all(|&(text, calls)| text.contains(" by thread ") && calls >= 3),
        "{blocks:?}: {all}"
    );
    if !line.contains("thread=") {
        assert_eq!(blocks.len(), 1, "{all}");
        return;
    }
    let is_freed = line.contains("state=Freed");
    assert_eq!(blocks.len(), if is_freed { 3 } else { 2 }, "{all}");
    assert!(blocks[1].0.starts_with("  allocated by thread "), "{all}");
    assert!(!is_freed || blocks[2].0.starts_with("  freed by thread "), "{all}");
}

impl Fate {
    /// Whether the program ended with this signal, and in the other call than `Later` or `AtOnce`.
    pub(crate) fn may_be(&self, end: &End<'_>) -> bool {
        match self {
            AtOnce(_) | Later(_) => end.signal == Some(libc::SIGABRT),
            Told(_) => end.signal == Some(libc::SIGSEGV),
            GoesOn(_) | Self::None => end.signal.is_none(),
        }
    }

    /// Fails unless the program ended so.
    pub(crate) fn holds(&self, name: &str, end: &End<'_>) {
        let End { signal, stdout, stderr } = *end;
        let all = format!("{name}: signal {signal:?}\n--- stdout\n{stdout}--- stderr\n{stderr}");
        let after = |what: &str| stdout.lines().find_map(|l| l.strip_prefix(what));
        let address = after("address: ").unwrap_or_else(|| panic!("no address: {all}"));
        // The checks of the feature `invariants` notice some of it sooner, in their own words.
        if cfg!(feature = "invariants") && stderr.contains("fatal: invariant broken: not an object") {
            assert_eq!((signal, stderr.lines().count()), (Some(libc::SIGABRT), 1), "{all}");
            assert!(stderr.contains(address), "another address: {all}");
            return;
        }
        let survived = after("survived").is_some();
        match self {
            AtOnce(line) | Later(line) => {
                assert_eq!(signal, Some(libc::SIGABRT), "{all}");
                let (first, stacks) = stderr.split_once('\n').unwrap_or_default();
                assert!(is_line(first, line, address), "not {line:?}: {all}");
                if line.contains("thread=") {
                    has_stacks(stacks, line, &all);
                } else {
                    assert_eq!(stacks, "", "not one line: {all}");
                }
                assert_eq!(survived, matches!(self, Later(_)), "when? {all}");
            }
            Told(line) => {
                assert_eq!(signal, Some(libc::SIGSEGV), "{all}");
                let (first, stacks) = stderr.split_once('\n').unwrap_or_default();
                assert!(is_line(first, line, address), "not {line:?}: {all}");
                has_stacks(stacks, line, &all);
            }
            GoesOn(what) => {
                assert_eq!((signal, stderr), (None, ""), "{all}");
                assert_eq!(after("saw: "), Some(*what), "{all}");
            }
            Self::None => panic!("there is such a program: {all}"),
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn cell(&self) -> String {
        let message = |line: &str| line.split(" (").next().unwrap_or(line).to_owned();
        match self {
            AtOnce(line) => format!("at once: `{}`", message(line)),
            Later(line) => format!("later: `{}`", message(line)),
            Told(line) => format!("SIGSEGV: `{}`", line.split(':').next().unwrap_or(line)),
            GoesOn("the heap is sound") => "not noticed; the heap stays sound".into(),
            GoesOn(what) => format!("not noticed: {what}"),
            Self::None => String::new(),
        }
    }
}
