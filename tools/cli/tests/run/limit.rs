//! What `--memlimit` does to a program that knows nothing of it.

use super::*;

/// Makes 200 MiB of one size and frees them, then lives on 24 MiB of other sizes, and prints the most that it had in memory after
/// that, in KiB.
const CHURN: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static long resident(void) {
    char text[8192] = "";
    int fd = open("/proc/self/status", O_RDONLY);
    read(fd, text, sizeof text - 1);
    close(fd);
    return atol(strstr(text, "VmRSS:") + 6);
}
static void churn(size_t live, size_t size) {
    static void *all[100000];
    size_t n = live / size;
    for (size_t i = 0; i < n; i++) memset(all[i] = malloc(size), 1, size);
    for (size_t i = 0; i < n; i++) free(all[i]);
}
int main(void) {
    size_t sizes[] = {5000, 40000, 700000, 9000, 2 << 20, 1500};
    long most = 0;
    churn(200 << 20, 3000);
    for (int round = 0; round < 12; round++) {
        churn(24 << 20, sizes[round % 6]);
        if (most < resident()) most = resident();
    }
    char line[64];
    write(1, line, snprintf(line, sizeof line, "%ld\n", most));
    return 0;
}
"#;

#[test]
fn of_the_heap_bounds_what_a_foreign_program_keeps() {
    let dir = directory("limit");
    let program = compile(&dir, "churn", &["-w"], CHURN);
    let most = |options: &[&str]| {
        let said = succeeds(gort_run().args(options).arg(&program));
        said.trim().parse::<u64>().expect("what it had in memory") >> 10
    };
    // The program itself and its C library are beside the heap, and the limit is a soft one.
    let limited = most(&["--memlimit", "64MiB"]);
    assert!(limited < 64 + 32, "{limited} MiB with a limit of 64 MiB");
    // Without the option there would be something to bound.
    for options in [&[][..], &["--memlimit", "1GiB"]] {
        let most = most(options);
        assert!(most > 64 + 64, "{most} MiB with {options:?}");
    }
}
