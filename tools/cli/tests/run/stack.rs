//! How much of the stack a report takes: threads and signal handlers may have little of it.

use super::*;

const THREAD: &str = r#"
    #include <malloc.h>
    #include <pthread.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/auxv.h>
    #include <sys/mman.h>
    #ifndef AT_MINSIGSTKSZ
    #define AT_MINSIGSTKSZ 51
    #endif
    #include <unistd.h>

    static FILE *null;
    static void *run(void *what) {
        switch (*(char *)what) {
        case 'e': exit(0);
        case 's': malloc_stats(); break;
        case 'i': malloc_info(0, null);
        }
        return 0;
    }
    static void handler(int signal) { exit(0); }

    int main(int argc, char **argv) {
        size_t size = atoi(argv[2]);
        // The kernel's part of a handler's stack grows with the processor's registers.
        if (argv[1][0] == 'h') size += (getauxval(AT_MINSIGSTKSZ) + 4095) / 4096 * 4096;
        null = fopen("/dev/null", "w");
        free(malloc(10));
        char *map = mmap(0, size + 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *stack = map + 65536;
        mprotect(stack, size, PROT_READ | PROT_WRITE);
        if (argv[1][0] == 'h') {
            stack_t alternate = {.ss_sp = stack, .ss_size = size};
            struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
            sigaltstack(&alternate, 0);
            sigaction(SIGUSR1, &action, 0);
            raise(SIGUSR1);
        }
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstack(&attributes, stack, size);
        pthread_t thread;
        // What the thread leaves untouched stays as it is.
        memset(stack, 0x5a, size);
        if (pthread_create(&thread, &attributes, run, argv[1])) return 1;
        pthread_join(thread, 0);
        size_t free = 0;
        while (stack[free] == 0x5a) free++;
        printf("%zu\n", size - free);
        return 0;
    }"#;

#[test]
fn of_a_small_thread_or_handler_is_enough_to_exit() {
    let dir = directory("small-stack");
    let program = compile(&dir, "small", &["-pthread"], THREAD);
    for (what, size) in [("exit", "16384"), ("handler", "8192"), ("handler", "4096")] {
        let mut command = gort_run();
        command.args(["--stats", "--stats-json", "heap.json"]).arg(&program).args([what, size]);
        let out = output(command.current_dir(&dir));
        assert_eq!(out.status.code(), Some(0), "{what} {size}: {out:?}");
        assert!(text(&out.stderr).starts_with("gort: heap of process "), "{what} {size}: {out:?}");
        assert_eq!(json(&dir.join("heap.json"))["command"], "small");
    }
}

#[test]
fn is_hardly_taken_by_malloc_stats_and_malloc_info() {
    let dir = directory("stack-use");
    let program = compile(&dir, "small", &["-pthread"], THREAD);
    let used = |what: &str| {
        let out = output(gort_run().arg(&program).args([what, "65536"]));
        assert_eq!(out.status.code(), Some(0), "{what}: {out:?}");
        text(&out.stdout).trim().parse::<usize>().unwrap()
    };
    // What a thread takes by itself, its thread-local storage among it.
    let nothing = used("nothing");
    for what in ["stats", "info"] {
        let used = used(what) - nothing;
        assert!(used < 6 << 10, "malloc_{what} takes {used} bytes");
        let out = output(gort_run().arg(&program).args([what, "16384"]));
        assert_eq!(out.status.code(), Some(0), "{what}: {out:?}");
    }
}
