/* Processes that a busy process makes: fork, fork again, exec, vfork, posix_spawn, system, popen. */
#include "life.h"

#include <dlfcn.h>
#include <spawn.h>
#include <sys/syscall.h>

extern char **environ;

static const char *self;

#define BUSY 8
static atomic_int stop;

static void *busy_body(void *arg) {
    for (uint32_t i = 1; !atomic_load(&stop); i++)
        work((uint32_t)(uintptr_t)arg * 1000 + i, 400);
    return NULL;
}

/* Eight threads that allocate all the time, around `body`. */
static void while_busy(void (*body)(void)) {
    pthread_t id[BUSY];
    for (int i = 0; i < BUSY; i++)
        id[i] = start(busy_body, (void *)(uintptr_t)i);
    sleep_ms(5);
    body();
    atomic_store(&stop, 1);
    for (int i = 0; i < BUSY; i++)
        join(id[i]);
}

static void *work_body(void *arg) {
    work((uintptr_t)arg, 2000);
    return NULL;
}

/* Threads of a child's own. */
static void with_threads(uint32_t seed) {
    pthread_t id[4];
    for (int i = 0; i < 4; i++)
        id[i] = start(work_body, (void *)(uintptr_t)(seed + i));
    work(seed + 9, 2000);
    for (int i = 0; i < 4; i++)
        join(id[i]);
}

/* A forked process that hangs ends by itself. */
static pid_t fork_with_deadline(void) {
    pid_t pid = fork();
    if (pid == 0)
        alarm(20);
    return pid;
}

static void run_self(const char *mode) {
    execl(self, self, mode, (char *)NULL);
    _exit(96);
}

/* The child checks and frees what its parent had, makes threads, forks while they are busy, and its child becomes this program
   again. */
static void fork_busy(void) {
    for (uint32_t round = 0; round < 24; round++) {
        struct object held[50];
        for (uint32_t i = 0; i < LENGTH(held); i++)
            held[i] = make(1 + i * i * 30, round + i);
        pid_t pid = fork_with_deadline();
        if (pid == 0) {
            for (uint32_t i = 0; i < LENGTH(held); i++)
                verify(&held[i]);
            for (uint32_t i = 0; i < LENGTH(held); i += 2)
                drop(&held[i]);
            work(round, 3000);
            if (round % 4 == 0) {
                with_threads(round);
                atomic_store(&stop, 0);
                pthread_t busy = start(busy_body, NULL);
                pid_t grandchild = fork_with_deadline();
                if (grandchild == 0) {
                    with_threads(round + 1);
                    for (uint32_t i = 1; i < LENGTH(held); i += 2)
                        drop(&held[i]);
                    run_self("alone");
                }
                wait_for(grandchild);
                atomic_store(&stop, 1);
                join(busy);
            }
            for (uint32_t i = 1; i < LENGTH(held); i += 2)
                if (held[i].p)
                    drop(&held[i]);
            /* Some leave in an orderly way, with all that runs at exit. */
            if (round % 2)
                exit(0);
            _exit(0);
        }
        for (uint32_t i = 0; i < LENGTH(held); i++)
            drop(&held[i]);
        wait_for(pid);
    }
}

static void mode_busy(void) {
    while_busy(fork_busy);
}

/* The file that malloc is in. */
static const char *allocator(void) {
    Dl_info info;
    CHECK(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info));
    return info.dli_fname;
}

#define ALLOCATOR "ALLOCATOR_OF_PARENT"

/* What run_self runs, and what is spawned: served by what serves its parent. */
static void mode_alone(void) {
    const char *expected = getenv(ALLOCATOR);
    CHECK(!expected || strcmp(expected, allocator()) == 0);
    work(1, 3000);
    with_threads(2);
}

/* A chain of children, each of which has threads when it forks the next. */
static void chain(int depth) {
    atomic_store(&stop, 0);
    pthread_t busy = start(busy_body, (void *)(uintptr_t)depth);
    struct object held = make(10000, depth);
    if (depth > 0) {
        pid_t pid = fork_with_deadline();
        if (pid == 0) {
            drop(&held);
            chain(depth - 1);
            _exit(0);
        }
        wait_for(pid);
    }
    drop(&held);
    atomic_store(&stop, 1);
    join(busy);
}

