//! The kinds of misuse, one program each by name, and what becomes of it at both doors in each build.

use crate::fate::Fate::{self, AtOnce, GoesOn, Later, Told};

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Rust, C; as users build it.
    pub(crate) default: [Fate; 2],
    /// Rust, C; where the object is guarded. As chance has it, one of them.
    pub(crate) guarded: [&'static [Fate]; 2],
    /// Rust, C; with the feature `hardened`.
    pub(crate) hardened: [Fate; 2],
}

const SOUND: Fate = GoesOn("the heap is sound");
const TWO: Fate = GoesOn("two objects at one address");
const NEIGHBOUR: Fate = GoesOn("a neighbour's bytes changed");
const FREE: &str = "free: object is already free (addr=@, class=64, state=Freed)";
const FREE_LARGE: &str = "free: object is already free (addr=@, class=large, size=106496, state=Freed)";
const REALLOC: &str = "realloc: object is already free (addr=@, class=64, state=Freed)";
const MIDDLE: &str = "free: pointer into the middle of an object (addr=@, class=64, state=LiveOrCached)";
const MIDDLE_LIVE: &str =
    "free: pointer into the middle of an object (addr=@, class=64, size=60, state=Live)";
const MIDDLE_LARGE: &str =
    "free: pointer into the middle of an object (addr=@, class=large, size=106496, state=Live)";
const NEVER: &str = "free: pointer was never allocated (addr=@)";
const NONE_THERE: &str = "free: pointer was never allocated, or is already free (addr=@)";
const NOT_OF_LARGE: &str =
    "free: object is not of this size class (addr=@, said=64, class=large, size=106496, state=Live)";
const PAST: &str = "free: object was written to past its end (addr=@, class=64, size=60, state=Live)";

const H_FREE_LARGE: &str = "free: object is already free (addr=@, class=large, size=100000, state=Freed)";
const H_FREE_HUGE: &str = "free: object is already free (addr=@, class=large, size=136314880, state=Freed)";
const H_MIDDLE_LARGE: &str =
    "free: pointer into the middle of an object (addr=@, class=large, size=100000, state=Live)";
const H_NOT_OF_LARGE: &str =
    "free: object is not of this size class (addr=@, said=64, class=large, size=100000, state=Live)";
const H_PAST_LARGE: &str =
    "free: object was written to past its end (addr=@, class=large, size=100000, state=Live)";
const H_USE_LARGE: Fate =
    Told("use after free: write of byte 8 (addr=@, class=large, size=100000, state=Freed, fault=#)");
const H_OVER_LARGE: Fate = Told(
    "overflow by 6497 bytes: write past the end of an object (addr=@, class=large, size=100000, state=Live, fault=#)",
);
const H_UNDER_LARGE: Fate = Told(
    "underflow by 1 byte: write before an object (addr=@, class=large, size=100000, state=Live, fault=#)",
);

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

