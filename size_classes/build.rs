//! Which table is compiled in: the committed one, or the one that `GORT_SIZE_CLASSES` names, as `gort size-classes --from` writes it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

const VARIABLE: &str = "GORT_SIZE_CLASSES";

fn main() {
    println!("cargo::rustc-check-cfg=cfg(own_table)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let Some(file) = env::var_os(VARIABLE).filter(|file| !file.is_empty()).map(PathBuf::from) else { return };
    match own_table(&file) {
        Ok(()) => println!("cargo::rustc-cfg=own_table"),
        Err(why) => println!("cargo::error={VARIABLE}={}: {why}", file.display()),
    }
}

/// Puts the table where the crate includes it from.
fn own_table(file: &Path) -> Result<(), String> {
    if !file.is_absolute() {
        return Err("a build script runs in its own directory, so the path has to be absolute".to_owned());
    }
    println!("cargo::rerun-if-changed={}", file.display());
    let source = fs::read_to_string(file).map_err(|e| e.to_string())?;
    if !source.contains("CLASS_TO_SIZE") {
        return Err("this is no table: `gort size-classes --from FILE -o TABLE` writes one".to_owned());
    }
    // An included file cannot begin with comments on itself.
    let lines = source.lines().map(|line| if line.starts_with("//!") { "" } else { line });
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?).join("table.rs");
    fs::write(out, lines.collect::<Vec<_>>().join("\n")).map_err(|e| e.to_string())
}
