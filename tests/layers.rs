//! The layer rule: a module names only modules below it, and another folder only through its `mod.rs`.
//!
//! The order is read from the `mod` lines of `src/lib.rs`, bottom first, so that there is one list and it is the real one.

use std::fs;
use std::path::{Path, PathBuf};

/// Every `.rs` file under `dir`.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut out = vec![];
    for entry in fs::read_dir(dir).expect("src is readable") {
        let path = entry.expect("entry is readable").path();
        if path.is_dir() {
            out.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out
}

/// The layers, bottom first.
fn layers(src: &Path) -> Vec<String> {
    let lib = fs::read_to_string(src.join("lib.rs")).expect("lib.rs is readable");
    lib.lines().filter_map(|l| Some(l.trim().strip_prefix("mod ")?.strip_suffix(';')?.to_owned())).collect()
}

/// Code without comments: what a name in a sentence points to does not matter.
fn code(text: &str) -> String {
    text.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// What follows each `crate::` in the code, up to the end of the path or of the first level of a braced list.
fn crate_paths(code: &str) -> Vec<String> {
    let mut out = vec![];
    for (at, _) in code.match_indices("crate::") {
        // `$crate` in a macro is this crate as well.
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        out.push(std::mem::take(&mut item).trim().to_owned());
                        continue;
                    }
                    _ => {}
                }
                item.push(c);
            }
            out.push(item.trim().to_owned());
        } else {
            out.push(rest.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect());
        }
    }
    out.retain(|p| !p.is_empty());
    out
}

/// What is wrong with one file's names.
fn violations(
    layers: &[String],
    layer: &str,
    file: &str,
    text: &str,
    is_folder: impl Fn(&str) -> bool,
) -> Vec<String> {
    let rank = |name: &str| layers.iter().position(|l| l == name);
    let own = rank(layer).unwrap_or_else(|| panic!("{file}: {layer} is not a layer of lib.rs"));
    let mut out = vec![];
    for path in crate_paths(&code(text)) {
        let mut parts = path.split("::");
        let target = parts.next().unwrap_or_default();
        let Some(other) = rank(target) else { continue };
        if other > own {
            out.push(format!("{file}: {layer} names crate::{path}, which is above it"));
        }
        // A folder's inside is its own: only what its mod.rs offers may be named, and that is one step deep, unless the step
        // is a module that mod.rs declares public.
        if other != own && is_folder(target) {
            let inner = parts.next().unwrap_or_default();
            let deeper = parts.next().is_some();
            if deeper && inner.chars().next().is_some_and(char::is_lowercase) && !public_module(target, inner)
            {
                out.push(format!("{file}: names the inside of {target}: crate::{path}"));
            }
        }
    }
    out
}

/// Whether `src/<folder>/mod.rs` declares `pub mod <name>` (with any visibility).
fn public_module(folder: &str, name: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder).join("mod.rs");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().any(|l| l.starts_with("pub") && l.ends_with(&format!("mod {name};")))
}

#[test]
fn every_module_names_only_modules_below_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let layers = layers(&src);
    assert!(layers.len() >= 8, "lib.rs lists its layers: {layers:?}");
    let mut wrong = vec![];
    for path in sources(&src) {
        let relative = path.strip_prefix(&src).expect("under src");
        let first = relative.iter().next().expect("has a name").to_string_lossy();
        let layer = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
        if layer == "lib" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("source is readable");
        wrong.extend(violations(&layers, &layer, &relative.display().to_string(), &text, |l| {
            src.join(l).is_dir()
        }));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn upward_names_and_inner_names_are_noticed() {
    let layers: Vec<String> = ["throw", "base", "heap", "alloc"].map(String::from).to_vec();
    let check = |layer, text| violations(&layers, layer, "f.rs", text, |l| l != "throw");
    assert_eq!(check("heap", "use crate::base::Pages; // crate::alloc is above").len(), 0);
    assert_eq!(check("heap", "use crate::alloc::GoAlloc;").len(), 1);
    assert_eq!(check("base", "fn f() { crate::heap::heap() }").len(), 1);
    assert_eq!(check("base", "use crate::{throw::throw, heap::{Heap, Span}};").len(), 1);
    assert_eq!(check("alloc", "use crate::heap::mspan::Span;").len(), 1);
    assert_eq!(check("alloc", "use crate::heap::Span;").len(), 0);
}

#[test]
fn the_allocators_own_graph_keeps_rustix_without_std() {
    // With rustix's `std` or `alloc` on, its first call may allocate, inside an allocation.
    let out = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--package", "gort", "--edges", "features,normal", "--offline", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let tree = String::from_utf8_lossy(&out.stdout);
    assert!(tree.contains("rustix feature \"mm\""), "{tree}");
    for feature in ["std", "alloc", "default"] {
        assert!(
            !tree.contains(&format!("rustix feature \"{feature}\"")),
            "rustix's {feature} is on:\n{tree}"
        );
    }
}
