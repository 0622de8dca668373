//! The workloads with Google's tcmalloc as the global allocator, with its caches for each CPU, as it is meant to run.
//!
//! Two things stand in their way in a Rust program. The initializer that turns them on is in an object file that the linker
//! leaves out, since nothing refers to it; this file does. And since version 2.35 the C library keeps restartable sequences for
//! itself unless a tunable says otherwise: the program starts itself again with that tunable.
#![expect(unsafe_code, reason = "refers to a function of tcmalloc")]

use gort_bench::peers;
use gort_bench::work::{self, Allocator};
use gort_bench::workloads::own;
use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

#[global_allocator]
static GLOBAL: tcmalloc_better::TCMalloc = tcmalloc_better::TCMalloc;

unsafe extern "C" {
    /// Turns the caches on if it can, as its file has done by itself already.
    fn TCMalloc_Internal_ForceCpuCacheActivation();
    fn MallocExtension_Internal_GetPerCpuCachesActive() -> bool;
}

const TUNABLES: &str = "GLIBC_TUNABLES";

fn main() -> ExitCode {
    if env::var_os(TUNABLES).is_none() {
        let again = Command::new("/proc/self/exe")
            .args(env::args_os().skip(1))
            .env(TUNABLES, "glibc.pthread.rseq=0")
            .exec();
        eprintln!("work-tcmalloc: cannot start itself again: {again}");
        return ExitCode::FAILURE;
    }
    // SAFETY: takes nothing, and may be called at any time.
    unsafe { TCMalloc_Internal_ForceCpuCacheActivation() };
    // SAFETY: as above.
    let per_cpu = unsafe { MallocExtension_Internal_GetPerCpuCachesActive() };
    let build =
        if per_cpu { "default features, caches per CPU" } else { "default features, caches per thread" };
    let version = peers::version(peers::library("libtcmalloc-sys"), "tcmalloc-better");
    work::main(&Allocator { name: "tcmalloc", version, build }, &own::rows())
}
