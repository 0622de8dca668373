//! The only door to the operating system and to assembly: memory, futex, thread-local slots, clocks, the environment.

mod clock;
mod errno;
pub(crate) mod faults;
pub(crate) mod futex;
mod linux;
mod machine;
mod os;
pub(crate) mod thread;
#[cfg_attr(target_arch = "x86_64", path = "tls_x86_64.rs")]
mod tls;

pub(crate) use clock::{coarse_ns, precise_ns};
pub(crate) use errno::{EINVAL, ENOMEM, set as set_errno};
pub(crate) use linux::Linux;
pub(crate) use machine::{env, is_secure, physical_memory, read_file};
pub(crate) use os::Os;
pub(crate) use tls::tls_slot;
