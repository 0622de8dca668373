//! Linker options of the shared library: its name, and that it stays loaded (threads' exit hooks lead into it).

fn main() {
    for option in ["-Wl,-soname,libgort.so.0", "-Wl,-z,nodelete"] {
        println!("cargo::rustc-cdylib-link-arg={option}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