static void mode_chain(void) {
    chain(20);
}

/* Several threads fork at the same time. */
static void *forking_body(void *arg) {
    for (uint32_t i = 0; i < 25; i++) {
        struct object held = make(100 + i * 1000, i);
        pid_t pid = fork_with_deadline();
        if (pid == 0) {
            drop(&held);
            work(i, 500);
            _exit(0);
        }
        wait_for(pid);
        drop(&held);
    }
    return arg;
}

static void fork_from_threads(void) {
    pthread_t id[3];
    for (int i = 0; i < 3; i++)
        id[i] = start(forking_body, NULL);
    for (int i = 0; i < 3; i++)
        join(id[i]);
}

static void mode_from_threads(void) {
    while_busy(fork_from_threads);
}

static void spawn_all(void) {
    char *args[] = {(char *)self, "alone", NULL};
    CHECK(setenv(ALLOCATOR, allocator(), 1) == 0);
    for (int round = 0; round < 12; round++) {
        struct object held = make(40000, round);
        pid_t pid;
        posix_spawn_file_actions_t actions;
        CHECK(posix_spawn_file_actions_init(&actions) == 0);
        CHECK(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) == 0);
        CHECK(posix_spawn(&pid, self, &actions, NULL, args, environ) == 0);
        CHECK(posix_spawn_file_actions_destroy(&actions) == 0);
        wait_for(pid);

        pid = vfork();
        if (pid == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(95);
        }
        wait_for(pid);

        CHECK(system("exit 0") == 0);

        char line[40];
        FILE *pipe = popen("echo one; echo two", "r");
        CHECK(pipe != NULL);
        CHECK(fgets(line, sizeof line, pipe) && strcmp(line, "one\n") == 0);
        CHECK(fgets(line, sizeof line, pipe) && strcmp(line, "two\n") == 0);
        CHECK(pclose(pipe) == 0);
        drop(&held);
    }
}

static void mode_spawn(void) {
    while_busy(spawn_all);
}

/* A vforked child shares the parent's memory, and its allocator with it: what it allocates, the parent has, and what it frees,
   the parent has no more. It is not allowed to, but shells and build tools do. */
static void vfork_times(int rounds) {
    for (int round = 0; round < rounds; round++) {
        struct object before = make(200, 1);
        static struct object made[40];
        pid_t pid = vfork();
        if (pid == 0) {
            free(before.p);
            for (uint32_t i = 0; i < LENGTH(made); i++)
                made[i] = make(10 + i * i * 30, round + i);
            work(round, 300);
            _exit(0);
        }
        wait_for(pid);
        work(round, 300);
        for (uint32_t i = 0; i < LENGTH(made); i++)
            drop(&made[i]);
    }
}

static void vfork_some(void) {
    vfork_times(30);
}

static void mode_vfork_allocates(void) {
    vfork_times(50);
    long before = resident_kib();
    vfork_times(100);
    /* The children have left nothing of their own. */
    CHECK(resident_kib() - before < 4 * 1024);
    /* Nor do they disturb what other threads do meanwhile. */
    while_busy(vfork_some);
}

/* Processes that are made behind the C library's back: no hook runs. In a process of one thread no lock is held. */
static void mode_raw(void) {
    for (int round = 0; round < 40; round++) {
        struct object held = make(30000, round);
        pid_t pid = round % 2 ? _Fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        if (pid == 0) {
            alarm(20);
            drop(&held);
            work(round, 2000);
            _exit(0);
        }
        wait_for(pid);
        drop(&held);
    }
}

/* The first thing that the process's other thread ever does with the allocator is in a child. */
static void *fork_body(void *arg) {
    pid_t pid = fork_with_deadline();
    if (pid == 0) {
        work(5, 1000);
        with_threads(6);
        exit(0);
    }
    wait_for(pid);
    return arg;
}

