//! What `--guard` does to a program that knows nothing of it.

use super::*;

/// Writes to an object that it has freed, late: others come and go before.
const USE_AFTER_FREE: &str = r#"
#include <stdlib.h>
int main(void) {
    volatile char *p = malloc(100);
    free((char *)p);
    for (int i = 0; i < 10; i++) free(malloc(100));
    p[8] = 1;
    return 0;
}
"#;

#[test]
fn tells_a_misuse_with_its_stacks() {
    let dir = directory("guard");
    let program = compile(&dir, "late", &["-w"], USE_AFTER_FREE);
    assert_eq!(succeeds(gort_run().arg(&program)), "", "without the option nobody notices");
    let out = output(gort_run().arg("--guard=1").arg(&program));
    let said = text(&out.stderr);
    assert!(!out.status.success() && said.contains("use after free: write of byte 8"), "{out:?}");
    assert!(said.contains("allocated by thread") && said.contains("freed by thread"), "{out:?}");
}

#[test]
fn has_a_rate_of_its_own_and_keeps_the_rest() {
    let show = ["--", "/bin/sh", "-c", "printf %s \"$GODEBUG\""];
    for (option, before, after) in [
        ("--guard", "", "guardrate=1000000"),
        ("--guard", "thpmin=8MiB,guardrate=5", "guardrate=1000000,thpmin=8MiB,guardrate=5"),
        ("--guard=20", "scavthread=1", "guardrate=20,scavthread=1"),
        ("--guard=1099511627776", "", "guardrate=1099511627776"),
        ("--stats", "guardrate=5", "guardrate=5"),
    ] {
        let out = output(gort_run().arg(option).args(show).env("GODEBUG", before));
        assert!(out.status.success(), "{out:?}");
        assert_eq!(text(&out.stdout), after, "{option} beside {before:?}");
    }
}

/// The library takes the first rate of several.
#[test]
fn goes_before_a_rate_that_is_there() {
    let dir = directory("guard-first");
    let program = compile(&dir, "late", &["-w"], USE_AFTER_FREE);
    let out = output(gort_run().arg("--guard=1").arg(&program).env("GODEBUG", "guardrate=1000000000"));
    assert!(text(&out.stderr).contains("use after free"), "{out:?}");
}
