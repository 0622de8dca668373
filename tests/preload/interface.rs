//! The allocation interface, called from C and C++: each program checks itself and says where it fails.
//!
//! Programs whose names end in `_strict`, and those about C23, check what the manual says and glibc 2.36 does not do; all others
//! are run on glibc's allocator as well.

use std::env;
use std::process::Command;

use crate::library::{Outcome, Program, Run, Way, include, passes_in, shared};
use crate::xml;

/// Limit of addresses for programs that exhaust memory.
const ADDRESSES: u64 = 512 << 20;
/// Programs can tell that the operators are gort's: the archive leaves them to the C++ library.
const GORT: &[&str] = &["-DGORT"];
/// Programs can tell that the build is the hardened one.
const HARDENED: &[&str] = if cfg!(feature = "hardened") { &["-DHARDENED"] } else { &[] };

/// Programs without arguments that pass by each of the ways.
macro_rules! pass {
    ($($name:ident: $source:literal, $flags:expr, $ways:expr;)*) => { $(
        #[test]
        fn $name() {
            passes_in($ways, concat!("interface/", $source), $flags);
        }
    )* };
}

/// With glibc's allocator, and under gort.
const BOTH: &[Way] = &[Way::Libc, Way::Preload];
/// As `BOTH`, and in every way of linking.
const ALL: &[Way] = &[Way::Libc, Way::Preload, Way::Shared, Way::Archive, Way::Static, Way::StaticPie];

pass! {
    malloc_aligns_and_refuses: "malloc.c", &[], ALL;
    calloc_zeroes_what_was_dirty: "calloc.c", &[], BOTH;
    realloc_keeps_contents_and_fails_safely: "realloc.c", &[], BOTH;
    aligned_allocation_aligns: "aligned.c", &[], BOTH;
    aligned_allocation_refuses: "aligned_errors.c", &[], ALL;
    aligned_allocation_refuses_what_glibc_takes: "aligned_strict.c", &[], &Way::GORT;
    errno_is_preserved: "errno.c", &[], ALL;
    usable_size_is_usable: "usable_size.c", &[], BOTH;
    mallinfo_follows_allocations: "mallinfo.c", &[], BOTH;
    malloc_info_fails_with_its_stream: "malloc_info_strict.c", &[], &Way::GORT;
    reallocarray_calls_the_programs_realloc: "own_realloc.c", &[], &[Way::Libc, Way::Preload, Way::Shared];
    malloc_trim_releases: "malloc_trim.c", &[], BOTH;
    malloc_trim_says_what_it_did: "malloc_trim_strict.c", HARDENED, &[Way::Preload];
    mallopt_accepts: "mallopt.c", &[], BOTH;
    the_c_library_has_the_same_heap: "libc_allocates.c", &[], ALL;
    sized_frees: "sized.c", &[], &[Way::Shared, Way::Static];
    operators_of_cxx: "operators.cpp", &[], ALL;
    bad_alloc_of_the_cxx_library: "bad_alloc.cpp", &[], &[Way::Libc, Way::Archive, Way::Static, Way::StaticPie];
    bad_alloc_is_thrown: "bad_alloc.cpp", GORT, &[Way::Preload, Way::Shared];
    bad_alloc_in_a_bare_program: "bare.cpp", &[], ALL;
    operators_that_the_program_replaces: "replaced.cpp", &[], ALL;
    header_in_c99: "header.c", &["-std=c99", "-pedantic", "-Wextra"], &[Way::Shared, Way::Static];
    header_in_cxx98: "header.cpp", &["-std=c++98", "-pedantic", "-Wextra"], &[Way::Shared];
    header_in_cxx17: "header.cpp", &["-std=c++17", "-pedantic", "-Wextra"], &[Way::Shared, Way::Static];
}

