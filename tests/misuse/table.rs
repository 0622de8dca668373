//! One program for each kind of misuse, for both doors, in each build: what happens, to the letter; and the README's table of it.
//!
//! A run checks the columns of its own build: `cargo test --test misuse table::`, and the same with `--features hardened`. For the column
//! "guarded" all allocations are guarded; where chance decides whether an object is at one end of its pages or at the other, a program
//! runs until each of its fates has been seen.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::{fs, path::Path};

use crate::common::{Case, without_core};
use crate::library::{Program, Way};
use crate::programs;

/// What becomes of a program that misuses the heap. In lines `@` is the address that the program told, and `#` any number.
#[derive(Clone, Copy)]
enum Fate {
    /// It is ended with SIGABRT and this line, in the call.
    AtOnce(&'static str),
    /// It is ended so later: when the thread's cache is emptied, the object freed, or handed out again.
    Later(&'static str),
    /// It is ended with SIGSEGV, where it touches what is not its own.
    Fault,
    /// The same, with this line.
    Told(&'static str),
    /// It goes on, and sees this.
    GoesOn(&'static str),
    /// There is no such program for this door.
    None,
}
use Fate::{AtOnce, Fault, GoesOn, Later, Told};

struct Row {
    name: &'static str,
    title: &'static str,
    /// Rust, C; as users build it.
    default: [Fate; 2],
    /// Rust, C; where the object is guarded. As chance has it, one of them.
    guarded: [&'static [Fate]; 2],
    /// Rust, C; with the feature `hardened`.
    hardened: [Fate; 2],
}

const SOUND: Fate = GoesOn("the heap is sound");
const TWO: Fate = GoesOn("two objects at one address");
const NEIGHBOUR: Fate = GoesOn("a neighbour's bytes changed");
const FREE: &str = "free: object is already free (addr=@, class=64, state=Freed)";
const FREE_LARGE: &str = "free: object is already free (addr=@, class=large, size=106496, state=Freed)";
const REALLOC: &str = "realloc: object is already free (addr=@, class=64, state=Freed)";
const MIDDLE: &str = "free: pointer into the middle of an object (addr=@, class=64)";
const MIDDLE_LIVE: &str =
    "free: pointer into the middle of an object (addr=@, class=64, size=60, state=Live)";
const MIDDLE_LARGE: &str = "free: pointer into the middle of an object, or already free (addr=@, class=large, size=106496, state=Live)";
const NEVER: &str = "free: pointer was never allocated (addr=@)";
const NONE_THERE: &str = "free: pointer was never allocated, or is already free (addr=@)";
const NONE_THERE_LARGE: &str =
    "free: pointer was never allocated, or is already free (addr=@, class=large, size=106496, state=Live)";
const NOT_OF_LARGE: &str =
    "free: object is not of this size class (addr=@, said=64, class=large, size=106496, state=Live)";
const PAST: &str = "free: object was written to past its end (addr=@, class=64, size=60, state=Live)";

const G_FREE: &[Fate] =
    &[AtOnce("free: object is already free (addr=@, class=64, size=#, state=Freed, thread=#)")];
const G_FREE_LARGE: &[Fate] =
    &[AtOnce("free: object is already free (addr=@, class=large, size=106496, state=Freed, thread=#)")];
const G_MIDDLE: &[Fate] =
    &[AtOnce("free: pointer into the middle of an object (addr=@, class=64, size=#, state=Live, thread=#)")];
const G_MIDDLE_LARGE: &[Fate] = &[AtOnce(
    "free: pointer into the middle of an object (addr=@, class=large, size=106496, state=Live, thread=#)",
)];
const G_REALLOC: &[Fate] =
    &[AtOnce("realloc: object is already free (addr=@, class=64, size=60, state=Freed, thread=#)")];
const G_SIZED_LONG: &[Fate] = &[AtOnce(
    "free_sized: object has another size (addr=@, said=100, class=64, size=60, state=Live, thread=#)",
)];
const G_SIZED_SHORT: &[Fate] = &[AtOnce(
    "free_sized: object has another size (addr=@, said=50, class=64, size=60, state=Live, thread=#)",
)];
const G_USE: &[Fate] =
    &[Told("use after free: write of byte # (addr=@, class=#, size=#, state=Freed, thread=#, fault=#)")];
const G_USE_LARGE: &[Fate] = &[Told(
    "use after free: write of byte 8 (addr=@, class=large, size=106496, state=Freed, thread=#, fault=#)",
)];
const G_READ: &[Fate] =
    &[Told("use after free: read of byte # (addr=@, class=64, size=#, state=Freed, thread=#, fault=#)")];
const G_PAST: &[Fate] = &[Later(
    "free: object was written to past its end (addr=@, by=1, class=64, size=60, state=Live, thread=#)",
)];
const G_OVER: &[Fate] = &[
    Told(
        "overflow by 1 byte: write past the end of an object (addr=@, class=64, size=64, state=Live, thread=#, fault=#)",
    ),
    Later("free: object was written to past its end (addr=@, by=1, class=64, size=64, state=Live, thread=#)"),
];
const G_OVER_C: &[Fate] = &[
    Told(
        "overflow by 5 bytes: write past the end of an object (addr=@, class=64, size=60, state=Live, thread=#, fault=#)",
    ),
    Later("free: object was written to past its end (addr=@, by=1, class=64, size=60, state=Live, thread=#)"),
];
const G_UNDER: &[Fate] = &[
    Told(
        "underflow by 1 byte: write before an object (addr=@, class=64, size=#, state=Live, thread=#, fault=#)",
    ),
    Later(
        "free: object was written to before its start (addr=@, by=1, class=64, size=#, state=Live, thread=#)",
    ),
];
const G_OVER_LARGE: &[Fate] = &[Told(
    "overflow by 1 byte: write past the end of an object (addr=@, class=large, size=106496, state=Live, thread=#, fault=#)",
)];
const G_UNDER_LARGE: &[Fate] = &[Told(
    "underflow by 1 byte: write before an object (addr=@, class=large, size=106496, state=Live, thread=#, fault=#)",
)];
/// What sampling changes nothing about.
const AS_DEFAULT: [&[Fate]; 2] = [&[], &[]];

const ROWS: &[Row] = &[
    Row {
        name: "double_free",
        title: "double free at once",
        default: [Later(FREE), AtOnce(FREE)],
        guarded: [G_FREE, G_FREE],
        hardened: [AtOnce(FREE), AtOnce(FREE)],
    },
    Row {
        name: "double_free_then_allocate",
        title: "the same, then two allocations",
        default: [TWO, AtOnce(FREE)],
        guarded: [G_FREE, G_FREE],
        hardened: [AtOnce(FREE), AtOnce(FREE)],
    },
    Row {
        name: "double_free_then_more_frees",
        title: "the same, then frees until the thread's bin is full",
        default: [Later(FREE), AtOnce(FREE)],
        guarded: [G_FREE, G_FREE],
        hardened: [AtOnce(FREE), AtOnce(FREE)],
    },
    Row {
        name: "double_free_after_others",
        title: "double free after other frees",
        default: [Later(FREE), AtOnce(FREE)],
        guarded: [G_FREE, G_FREE],
        hardened: [AtOnce(FREE), AtOnce(FREE)],
    },
    Row {
        name: "double_free_after_others_then_allocate",
        title: "the same, then three allocations",
        default: [TWO, AtOnce(FREE)],
        guarded: [G_FREE, G_FREE],
        hardened: [AtOnce(FREE), AtOnce(FREE)],
    },
    Row {
        name: "double_free_by_two_threads",
        title: "double free by two threads, then allocations",
        default: [TWO, AtOnce(FREE)],
        guarded: [G_FREE, G_FREE],
        hardened: [AtOnce(FREE), AtOnce(FREE)],
    },
    Row {
        name: "double_free_after_a_write",
        title: "double free after a write to the freed object's first bytes",
        default: [Later(FREE), Later(FREE)],
        guarded: [G_USE, G_USE],
        hardened: [AtOnce(FREE), AtOnce(FREE)],
    },
    Row {
        name: "double_free_of_a_large",
        title: "double free of a large object",
        default: [AtOnce(FREE_LARGE), AtOnce(FREE_LARGE)],
        guarded: [G_FREE_LARGE, G_FREE_LARGE],
        hardened: [AtOnce(NONE_THERE), AtOnce(NONE_THERE)],
    },
    Row {
        name: "double_free_of_a_huge",
        title: "double free of a huge object",
        default: [AtOnce(NONE_THERE), AtOnce(NONE_THERE)],
        guarded: AS_DEFAULT,
        hardened: [AtOnce(NONE_THERE), AtOnce(NONE_THERE)],
    },
    Row {
        name: "free_inside_a_small",
        title: "free of a pointer into a small object",
        default: [Later(MIDDLE), AtOnce(MIDDLE)],
        guarded: [G_MIDDLE, G_MIDDLE],
        hardened: [AtOnce(MIDDLE_LIVE), AtOnce(MIDDLE_LIVE)],
    },
    Row {
        name: "free_inside_a_large",
        title: "free of a pointer into a large object",
        default: [AtOnce(MIDDLE_LARGE), AtOnce(MIDDLE_LARGE)],
        guarded: [G_MIDDLE_LARGE, G_MIDDLE_LARGE],
        hardened: [AtOnce(NONE_THERE_LARGE), AtOnce(NONE_THERE_LARGE)],
    },
    Row {
        name: "free_of_a_stack_address",
        title: "free of a stack address",
        default: [Later(NEVER), AtOnce(NONE_THERE)],
        guarded: AS_DEFAULT,
        hardened: [AtOnce(NEVER), AtOnce(NONE_THERE)],
    },
    Row {
        name: "free_of_a_static",
        title: "free of a static",
        default: [Later(NEVER), AtOnce(NONE_THERE)],
        guarded: AS_DEFAULT,
        hardened: [AtOnce(NEVER), AtOnce(NONE_THERE)],
    },
    Row {
        name: "free_of_a_foreign_mapping",
        title: "free of somebody else's mapping",
        default: [Later(NEVER), AtOnce(NONE_THERE)],
        guarded: AS_DEFAULT,
        hardened: [AtOnce(NEVER), AtOnce(NONE_THERE)],
    },
    Row {
        name: "free_as_another_size",
        title: "free with a `Layout` of another class",
        default: [Later("free: object is not of this size class (addr=@, said=112, class=64)"), Fate::None],
        guarded: [
            &[AtOnce(
                "free: object is not of this size class (addr=@, said=112, class=64, size=64, state=Live, thread=#)",
            )],
            &[],
        ],
        hardened: [
            AtOnce(
                "free: object is not of this size class (addr=@, said=112, class=64, size=60, state=Live)",
            ),
            Fate::None,
        ],
    },
    Row {
        name: "free_as_another_size_of_the_class",
        title: "free with a `Layout` of another size of the class",
        default: [GoesOn("nothing"), Fate::None],
        guarded: AS_DEFAULT,
        hardened: [
            AtOnce("free: object has another size (addr=@, said=50, class=64, size=60, state=Live)"),
            Fate::None,
        ],
    },
    Row {
        name: "free_as_another_alignment",
        title: "free with a `Layout` of a larger alignment",
        default: [Later("free: object is not of this size class (addr=@, said=128, class=64)"), Fate::None],
        guarded: [
            &[AtOnce(
                "free: object is not of this size class (addr=@, said=128, class=64, size=64, state=Live, thread=#)",
            )],
            &[],
        ],
        hardened: [
            AtOnce(
                "free: object is not of this size class (addr=@, said=128, class=64, size=60, state=Live)",
            ),
            Fate::None,
        ],
    },
    Row {
        name: "free_of_a_large_as_another_large",
        title: "free of a large object with a `Layout` of another large size",
        default: [
            AtOnce(
                "free: object has another size (addr=@, said=200000, class=large, size=106496, state=Live)",
            ),
            Fate::None,
        ],
        guarded: [
            &[AtOnce(
                "free: object has another size (addr=@, said=200000, class=large, size=106496, state=Live, thread=#)",
            )],
            &[],
        ],
        hardened: [
            AtOnce(
                "free: object has another size (addr=@, said=200000, class=large, size=106496, state=Live)",
            ),
            Fate::None,
        ],
    },
    Row {
        name: "free_of_a_huge_as_another_huge",
        title: "free of a huge object with a `Layout` of another huge size",
        default: [
            AtOnce(
                "free: object has another size (addr=@, said=400000000, class=large, size=136314880, state=Live)",
            ),
            Fate::None,
        ],
        guarded: AS_DEFAULT,
        hardened: [
            AtOnce(
                "free: object has another size (addr=@, said=400000000, class=large, size=136314880, state=Live)",
            ),
            Fate::None,
        ],
    },
    Row {
        name: "free_of_a_large_as_a_small",
        title: "free of a large object with a `Layout` of a small size",
        default: [Later(NOT_OF_LARGE), Fate::None],
        guarded: [
            &[AtOnce(
                "free: object is not of this size class (addr=@, said=64, class=large, size=106496, state=Live, thread=#)",
            )],
            &[],
        ],
        hardened: [AtOnce(NOT_OF_LARGE), Fate::None],
    },
    Row {
        name: "free_of_a_small_as_a_large",
        title: "free of a small object with a `Layout` of a large size",
        default: [
            AtOnce("free: object is smaller than its layout says (addr=@, said=100000, class=64)"),
            Fate::None,
        ],
        guarded: [
            &[AtOnce(
                "free: object has another size (addr=@, said=100000, class=64, size=64, state=Live, thread=#)",
            )],
            &[],
        ],
        hardened: [
            AtOnce(
                "free: object is smaller than its layout says (addr=@, said=100000, class=64, size=60, state=Live)",
            ),
            Fate::None,
        ],
    },
    Row {
        name: "realloc_of_a_freed",
        title: "realloc of a freed object, same class",
        default: [GoesOn("nothing"), AtOnce(REALLOC)],
        guarded: [&[], G_REALLOC],
        hardened: [AtOnce(REALLOC), AtOnce(REALLOC)],
    },
    Row {
        name: "realloc_of_a_freed_to_another_class",
        title: "realloc of a freed object, another class",
        default: [Later(FREE), AtOnce(REALLOC)],
        guarded: [G_READ, G_REALLOC],
        hardened: [AtOnce(REALLOC), AtOnce(REALLOC)],
    },
    Row {
        name: "free_sized_too_long",
        title: "`free_sized` with a size above the class's",
        default: [Fate::None, AtOnce("free_sized: object has another size (addr=@, said=100, class=64)")],
        guarded: [&[], G_SIZED_LONG],
        hardened: [
            Fate::None,
            AtOnce("free_sized: object has another size (addr=@, said=100, class=64, size=60, state=Live)"),
        ],
    },
    Row {
        name: "free_sized_too_short",
        title: "`free_sized` with another size of the class",
        default: [Fate::None, SOUND],
        guarded: [&[], G_SIZED_SHORT],
        hardened: [
            Fate::None,
            AtOnce("free_sized: object has another size (addr=@, said=50, class=64, size=60, state=Live)"),
        ],
    },
    Row {
        name: "free_sized_of_a_large",
        title: "`free_sized` of a large object with a larger size",
        default: [
            Fate::None,
            AtOnce(
                "free_sized: object has another size (addr=@, said=200000, class=large, size=106496, state=Live)",
            ),
        ],
        guarded: [
            &[],
            &[AtOnce(
                "free_sized: object has another size (addr=@, said=200000, class=large, size=106496, state=Live, thread=#)",
            )],
        ],
        hardened: [
            Fate::None,
            AtOnce(
                "free_sized: object has another size (addr=@, said=200000, class=large, size=106496, state=Live)",
            ),
        ],
    },
    Row {
        name: "free_sized_of_a_large_as_a_small",
        title: "`free_sized` of a large object with a small size",
        default: [Fate::None, SOUND],
        guarded: AS_DEFAULT,
        hardened: [Fate::None, SOUND],
    },
    Row {
        name: "write_after_free",
        title: "write after free",
        default: [SOUND, SOUND],
        guarded: [G_USE, G_USE],
        hardened: [
            Later("malloc: free object was written to (addr=@, class=64, offset=8, state=Freed)"),
            Later("malloc: free object was written to (addr=@, class=64, offset=8, state=Freed)"),
        ],
    },
    Row {
        name: "write_after_free_of_a_large",
        title: "write after free of a large object",
        default: [SOUND, SOUND],
        guarded: [G_USE_LARGE, G_USE_LARGE],
        hardened: [Fault, Fault],
    },
    Row {
        name: "read_after_free",
        title: "read after free",
        default: [GoesOn("the old bytes"), GoesOn("the old bytes")],
        guarded: [G_READ, G_READ],
        hardened: [GoesOn("zeros"), GoesOn("zeros")],
    },
    Row {
        name: "read_of_a_recycled_secret",
        title: "read of a new object that held a secret",
        default: [GoesOn("the secret"), GoesOn("the secret")],
        guarded: [&[GoesOn("zeros")], &[GoesOn("zeros")]],
        hardened: [GoesOn("zeros"), GoesOn("zeros")],
    },
    Row {
        name: "overflow_by_one",
        title: "overflow by one byte, 60 of 64",
        default: [SOUND, SOUND],
        guarded: [&[], G_PAST],
        hardened: [Later(PAST), Later(PAST)],
    },
    Row {
        name: "overflow_by_one_without_room",
        title: "overflow by one byte, 64 of 64, into a live object",
        default: [NEIGHBOUR, NEIGHBOUR],
        guarded: [G_OVER, G_OVER],
        hardened: [NEIGHBOUR, NEIGHBOUR],
    },
    Row {
        name: "overflow_by_one_object",
        title: "overflow by one object, 60 of 64",
        default: [NEIGHBOUR, NEIGHBOUR],
        guarded: [G_OVER, G_OVER_C],
        hardened: [Later(PAST), Later(PAST)],
    },
    Row {
        name: "underflow_by_one",
        title: "underflow by one byte, behind 60 of 64",
        default: [SOUND, SOUND],
        guarded: [G_UNDER, G_UNDER],
        hardened: [Later(PAST), Later(PAST)],
    },
    Row {
        name: "overflow_of_a_large",
        title: "overflow of a large object past its last page",
        default: [SOUND, SOUND],
        guarded: [G_OVER_LARGE, G_OVER_LARGE],
        hardened: [Fault, Fault],
    },
    Row {
        name: "underflow_of_a_large",
        title: "underflow of a large object",
        default: [SOUND, SOUND],
        guarded: [G_UNDER_LARGE, G_UNDER_LARGE],
        hardened: [Fault, Fault],
    },
    Row {
        name: "attack_on_metadata",
        title: "freed objects of six sizes overwritten, wherever they are kept, and what lies between them",
        default: [SOUND, SOUND],
        guarded: [G_USE, G_USE],
        hardened: [
            Later("malloc: free object was written to (addr=#, class=64, offset=0, state=Freed)"),
            Later("malloc: free object was written to (addr=#, class=64, offset=0, state=Freed)"),
        ],
    },
];

impl Row {
    fn here(&self) -> &[Fate; 2] {
        if cfg!(feature = "hardened") { &self.hardened } else { &self.default }
    }

    /// What may become of it where its object is guarded.
    fn guarded(&self, door: usize) -> &[Fate] {
        if self.guarded[door].is_empty() { &self.default[door..=door] } else { self.guarded[door] }
    }
}

/// How a program ended.
struct End<'a> {
    signal: Option<i32>,
    stdout: &'a str,
    stderr: &'a str,
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

/// Fails unless the stacks of whom a report is about follow its first line, each with calls in a file that is there.
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
    let is_freed = line.contains("state=Freed");
    assert_eq!(blocks.len(), if is_freed { 3 } else { 2 }, "{all}");
    assert!(blocks[1].0.starts_with("  allocated by thread "), "{all}");
    assert!(!is_freed || blocks[2].0.starts_with("  freed by thread "), "{all}");
}

impl Fate {
    /// Whether the program ended with this signal, and in the other call than `Later` or `AtOnce`.
    fn may_be(&self, end: &End<'_>) -> bool {
        match self {
            AtOnce(_) | Later(_) => end.signal == Some(libc::SIGABRT),
            Fault | Told(_) => end.signal == Some(libc::SIGSEGV),
            GoesOn(_) | Self::None => end.signal.is_none(),
        }
    }

    /// Fails unless the program ended so.
    fn holds(&self, name: &str, end: &End<'_>) {
        let End { signal, stdout, stderr } = *end;
        let all = format!("{name}: signal {signal:?}\n--- stdout\n{stdout}--- stderr\n{stderr}");
        // The checks of the feature `invariants` notice some of it sooner, in their own words.
        let after = |what: &str| stdout.lines().find_map(|l| l.strip_prefix(what));
        let address = after("address: ").unwrap_or_else(|| panic!("no address: {all}"));
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
            Fault => {
                assert_eq!((signal, stderr, survived), (Some(libc::SIGSEGV), "", false), "{all}");
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

    fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    fn cell(&self) -> String {
        let message = |line: &str| line.split(" (").next().unwrap_or(line).to_owned();
        match self {
            AtOnce(line) => format!("at once: `{}`", message(line)),
            Later(line) => format!("later: `{}`", message(line)),
            Fault => "SIGSEGV".into(),
            Told(line) => format!("SIGSEGV: `{}`", line.split(':').next().unwrap_or(line)),
            GoesOn("nothing" | "the heap is sound") => "not noticed; the heap stays sound".into(),
            GoesOn(what) => format!("not noticed: {what}"),
            Self::None => String::new(),
        }
    }
}

/// Both doors in one cell.
fn cell(fates: [&[Fate]; 2]) -> String {
    let [rust, c] = fates.map(|fates| fates.iter().map(Fate::cell).collect::<Vec<_>>().join(", or "));
    match (rust.as_str(), c.as_str()) {
        (_, "") => format!("Rust {rust}"),
        ("", _) => format!("C {c}"),
        _ if rust == c => rust,
        _ => format!("Rust {rust}; C {c}"),
    }
}

/// The table as Markdown.
fn table() -> String {
    let mut text = String::from("| misuse | default | guarded | hardened |\n|---|---|---|---|\n");
    for row in ROWS {
        let [default, hardened] = [&row.default, &row.hardened].map(|[rust, c]| cell([&[*rust], &[*c]]));
        let guarded = cell([row.guarded(0), row.guarded(1)]);
        text += &format!("| {} | {default} | {guarded} | {hardened} |\n", row.title);
    }
    text
}

#[test]
fn rust_programs_end_as_the_table_says() {
    for row in ROWS {
        let body = || {
            without_core();
            let there = programs::run(row.name).is_some();
            assert!(!there, "{} came to an end without saying so", row.name);
        };
        if row.here()[0].is_none() {
            continue;
        }
        Case::new("table::rust_programs_end_as_the_table_says", row.name).judge(body, |out: &Output| {
            let (stdout, stderr) =
                (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
            let end = End { signal: out.status.signal(), stdout: &stdout, stderr: &stderr };
            row.here()[0].holds(row.name, &end);
        });
    }
}

/// Runs a program whose object is guarded until each of its fates has been seen.
#[cfg(not(feature = "hardened"))]
fn until_all_are_seen(name: &str, fates: &[Fate], mut run: impl FnMut(&mut dyn FnMut(&End<'_>))) {
    let mut seen = vec![false; fates.len()];
    for _ in 0..40 {
        run(&mut |end| {
            let i = fates.iter().position(|fate| fate.may_be(end)).unwrap_or(0);
            fates[i].holds(name, end);
            seen[i] = true;
        });
        if seen.iter().all(|&seen| seen) {
            return;
        }
    }
    panic!("{name}: not all seen: {seen:?}");
}

#[test]
#[cfg(not(feature = "hardened"))]
fn guarded_rust_programs_end_as_the_table_says() {
    const TEST: &str = "table::guarded_rust_programs_end_as_the_table_says";
    for row in ROWS.iter().filter(|row| !row.default[0].is_none()) {
        let body = || {
            without_core();
            assert!(programs::run(row.name).is_none(), "{} came to an end without saying so", row.name);
        };
        if Case::is_any() {
            Case::new(TEST, row.name).judge(body, |_| ());
            continue;
        }
        until_all_are_seen(row.name, row.guarded(0), |judge| {
            Case::new(TEST, row.name).env("GODEBUG", "guardrate=1").judge(body, |out| {
                let (stdout, stderr) =
                    (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
                judge(&End { signal: out.status.signal(), stdout: &stdout, stderr: &stderr });
            });
        });
    }
}

#[test]
#[cfg(not(feature = "hardened"))]
fn guarded_c_programs_end_as_the_table_says() {
    if Case::is_any() {
        return;
    }
    // Segments with gaps between them: where the code is says nothing of where its tables are.
    let flags = ["-Wno-use-after-free", "-Wl,-z,max-page-size=0x200000"];
    let program = Program::compile("../misuse/programs.c", &flags, Way::Preload);
    for row in ROWS.iter().filter(|row| !row.default[1].is_none()) {
        until_all_are_seen(row.name, row.guarded(1), |judge| {
            let out = program.run().env("GODEBUG", "guardrate=1").arg(row.name).output();
            judge(&End { signal: out.status.signal(), stdout: &out.stdout, stderr: &out.stderr });
        });
    }
}

#[test]
fn c_programs_end_as_the_table_says() {
    if Case::is_any() {
        return;
    }
    let program = Program::compile("../misuse/programs.c", &["-Wno-use-after-free"], Way::Preload);
    for row in ROWS.iter().filter(|row| !row.here()[1].is_none()) {
        let out = program.run().arg(row.name).output();
        let end = End { signal: out.status.signal(), stdout: &out.stdout, stderr: &out.stderr };
        row.here()[1].holds(row.name, &end);
    }
}

/// The README has the table that the programs are held to. `--nocapture` prints it.
#[test]
fn readme_has_the_table() {
    let (table, readme) = (table(), Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    println!("{table}");
    let text = fs::read_to_string(readme).expect("there is a README");
    assert!(text.contains(&table), "the README has another table; this is the right one:\n{table}");
}