pub(crate) const ROWS: &[Row] = &[
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
        name: "double_free_then_both_free",
        title: "double free at once, two allocations, one owner frees and allocates again, both free",
        default: [Later(FREE), Fate::None],
        guarded: [G_FREE, &[]],
        hardened: [AtOnce(FREE), Fate::None],
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
        name: "double_free_by_two_threads_that_live",
        title: "the same, the first thread still lives",
        default: [TWO, TWO],
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
        hardened: [AtOnce(H_FREE_LARGE), AtOnce(H_FREE_LARGE)],
    },
    Row {
        name: "double_free_of_a_huge",
        title: "double free of a huge object",
        default: [AtOnce(NONE_THERE), AtOnce(NONE_THERE)],
        guarded: AS_DEFAULT,
        hardened: [AtOnce(H_FREE_HUGE), AtOnce(H_FREE_HUGE)],
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
        hardened: [AtOnce(H_MIDDLE_LARGE), AtOnce(H_MIDDLE_LARGE)],
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
        default: [
            Later("free: object is not of this size class (addr=@, said=112, class=64, state=LiveOrCached)"),
            Fate::None,
        ],
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
        default: [SOUND, Fate::None],
        guarded: AS_DEFAULT,
        hardened: [
            AtOnce("free: object has another size (addr=@, said=50, class=64, size=60, state=Live)"),
            Fate::None,
        ],
    },
    Row {
        name: "free_as_another_alignment",
        title: "free with a `Layout` of a larger alignment",
        default: [
            Later("free: object is not of this size class (addr=@, said=128, class=64, state=LiveOrCached)"),
            Fate::None,
        ],
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
                "free: object has another size (addr=@, said=200000, class=large, size=100000, state=Live)",
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
        hardened: [AtOnce(H_NOT_OF_LARGE), Fate::None],
    },
    Row {
        name: "free_of_a_small_as_a_large",
        title: "free of a small object with a `Layout` of a large size",
        default: [
            AtOnce(
                "free: object is smaller than its layout says (addr=@, said=100000, class=64, state=LiveOrCached)",
            ),
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
        default: [TWO, AtOnce(REALLOC)],
        guarded: [G_USE, G_REALLOC],
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
        default: [
            Fate::None,
            AtOnce("free_sized: object has another size (addr=@, said=100, class=64, state=LiveOrCached)"),
        ],
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
                "free_sized: object has another size (addr=@, said=200000, class=large, size=100000, state=Live)",
            ),
        ],
    },
    Row {
        name: "free_sized_of_a_large_as_a_small",
        title: "`free_sized` of a large object with a small size",
        default: [Fate::None, SOUND],
        guarded: AS_DEFAULT,
        hardened: [
            Fate::None,
            AtOnce(
                "free_sized: object has another size (addr=@, said=60, class=large, size=100000, state=Live)",
            ),
        ],
    },
    Row {
        name: "free_aligned_sized_of_another_alignment",
        title: "`free_aligned_sized` with a larger alignment than it has",
        default: [
            Fate::None,
            AtOnce("free_aligned_sized: object has another alignment (addr=@, class=64, state=LiveOrCached)"),
        ],
        guarded: [&[], &[SOUND]],
        hardened: [
            Fate::None,
            AtOnce(
                "free_aligned_sized: object has another alignment (addr=@, class=64, size=64, state=Live)",
            ),
        ],
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
        hardened: [H_USE_LARGE, H_USE_LARGE],
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
        name: "read_of_a_recycled_secret_of_a_large",
        title: "read of a new large object that held a secret",
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
        name: "underflow_by_one_into_a_full",
        title: "underflow by one byte, behind 64 of 64",
        default: [NEIGHBOUR, NEIGHBOUR],
        guarded: [G_UNDER, G_UNDER],
        hardened: [NEIGHBOUR, NEIGHBOUR],
    },
    Row {
        name: "overflow_by_one_of_a_large",
        title: "overflow of a large object by one byte, inside its last page",
        default: [SOUND, SOUND],
        guarded: AS_DEFAULT,
        hardened: [Later(H_PAST_LARGE), Later(H_PAST_LARGE)],
    },
    Row {
        name: "overflow_of_a_large",
        title: "overflow of a large object past its last page",
        default: [SOUND, SOUND],
        guarded: [G_OVER_LARGE, G_OVER_LARGE],
        hardened: [H_OVER_LARGE, H_OVER_LARGE],
    },
    Row {
        name: "underflow_of_a_large",
        title: "underflow of a large object",
        default: [SOUND, SOUND],
        guarded: [G_UNDER_LARGE, G_UNDER_LARGE],
        hardened: [H_UNDER_LARGE, H_UNDER_LARGE],
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
    pub(crate) fn here(&self) -> &[Fate; 2] {
        if cfg!(feature = "hardened") { &self.hardened } else { &self.default }
    }

    /// What may become of it where its object is guarded.
    pub(crate) fn guarded(&self, door: usize) -> &[Fate] {
        if self.guarded[door].is_empty() { &self.default[door..=door] } else { self.guarded[door] }
    }
}