/// In the hardened build; elsewhere they are taken as they come.
#[test]
fn the_size_of_a_sized_delete() {
    const FLAGS: &[&str] = &["-std=c++17", "-fsized-deallocation"];
    let compile =
        |more: &[&str]| Program::compile("interface/sized_delete.cpp", &[FLAGS, more].concat(), Way::Preload);
    let refused = |run: Run| match run.output() {
        outcome if cfg!(feature = "hardened") => {
            let line = outcome.fatal_line();
            assert!(line.starts_with("gort: fatal: operator delete: object has another size"), "{line}");
        }
        outcome => assert!(outcome.status.success(), "{}", outcome.describe()),
    };
    let program = compile(&[]);
    program.run().passes();
    for form in ["one", "array", "aligned", "array_aligned"] {
        for more in ["64", "-64"] {
            refused(program.run().arg(form).arg(more));
        }
    }
    refused(program.run().arg("derived"));
    compile(&["-DVIRTUAL"]).run().arg("derived").passes();
    // Who has operators of his own has sizes of his own.
    compile(&["-DOWN"]).run().arg("one").arg("64").passes();
}

#[test]
fn realloc_keeps_contents_on_random_walks() {
    let seed = env::var("GORT_TEST_SEED").unwrap_or_else(|_| "0x6f727420676f7274".to_owned());
    for &way in BOTH {
        Program::compile("interface/realloc_walk.c", &[], way).run().arg(&seed).passes();
    }
}

#[test]
fn exhausted_memory_is_enomem() {
    for way in [Way::Libc, Way::Preload, Way::Static] {
        Program::compile("interface/exhausted.c", &[], way).run().limit(libc::RLIMIT_AS, ADDRESSES).passes();
    }
}

#[test]
fn more_than_the_machine_has_is_enomem() {
    let file = "/proc/sys/vm/overcommit_memory";
    if std::fs::read_to_string(file).is_ok_and(|s| s.trim() == "1") {
        eprintln!(
            "{file} is 1: the kernel grants everything, so requests beyond the machine's memory are not tried"
        );
        return;
    }
    passes_in(ALL, "interface/beyond.c", &[]);
}

#[test]
fn exhausted_memory_is_bad_alloc() {
    for &way in ALL {
        Program::compile("interface/exhausted.cpp", &[], way)
            .run()
            .limit(libc::RLIMIT_AS, ADDRESSES)
            .passes();
    }
}

/// Another allocator's library behind gort has nothing to say, also not in the forms of `new` that are made of C++.
#[test]
fn nothrow_new_beside_another_allocator() {
    let foreign = Program::compile("interface/foreign.cpp", &["-fPIC", "-shared"], Way::Libc);
    let path = foreign.path();
    let linked = ["-Wl,--no-as-needed", path.to_str().expect("the path is text")];
    let both = format!("{}:{}", shared().display(), path.display());
    for flags in [&[][..], &linked] {
        let program = Program::compile("interface/nothrow.cpp", flags, Way::Preload);
        program.run().arg("gort").env("LD_PRELOAD", &both).passes();
        // It would be heard.
        program.run().arg("foreign").env("LD_PRELOAD", &path).passes();
    }
    Program::compile("interface/nothrow.cpp", &linked, Way::Preload).run().arg("gort").passes();
}

/// A library that is loaded late, into a program that has nothing of C++: `std::bad_alloc` is the one of its libstdc++.
#[test]
fn bad_alloc_in_a_library_loaded_late() {
    for way in [Way::Libc, Way::Preload, Way::Shared, Way::Archive] {
        let mut flags = vec!["-fPIC", "-shared"];
        if matches!(way, Way::Preload | Way::Shared) {
            flags.extend(GORT);
        }
        let plugin = Program::compile("interface/plugin.cpp", &flags, Way::Libc);
        Program::compile("interface/host.c", &[], way).run().arg(plugin.path()).passes();
    }
}

