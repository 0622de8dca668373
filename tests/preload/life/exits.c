/* How a process ends: hooks that allocate, exit from a thread, exit while all others allocate, and no end of its own at all. */
#include "life.h"

#include <sys/resource.h>

#define BUSY 4

static void *busy_body(void *arg) {
    for (uint32_t i = 1;; i++)
        work((uint32_t)(uintptr_t)arg * 1000 + i, 300);
    return NULL;
}

static void busy(void) {
    for (int i = 0; i < BUSY; i++)
        start(busy_body, (void *)(uintptr_t)i);
    sleep_ms(3);
}

static struct object of_main[40];

static void hook(void) {
    for (uint32_t i = 0; i < LENGTH(of_main); i++)
        if (of_main[i].p)
            drop(&of_main[i]);
    work(1, 400);
}

static void last_hook(void) {
    work(2, 400);
}

static void quick_hook(void) {
    hook();
    work(3, 500);
}

__attribute__((destructor)) static void destructor(void) {
    work(4, 400);
}

static void set_up(void) {
    CHECK(atexit(last_hook) == 0);
    CHECK(atexit(hook) == 0);
    CHECK(at_quick_exit(quick_hook) == 0);
    for (uint32_t i = 0; i < LENGTH(of_main); i++)
        of_main[i] = make(1 + i * i * 70, i);
}

/* Each is run in many children, which must end with the status 7, or as it says. */
static void by_exit(void) {
    exit(7);
}

static void by_busy_exit(void) {
    busy();
    exit(7);
}

static void by_busy_quick_exit(void) {
    busy();
    quick_exit(7);
}

static void by_busy_plain_exit(void) {
    busy();
    _exit(7);
}

static void *exit_body(void *arg) {
    work(5, 500);
    exit(7);
    return arg;
}

/* exit in a thread while the main thread waits for it. */
static void by_thread(void) {
    busy();
    join(start(exit_body, NULL));
}

static void *last_body(void *arg) {
    sleep_ms(5);
    work(6, 500);
    return arg;
}

static void end_with_seven(void) {
    _exit(7);
}

/* The main thread goes first; the process ends with its last thread, by exit with status 0. */
static void by_last_thread(void) {
    CHECK(atexit(end_with_seven) == 0);
    start(last_body, NULL);
    work(7, 500);
    pthread_exit(NULL);
}

static volatile sig_atomic_t waiting;

static void *blocked_body(void *arg) {
    waiting = 1;
    for (;;)
        pause();
    return arg;
}

static void exit_in_handler(int number) {
    (void)number;
    exit(7);
}

/* exit in a signal handler that interrupts a system call, in a thread. */
static void by_handler(void) {
    CHECK(signal(SIGUSR1, exit_in_handler) != SIG_ERR);
    pthread_t id = start(blocked_body, NULL);
    while (!waiting)
        sleep_ms(1);
    pthread_kill(id, SIGUSR1);
    join(id);
}

static void by_abort(void) {
    busy();
    abort();
}

static void by_kill(void) {
    busy();
    kill(getpid(), SIGTERM);
    for (;;)
        pause();
}

struct way {
    const char *name;
    void (*end)(void);
    /* The signal that ends it, or none. */
    int signal;
    int rounds;
};

static const struct way WAYS[] = {
    {"exit", by_exit, 0, 5},
    {"busy exit", by_busy_exit, 0, 12},
    {"busy quick_exit", by_busy_quick_exit, 0, 12},
    {"busy _exit", by_busy_plain_exit, 0, 5},
    {"thread", by_thread, 0, 8},
    {"last thread", by_last_thread, 0, 5},
    {"handler", by_handler, 0, 5},
    {"abort", by_abort, SIGABRT, 5},
    {"kill", by_kill, SIGTERM, 5},
};

int main(void) {
    struct rlimit none = {0, 0};
    CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
    for (size_t w = 0; w < LENGTH(WAYS); w++) {
        for (int i = 0; i < WAYS[w].rounds; i++) {
            pid_t pid = fork();
            CHECK(pid >= 0);
            if (pid == 0) {
                alarm(10);
                set_up();
                WAYS[w].end();
                _exit(96);
            }
            int status;
            CHECK(waitpid(pid, &status, 0) == pid);
            int right = WAYS[w].signal ? WIFSIGNALED(status) && WTERMSIG(status) == WAYS[w].signal
                                       : WIFEXITED(status) && WEXITSTATUS(status) == 7;
            if (!right)
                say(2, "%s: status %#x", WAYS[w].name, status);
            CHECK(right);
        }
    }
    say(1, "ok");
    return 0;
}
