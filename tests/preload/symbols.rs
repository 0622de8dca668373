//! The files themselves: what they define, what they need, how they link.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::library::{Program, Run, Way, archive, finish, shared};

/// stdlib.h and malloc.h, and C23.
const C: [&str; 19] = [
    "aligned_alloc",
    "calloc",
    "free",
    "free_aligned_sized",
    "free_sized",
    "mallinfo",
    "mallinfo2",
    "malloc",
    "malloc_info",
    "malloc_stats",
    "malloc_trim",
    "malloc_usable_size",
    "mallopt",
    "memalign",
    "posix_memalign",
    "pvalloc",
    "realloc",
    "reallocarray",
    "valloc",
];

/// The forms of `operator new` and `operator delete`, in the Itanium ABI.
const CXX: [&str; 20] = [
    "_ZnamRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
    "_ZnwmRKSt9nothrow_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZdaPv",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdaPvSt11align_val_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvm",
    "_ZdaPvmSt11align_val_t",
    "_ZdlPv",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdlPvSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdlPvm",
    "_ZdlPvmSt11align_val_t",
    "_Znam",
    "_ZnamSt11align_val_t",
    "_Znwm",
    "_ZnwmSt11align_val_t",
];

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|s| (*s).to_owned()).collect()
}

fn readelf(option: &str, file: &Path) -> String {
    finish(Command::new("readelf").args(["--wide", option]).arg(file).env("LC_ALL", "C"))
}

/// A line of a symbol table.
struct Symbol {
    kind: String,
    bind: String,
    visibility: String,
    defined: bool,
    /// Without its version.
    name: String,
}

fn symbols(option: &str, file: &Path) -> Vec<Symbol> {
    let table = readelf(option, file);
    // Num: Value Size Type Bind Vis Ndx Name
    let fields = table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
    let rows = fields.filter(|f| f.len() >= 8 && f[0].ends_with(':') && f[0] != "Num:");
    let symbol = |f: Vec<&str>| Symbol {
        kind: f[3].to_owned(),
        bind: f[4].to_owned(),
        visibility: f[5].to_owned(),
        defined: f[6] != "UND",
        name: f[7].split('@').next().expect("a first part").to_owned(),
    };
    rows.map(symbol).collect()
}

/// Values of the entries of the dynamic section with this tag.
fn dynamic(file: &Path, tag: &str) -> Vec<String> {
    let section = readelf("--dynamic", file);
    let rows = section.lines().filter(|l| l.contains(&format!("({tag})")));
    rows.map(|l| l.split_once(')').expect("a value").1.trim().to_owned()).collect()
}

#[test]
fn the_shared_library_defines_the_interface_and_nothing_else() {
    let table = symbols("--dyn-syms", &shared());
    let defined: Vec<_> = table.iter().filter(|s| s.defined).collect();
    let names: BTreeSet<_> = defined.iter().map(|s| s.name.clone()).collect();
    assert_eq!(names, &set(&C) | &set(&CXX));
    for symbol in defined {
        let Symbol { kind, visibility, name, .. } = symbol;
        assert_eq!((kind.as_str(), visibility.as_str()), ("FUNC", "DEFAULT"), "{name}");
    }
}

/// What is not there is asked of the C library only; weak names of the C++ library's are not asked of anyone in a C program.
#[test]
fn the_shared_library_needs_the_c_library_alone() {
    let file = shared();
    let needed = dynamic(&file, "NEEDED");
    assert!(needed.iter().any(|n| n.contains("[libc.so.6]")), "{needed:?}");
    let others: Vec<_> = needed
        .iter()
        .filter(|n| !n.contains("[libc.so.6]") && !n.contains("[ld-linux-x86-64.so.2]"))
        .collect();
    assert!(others.is_empty(), "{others:?}");
    let strong = symbols("--dyn-syms", &file).into_iter().filter(|s| !s.defined && s.bind == "GLOBAL");
    for Symbol { name, .. } in strong {
        assert!(!name.starts_with("_Z") && !name.contains("rust"), "{name} is not the C library's");
    }
    // All of it is found when the program starts.
    Run::new("/bin/true", Way::Preload).env("LD_BIND_NOW", "1").passes();
}

