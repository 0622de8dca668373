//! The allocators that a program in C can have: libraries to be preloaded, gort's own and those of Debian's packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::child;
use super::results::Allocator;
use crate::failure::{Failure, bad_input};

/// gort as a library.
pub(super) const OURS: &str = "gort.so";
/// No library at all.
pub(super) const NONE: &str = "glibc";

struct Package {
    name: &'static str,
    file: &'static str,
    package: &'static str,
}

const PACKAGES: [Package; 3] = [
    Package { name: "libmimalloc", file: "libmimalloc.so.2", package: "libmimalloc2.0" },
    Package { name: "libjemalloc", file: "libjemalloc.so.2", package: "libjemalloc2" },
    Package { name: "libtcmalloc", file: "libtcmalloc_minimal.so.4", package: "libtcmalloc-minimal4" },
];

/// The names of all, in the order of the tables.
pub(super) fn names() -> Vec<String> {
    [OURS, NONE].into_iter().chain(PACKAGES.iter().map(|p| p.name)).map(str::to_owned).collect()
}

/// The library that a name stands for, from a package, with what is known of it.
pub(super) fn installed(name: &str) -> Result<(Allocator, PathBuf), Failure> {
    let package = PACKAGES.iter().find(|p| p.name == name);
    let package = package.ok_or_else(|| bad_input(format!("there is no library called {name}")))?;
    let path = places().iter().map(|dir| dir.join(package.file)).find(|path| path.is_file());
    let path = path.or_else(|| known_to_loader(package.file)).ok_or_else(|| {
        bad_input(format!(
            "{} is not installed: apt-get install {}, or leave {name} out with --allocators",
            package.file, package.package
        ))
    })?;
    at_work(&path)?;
    let version = version(package.package).unwrap_or_else(|| {
        let file = fs::canonicalize(&path).unwrap_or_default();
        file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    });
    let build = format!("Debian package {}, preloaded", package.package);
    Ok((Allocator { name: name.to_owned(), version, build, ours: false }, path))
}

fn places() -> Vec<PathBuf> {
    let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    [&multiarch, "/usr/lib64", "/usr/lib", "/usr/local/lib"].iter().map(PathBuf::from).collect()
}

/// Where the loader would find a library of that name.
fn known_to_loader(file: &str) -> Option<PathBuf> {
    let output =
        ["ldconfig", "/sbin/ldconfig"].iter().find_map(|p| Command::new(p).arg("-p").output().ok())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(file))?;
    line.split_once(" => ").map(|(_, path)| PathBuf::from(path.trim()))
}

fn version(package: &str) -> Option<String> {
    let output = Command::new("dpkg-query").args(["-W", "-f=${Version}", package]).output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !version.is_empty()).then_some(version)
}

/// The loader goes on without a library that it cannot preload, and then glibc would be measured under another's name.
pub(super) fn at_work(library: &Path) -> Result<(), Failure> {
    let real = fs::canonicalize(library).unwrap_or_else(|_| library.to_owned());
    let mut command = Command::new("cat");
    command.arg("/proc/self/maps").env("LD_PRELOAD", library);
    let ended = child::run(&mut command, Duration::from_secs(20), None);
    let maps = ended.map(|ended| ended.stdout).unwrap_or_default();
    if maps.lines().any(|line| line.ends_with(&*real.to_string_lossy())) {
        return Ok(());
    }
    Err(bad_input(format!("the loader does not preload {}", library.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_the_loader_refuses_is_noticed() {
        assert!(at_work(Path::new("/etc/passwd")).is_err());
        let libm = known_to_loader("libm.so.6").expect("a system has libm");
        at_work(&libm).unwrap();
    }
}
