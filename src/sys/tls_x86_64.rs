//! A word of thread-local storage that is one load away, without a lazy-initialisation check.
//!
//! The slot is an initial-exec ELF TLS variable: the loader copies its initial value (a link-time address) into each new
//! thread, and the linker turns the offset load into an immediate in executables. It is read through asm each time, so the
//! compiler cannot keep its address across a switch to another thread. `thread_local!` needs std; `#[thread_local]` is not
//! stable.

/// Declares a thread-local word named `$symbol` whose initial value is the address of the static `$init`, and a module
/// `$name` with `get()`, `set()` and `swap()`.
macro_rules! tls_slot {
    ($(#[$doc:meta])* $vis:vis mod $name:ident, $symbol:literal, $init:path) => {
        core::arch::global_asm!(
            concat!(".pushsection .tdata.", $symbol, ",\"awT\",@progbits"),
            ".p2align 3",
            concat!(".globl ", $symbol),
            concat!(".hidden ", $symbol),
            concat!(".type ", $symbol, ",@object"),
            concat!(".size ", $symbol, ", 8"),
            concat!($symbol, ":"),
            ".quad {init}",
            ".popsection",
            init = sym $init,
        );

        $(#[$doc])*
        #[allow(dead_code, reason = "not every slot is both read and written in every configuration")]
        $vis mod $name {
            /// The calling thread's value.
            #[inline(always)]
            pub(crate) fn get() -> *const u8 {
                let value: *const u8;
                // SAFETY: reads the calling thread's own word: first its offset from the thread pointer, then the word.
                unsafe {
                    core::arch::asm!(
                        concat!("mov {v}, qword ptr [rip + ", $symbol, "@GOTTPOFF]"),
                        "mov {v}, qword ptr fs:[{v}]",
                        v = out(reg) value,
                        options(pure, readonly, nostack, preserves_flags),
                    );
                }
                value
            }

            /// Sets the calling thread's value.
            #[inline(always)]
            pub(crate) fn set(value: *const u8) {
                // SAFETY: writes the calling thread's own word, which only `get` and `set` name.
                unsafe {
                    core::arch::asm!(
                        concat!("mov {t}, qword ptr [rip + ", $symbol, "@GOTTPOFF]"),
                        "mov qword ptr fs:[{t}], {v}",
                        t = out(reg) _,
                        v = in(reg) value,
                        options(nostack, preserves_flags),
                    );
                }
            }

            /// Sets the calling thread's value and returns what it was, so that no signal handler can come between.
            #[inline]
            pub(crate) fn swap(value: *const u8) -> *const u8 {
                let old: *const u8;
                // SAFETY: as in `set`.
                unsafe {
                    core::arch::asm!(
                        concat!("mov {t}, qword ptr [rip + ", $symbol, "@GOTTPOFF]"),
                        "xchg qword ptr fs:[{t}], {v}",
                        t = out(reg) _,
                        v = inout(reg) value => old,
                        options(nostack, preserves_flags),
                    );
                }
                old
            }
        }
    };
}

pub(crate) use tls_slot;