#[test]
fn the_shared_library_has_its_name_and_stays() {
    let file = shared();
    assert_eq!(dynamic(&file, "SONAME"), ["Library soname: [libgort.so.0]"]);
    let flags = dynamic(&file, "FLAGS_1").concat();
    assert!(flags.contains("NODELETE"), "{flags}");
}

/// Initial-exec thread-local storage: one load at an offset that the loader fixes, no call that may allocate.
#[test]
fn thread_local_storage_is_static() {
    let file = shared();
    let flags = dynamic(&file, "FLAGS").concat();
    assert!(flags.contains("STATIC_TLS"), "{flags}");
    let relocations = readelf("--relocs", &file);
    assert!(relocations.contains("R_X86_64_TPOFF64"), "the slot is in thread-local storage");
    for kind in ["R_X86_64_DTPMOD64", "R_X86_64_TLSDESC"] {
        assert!(!relocations.contains(kind), "{kind}");
    }
    let calls = symbols("--dyn-syms", &file).into_iter().filter(|s| s.name == "__tls_get_addr").count();
    assert_eq!(calls, 0);
}

fn has_no_writable_code(file: &Path) {
    let segments = readelf("--segments", file);
    let stack = segments.lines().find(|l| l.contains("GNU_STACK")).expect("a GNU_STACK segment");
    assert!(stack.contains(" RW ") && !stack.contains("RWE"), "{stack}");
    assert!(!segments.contains("RWE"), "{segments}");
    assert!(segments.contains("GNU_RELRO"), "{segments}");
    assert!(dynamic(file, "TEXTREL").is_empty());
    assert!(!dynamic(file, "FLAGS").concat().contains("TEXTREL"));
}

#[test]
fn the_shared_library_has_no_writable_code() {
    has_no_writable_code(&shared());
}

/// A program may link other libraries written in Rust beside this one, and functions of its own by any other name. C++'s operators
/// are the C++ library's there.
#[test]
fn the_archive_defines_the_interface_for_the_program_alone() {
    let table = symbols("--syms", &archive());
    let of_rust = |name: &str| name.starts_with("_R") || name.starts_with("_ZN");
    let visible = table.into_iter().filter(|s| s.defined && s.bind == "GLOBAL" && s.visibility == "DEFAULT");
    let names: BTreeSet<_> = visible.map(|s| s.name).filter(|n| !of_rust(n)).collect();
    let expected = set(&C);
    let missing: Vec<_> = expected.difference(&names).collect();
    let more: Vec<_> = names.difference(&expected).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, more {more:?}");
}

/// Linked in each way, the program is what the way says, and its functions are gort's.
#[test]
fn programs_link_in_each_way() {
    for way in Way::GORT {
        // What glibc does otherwise, so a program that passes has gort in it.
        let program = Program::compile("interface/aligned_strict.c", &[], way);
        program.run().passes();
        let file = program.path();
        let header = readelf("--file-header", &file);
        let interpreter = readelf("--segments", &file).contains("INTERP");
        let needs = dynamic(&file, "NEEDED").concat();
        let is_static = matches!(way, Way::Static | Way::StaticPie);
        assert_eq!(interpreter, !is_static, "{way:?}");
        assert_eq!(needs.contains("libc.so"), !is_static, "{way:?}: {needs}");
        assert_eq!(needs.contains("[libgort.so.0]"), way == Way::Shared, "{way:?}: {needs}");
        let kind = if way == Way::Static { "EXEC (" } else { "DYN (" };
        assert!(header.contains(kind), "{way:?}: {header}");
        has_no_writable_code(&file);
        let own = symbols("--syms", &file).into_iter().filter(|s| s.name == "malloc" && s.defined).count();
        assert_eq!(own > 0, !matches!(way, Way::Preload | Way::Shared), "{way:?}");
    }
}
