//! The only door to the operating system and to assembly: memory, futex, thread-local slots, clocks, the environment.

mod cfi;
mod clock;
mod entropy;
mod errno;
pub(crate) mod faults;
pub(crate) mod futex;
mod leftover;
mod linux;
mod machine;
mod os;
mod output;
mod path;
pub(crate) mod signals;
#[cfg_attr(target_arch = "x86_64", path = "stack_x86_64.rs")]
mod stack;
pub(crate) mod thread;
#[cfg_attr(target_arch = "x86_64", path = "tls_x86_64.rs")]
mod tls;
#[cfg_attr(target_arch = "x86_64", path = "unwind_x86_64.rs")]
pub(crate) mod unwind;

pub(crate) use clock::{coarse_ns, precise_ns, wall_ns};
pub(crate) use entropy::random;
pub(crate) use errno::{EINVAL, ENOMEM, set as set_errno};
pub(crate) use linux::{Linux, OBJECT_GUARD};
pub(crate) use machine::{each_line, env, has_environment, is_secure, physical_memory, read_file};
pub(crate) use os::Os;
pub(crate) use output::{
    FileId, Output, Target, close, create, duplicate, file_id, open_special, path_of_program,
    push_current_dir, remove, rename, target, written_at,
};
pub(crate) use path::Path;
pub(crate) use stack::on_own_stack;
pub(crate) use tls::tls_slot;
