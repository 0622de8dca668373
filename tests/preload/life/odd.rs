//! Processes whose descriptors, root directory, user or CPU are changed; processes with raised privileges.
#![expect(unsafe_code, reason = "asks who runs the test")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use crate::library::{Program, Run, Way, shared};

/// Whether the test may change users, root directories and so on; if not, says that `what` is not tried.
pub(super) fn is_root(what: &str) -> bool {
    // SAFETY: no preconditions.
    let yes = unsafe { libc::geteuid() } == 0;
    if !yes {
        eprintln!("not root: {what} is not tried");
    }
    yes
}

#[test]
fn descriptors_are_the_programs() {
    for way in [Way::Preload, Way::Static] {
        let program = Program::compile("life/odd.c", &[], way);
        for mode in ["closed", "descriptors", "all_closed"] {
            program.run().arg(mode).passes();
            // Files of the system are read for it.
            program.run().arg(mode).env("GOMEMLIMIT", "auto").passes();
        }
    }
}

#[test]
fn cpus_change() {
    Program::compile("life/odd.c", &[], Way::Preload).run().arg("affinity").passes();
}

#[test]
fn pages_are_locked() {
    Program::compile("life/odd.c", &[], Way::Preload).run().arg("mlocked").passes();
}

#[test]
fn the_root_directory_goes_away() {
    if !is_root("chroot") {
        return;
    }
    for way in [Way::Preload, Way::Static] {
        let program = Program::compile("life/odd.c", &[], way);
        for limit in ["off", "auto"] {
            program.run().arg("chroot").env("GOMEMLIMIT", limit).passes();
        }
    }
    // A process that never had a /proc.
    let program = Program::compile("life/odd.c", &[], Way::Static);
    let run = Run::new("chroot", Way::Libc).arg(program.dir()).arg("/program").arg("descriptors");
    run.env("GOMEMLIMIT", "auto").passes();
}

#[test]
fn the_user_changes() {
    if is_root("setuid at run time") {
        let program = Program::compile("life/odd.c", &[], Way::Preload);
        program.run().arg("setuid").passes();
        // Gort's own thread takes the new user too.
        program.run().arg("setuid").env("GODEBUG", "scavthread=1").passes();
    }
}

/// A directory that everybody may enter.
pub(super) struct Public(PathBuf);

impl Public {
    pub(super) fn new(name: &str) -> Self {
        let dir = env::temp_dir().join(format!("gort-{name}-{}", process::id()));
        fs::create_dir(&dir).expect("the directory for temporary files is writable");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("the directory is ours");
        Self(dir)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A copy of a file that everybody may run, with the rights of its owner if `raised`.
    pub(super) fn copy(&self, from: &Path, name: &str, raised: bool) -> PathBuf {
        let to = self.0.join(name);
        fs::copy(from, &to).expect("there is room for a copy");
        let mode = if raised { 0o4755 } else { 0o755 };
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).expect("the copy is ours");
        to
    }
}

impl Drop for Public {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn raised_privileges_ignore_the_environment() {
    if !is_root("a program with raised privileges") {
        return;
    }
    let dir = Public::new("secure");
    dir.copy(&shared(), "libgort.so.0", false);
    // The loader looks for libraries of such a program in fixed places only.
    let search = format!("-Wl,-rpath,{}", dir.0.display());
    for way in [Way::Shared, Way::Archive, Way::Static] {
        let program = Program::compile("life/secure.c", &[&search], way);
        let reports = dir.0.join(format!("{way:?}"));
        fs::create_dir(&reports).expect("the directory is ours");
        fs::set_permissions(&reports, fs::Permissions::from_mode(0o777)).expect("the directory is ours");
        let count = || fs::read_dir(&reports).expect("the directory is there").count();
        let as_nobody = |program: &Path| {
            let run = Run::new("setpriv", Way::Libc);
            let run = ["--reuid=65534", "--regid=65534", "--clear-groups"].into_iter().fold(run, Run::arg);
            run.arg(program)
                .env("GODEBUG", "hugemin=nonsense")
                .env("GOMEMLIMIT", "nonsense")
                .env("GORT_STATS", "1")
                .env("GORT_STATS_JSON", reports.join("report"))
                .env("GORT_SIZES", reports.join("sizes"))
                .output()
        };
        let plain = as_nobody(&dir.copy(&program.path(), "plain", false));
        assert_eq!(plain.stdout, "secure=0\n", "{}", plain.describe());
        for said in ["GODEBUG", "GOMEMLIMIT", "allocations"] {
            assert!(plain.stderr.contains(said), "no {said}: {}", plain.describe());
        }
        assert_eq!(count(), 2, "a report and the sizes were asked for");
        let raised = as_nobody(&dir.copy(&program.path(), "raised", true));
        if raised.stdout == "secure=0\n" {
            eprintln!("{} is mounted without raised privileges: they are not tried", dir.0.display());
            return;
        }
        assert_eq!(raised.stdout, "secure=1\n", "{}", raised.describe());
        assert!(raised.status.success() && raised.stderr.is_empty(), "{}", raised.describe());
        assert_eq!(count(), 2, "it wrote a file for its caller");
    }
}
