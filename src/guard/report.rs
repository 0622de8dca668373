//! What is said of a misuse: one line as for any other, then the stacks. An address is that of the call's last byte, in the file that it
//! is in: `addr2line -e FILE OFFSET` tells the line.

use core::fmt::{self, Write};

use super::pool::{Place, Refusal, State, Trace};
use crate::base::Class;
use crate::heap::{self, Huge};
use crate::sys::signals::Fault;
use crate::sys::unwind;
use crate::throw::{Line, fatal_with};

/// What is known of an object, as facts of a line.
struct Facts<'a>(&'a Place);

/// A class as a fact.
struct OfClass(Option<Class>);

impl fmt::Display for OfClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(class) => write!(f, "{}", class.size().0),
            None => f.write_str("large"),
        }
    }
}

impl fmt::Display for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { class, usable, state, allocated, .. } = self.0;
        let (class, thread) = (OfClass(*class), allocated.thread);
        write!(f, "class={class}, size={usable}, state={state:?}, thread={thread}")
    }
}

/// Says who did `what`.
fn stack(what: &str, by: &Trace) {
    let mut line = Line::new();
    let _ = write!(line, "  {what} by thread {}:", by.thread);
    line.write_to_stderr();
    for (i, &pc) in by.calls().iter().enumerate() {
        let mut line = Line::new();
        let _ = write!(line, "    #{i} {pc:#x}");
        if let Some(module) = unwind::module_of(pc) {
            let _ = write!(line, " {}+{:#x}", module.name(), module.offset);
        }
        line.write_to_stderr();
    }
}

fn stacks(what: &str, by: &Trace, place: &Place) {
    stack(what, by);
    stack("allocated", &place.allocated);
    if place.state == State::Freed {
        stack("freed", &place.freed);
    }
}

/// Ends the process: an object cannot be freed. `door` is the function that the program called.
pub(super) fn refuse(door: &str, p: *const u8, refusal: &Refusal, place: Option<&Place>, by: &Trace) -> ! {
    let Some(place) = place.filter(|_| *refusal != Refusal::Nothing) else {
        fatal_with(format_args!("{door}: pointer was never allocated (addr={p:?})"), || stack("freed", by))
    };
    let facts = Facts(place);
    let stacks = || stacks(if place.state == State::Freed { "freed again" } else { "freed" }, by, place);
    match refusal {
        Refusal::Nothing | Refusal::Middle => fatal_with(
            format_args!("{door}: pointer into the middle of an object (addr={p:?}, {facts})"),
            stacks,
        ),
        Refusal::AlreadyFree => {
            fatal_with(format_args!("{door}: object is already free (addr={p:?}, {facts})"), stacks)
        }
        Refusal::NotOf(said) => fatal_with(
            format_args!(
                "{door}: object is not of this size class (addr={p:?}, said={}, {facts})",
                said.size().0
            ),
            stacks,
        ),
        Refusal::OtherSize(said) => fatal_with(
            format_args!("{door}: object has another size (addr={p:?}, said={said}, {facts})"),
            stacks,
        ),
        Refusal::Written(at) if *at < place.addr => fatal_with(
            format_args!(
                "{door}: object was written to before its start (addr={p:?}, by={}, {facts})",
                place.addr - at
            ),
            stacks,
        ),
        Refusal::Written(at) => fatal_with(
            format_args!(
                "{door}: object was written to past its end (addr={p:?}, by={}, {facts})",
                at - (place.addr + place.usable) + 1
            ),
            stacks,
        ),
    }
}

/// Ends the process: a door that is not `free` was given no live object.
pub(super) fn no_object(door: &str, p: *const u8, place: Option<&Place>, by: &Trace) -> ! {
    let Some(place) = place else {
        fatal_with(format_args!("{door}: pointer was never allocated (addr={p:?})"), || stack("used", by))
    };
    let what = if place.addr == p.addr() { "object is already free" } else { "no live object starts there" };
    fatal_with(format_args!("{door}: {what} (addr={p:?}, {})", Facts(place)), || stacks("used", by, place))
}

/// Ends the process: the program says another size than an object has.
pub(super) fn other_size(door: &str, p: *const u8, said: usize, place: Option<&Place>, by: &Trace) -> ! {
    let Some(place) = place else { no_object(door, p, place, by) };
    let facts = Facts(place);
    fatal_with(format_args!("{door}: object has another size (addr={p:?}, said={said}, {facts})"), || {
        stacks("freed", by, place);
    })
}

/// Says what an access did that was not allowed.
pub(super) fn fault(fault: &Fault<'_>, place: Option<&Place>, by: &Trace) {
    let access = access(fault);
    let Some(place) = place else {
        let mut line = Line::new();
        let _ =
            write!(line, "gort: fatal: {access} where nothing was ever allocated (addr={:#x})", fault.addr);
        line.write_to_stderr();
        return stack(access, by);
    };
    let freed = (place.state == State::Freed).then_some(place.bytes);
    say(fault, place.addr, place.usable, freed, format_args!(", {}", Facts(place)));
    stacks(access, by, place);
}

/// As `fault`, of an object with a mapping of its own.
pub(super) fn fault_of_huge(fault: &Fault<'_>, huge: Huge, facts: heap::Facts, by: &Trace) {
    // Beside its mapping it is all the same what state it has.
    say(fault, huge.addr, huge.usable, Some(huge.bytes), format_args!("{facts}"));
    stack(access(fault), by);
}

fn access(fault: &Fault<'_>) -> &'static str {
    if fault.is_write { "write" } else { "read" }
}

/// The line on an access to an object, or beside it, that starts at `start` with `usable` bytes, and had `freed` bytes if it was freed.
fn say(fault: &Fault<'_>, start: usize, usable: usize, freed: Option<usize>, facts: fmt::Arguments<'_>) {
    let (access, at) = (access(fault), fault.addr);
    let mut line = Line::new();
    let _ = line.write_str("gort: fatal: ");
    let bytes = |n: usize| (n, if n == 1 { "" } else { "s" });
    let _ = if freed.is_some_and(|bytes| (start..start + bytes).contains(&at)) {
        write!(line, "use after free: {access} of byte {}", at - start)
    } else if at < start {
        let (n, s) = bytes(start - at);
        write!(line, "underflow by {n} byte{s}: {access} before an object")
    } else {
        let (n, s) = bytes(at.saturating_sub(start + usable) + 1);
        write!(line, "overflow by {n} byte{s}: {access} past the end of an object")
    };
    let _ = write!(line, " (addr={start:#x}{facts}, fault={at:#x})");
    line.write_to_stderr();
}