static void mode_first_in_child(void) {
    for (int i = 0; i < 20; i++)
        join(start(fork_body, NULL));
}

/* Handlers of the program's own that allocate around the fork, registered before and after the allocator's. */
static struct object in_prepare, in_parent;

static void prepare(void) {
    in_prepare = make(5000, 1);
}

static void parent(void) {
    in_parent = make(700, 2);
    drop(&in_prepare);
}

static void child(void) {
    in_parent = make(70000, 3);
    drop(&in_prepare);
}

static void nothing(void) {}

/* Before anything was allocated, in a program without a loader; so many that the C library allocates for them. */
__attribute__((constructor(101))) static void early(void) {
    const char *count = getenv("FORK_HOOKS");
    if (!count)
        return;
    for (long i = 1; i < strtol(count, NULL, 10); i++)
        CHECK(pthread_atfork(nothing, nothing, nothing) == 0);
    CHECK(pthread_atfork(prepare, parent, child) == 0);
}

static void fork_with_hooks(void) {
    for (int i = 0; i < 40; i++) {
        pid_t pid = fork_with_deadline();
        if (pid == 0) {
            drop(&in_parent);
            work(i, 300);
            _exit(0);
        }
        drop(&in_parent);
        wait_for(pid);
    }
}

static void mode_hooks(void) {
    if (!getenv("FORK_HOOKS"))
        CHECK(pthread_atfork(prepare, parent, child) == 0);
    while_busy(fork_with_hooks);
}

/* A signal handler that interrupts fork, in one of the program's own fork handlers, and forks. Registered before the allocator's,
   those run while it is locked. */
static enum { PREPARE, PARENT, CHILD, NOBODY } interrupted = NOBODY;
static int is_nested;

static void on_signal(int signal) {
    (void)signal;
    pid_t pid = fork_with_deadline();
    if (pid == 0)
        is_nested = 1;
    else
        wait_for(pid);
}

static void interrupt(int hook) {
    if (interrupted == hook) {
        interrupted = NOBODY;
        CHECK(raise(SIGUSR1) == 0);
    }
}

static void interrupt_prepare(void) {
    interrupt(PREPARE);
}

static void interrupt_parent(void) {
    interrupt(PARENT);
}

static void interrupt_child(void) {
    interrupt(CHILD);
}

static void interrupt_hooks(void) {
    CHECK(pthread_atfork(interrupt_prepare, interrupt_parent, interrupt_child) == 0);
}

#ifdef PREINIT
static void preinit(int argc, char **argv, char **env) {
    (void)argc, (void)argv, (void)env;
    interrupt_hooks();
}

__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(int, char **, char **) = preinit;
#endif

static void mode_interrupted(void) {
#ifndef PREINIT
    interrupt_hooks();
#endif
    CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
    for (int round = 0; round < 6; round++) {
        struct object held = make(10000, round);
        int hook = round % NOBODY;
        interrupted = hook;
        pid_t pid = fork_with_deadline();
        /* The hook ran where it runs. */
        CHECK((interrupted == NOBODY) == (hook == PREPARE || (hook == PARENT) == (pid > 0)));
        interrupted = NOBODY;
        if (pid == 0) {
            drop(&held);
            work(round, 1000);
            with_threads(round);
            _exit(0);
        }
        /* A parent that was forked when the fork was over has no child. */
        if (!is_nested || hook == PREPARE)
            wait_for(pid);
        drop(&held);
        work(round, 1000);
        if (is_nested)
            _exit(0);
    }
}

int main(int argc, char **argv) {
    static const struct mode modes[] = {
        {"busy", mode_busy},
        {"alone", mode_alone},
        {"chain", mode_chain},
        {"from_threads", mode_from_threads},
        {"spawn", mode_spawn},
        {"vfork_allocates", mode_vfork_allocates},
        {"raw", mode_raw},
        {"first_in_child", mode_first_in_child},
        {"hooks", mode_hooks},
        {"interrupted", mode_interrupted},
    };
    self = argv[0];
    return run_mode(modes, LENGTH(modes), argc, argv);
}