/// A library with a libstdc++ of its own, which nobody else finds: it works, and gets one line when memory ends.
#[test]
fn no_bad_alloc_in_a_library_with_its_own_cxx_library() {
    let plugin =
        Program::compile("interface/plugin.cpp", &["-fPIC", "-shared", "-static-libstdc++"], Way::Libc);
    for way in [Way::Libc, Way::Archive] {
        Program::compile("interface/host.c", &[], way).run().arg(plugin.path()).passes();
    }
    for way in [Way::Preload, Way::Shared] {
        let outcome = Program::compile("interface/host.c", &[], way).run().arg(plugin.path()).output();
        assert_eq!(
            outcome.fatal_line(),
            "gort: fatal: operator new: memory is exhausted, and std::bad_alloc is not in the process"
        );
    }
}

/// LLVM's C++ library in place of GCC's.
#[test]
fn operators_and_bad_alloc_of_libcxx() {
    const LIBCXX: &[&str] = &["-stdlib=libc++", "-std=c++17"];
    let mut command = Command::new("clang++");
    command.args(LIBCXX).args(["-shared", "-include", "new", "-x", "c++", "-o", "/dev/null", "/dev/null"]);
    if !command.output().is_ok_and(|out| out.status.success()) {
        eprintln!("no clang++ with libc++ (Debian: clang libc++-dev libc++abi-dev): it is not tried");
        return;
    }
    for way in [Way::Libc, Way::Preload, Way::Shared] {
        let compile = |source: &str| Program::compile_by("clang++", source, LIBCXX, way);
        for name in ["operators", "bad_alloc", "bare", "replaced"] {
            compile(&format!("interface/{name}.cpp")).run().passes();
        }
        compile("interface/exhausted.cpp").run().limit(libc::RLIMIT_AS, ADDRESSES).passes();
    }
}

#[test]
fn malloc_info_is_xml() {
    for &way in BOTH {
        let text = Program::compile("interface/malloc_info.c", &[], way).run().passes();
        let elements = xml::elements(&text);
        // What programs that read it look for, whoever wrote it.
        let (root, attributes) = &elements[0];
        assert_eq!((root.as_str(), attributes[0].0.as_str()), ("malloc", "version"), "{way:?}: {text}");
        // The last of a kind is the sum of all heaps.
        let number = |name: &str, kind: &str| {
            let (_, attributes) =
                elements.iter().rfind(|(n, a)| n == name && a.contains(&("type".into(), kind.into())))?;
            let (_, size) = attributes.iter().find(|(n, _)| n == "size").expect("a size");
            Some(size.parse::<u64>().expect("a number"))
        };
        // The blocks that are alive while it is written, half of 1.3 GB, came from the system.
        let current = number("system", "current").unwrap_or_else(|| panic!("{way:?}: no size: {text}"));
        assert!(current + number("total", "mmap").unwrap_or(0) > 600 << 20, "{way:?}: {text}");
    }
}

#[test]
fn malloc_stats_go_to_stderr() {
    for &way in BOTH {
        let Outcome { status, stdout, stderr, .. } =
            Program::compile("interface/malloc_stats.c", &[], way).run().output();
        assert!(status.success(), "{way:?}: {status}: {stdout}{stderr}");
        let in_use: u64 = stdout.parse().unwrap_or_else(|e| panic!("{way:?}: {e}: {stdout}"));
        assert!((100_000..110_000).contains(&in_use), "{way:?}: {in_use} bytes for one block");
        // In glibc's words and in gort's.
        let (name, figure) = match way {
            Way::Libc => ("in use bytes", in_use.to_string()),
            _ => ("live objects", format!("{:.1} KiB", in_use as f64 / 1024.0)),
        };
        let mut figures = stderr.lines().filter_map(|line| line.trim_start().strip_prefix(name));
        let told = figures.any(|f| f.trim_start_matches([' ', '=']).starts_with(&figure));
        assert!(told, "{way:?}: {name}: no {figure}: {stderr}");
    }
}

/// The version in the header is the package's.
#[test]
fn header_tells_the_version() {
    let text = std::fs::read_to_string(include().join("gort.h")).expect("the header is there");
    let number = |part: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(&format!("#define GORT_VERSION_{part} ")));
        line.unwrap_or_else(|| panic!("no version in {text}")).to_owned()
    };
    let version = [number("MAJOR"), number("MINOR"), number("PATCH")].join(".");
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
}
