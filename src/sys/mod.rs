//! The only door to the operating system and to assembly: memory, futex, thread-local slots, clocks, the environment.

mod clock;
mod errno;
pub mod faults;
pub mod futex;
mod linux;
mod machine;
mod os;
pub mod thread;
#[cfg_attr(target_arch = "x86_64", path = "tls_x86_64.rs")]
mod tls;

pub use clock::{coarse_ns, precise_ns};
pub use linux::Linux;
pub use machine::{env, is_secure, physical_memory, read_file};
pub use os::Os;
pub(crate) use tls::tls_slot;
