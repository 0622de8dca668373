/* Signals at a high rate, whose handlers call the allocator, in a program that does little else. Each child is served to its end or
   ends with exactly one line; none hangs, none goes on with a broken heap. */
#include "life.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <sys/time.h>

#define CHILDREN 24
#define MILLISECONDS 150

/* What the handlers of one thread keep from one signal to the next. */
#define KEPT 32
static __thread struct object kept[KEPT];
static __thread uint32_t signals;
/* So that a thread whose handlers take longer than the time between two signals comes to its end. */
#define MOST_SIGNALS 2000

static void on_signal(int number) {
    int error = errno;
    uint32_t i = signals++;
    if (i > MOST_SIGNALS)
        return;
    struct object *o = &kept[i % KEPT];
    if (o->p)
        drop(o);
    /* A signal that interrupts this handler may use the same place: then only that one counts. */
    struct object made = make(i % 50 == 0 ? 50000 : 1 + i * 37 % 700, i);
    if (i % 7 == 0)
        resize(&made, 2 * made.size);
    *o = made;
    (void)number;
    errno = error;
}

static sigjmp_buf escape;
static atomic_int may_jump;

static void on_jumping_signal(int number) {
    on_signal(number);
    if (atomic_load(&may_jump) && signals <= MOST_SIGNALS)
        siglongjmp(escape, 1);
}

static void arm(void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | flags};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(sigaction(SIGPROF, &action, NULL) == 0);
    struct itimerval often = {{0, 60}, {0, 60}};
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    CHECK(setitimer(ITIMER_PROF, &often, NULL) == 0);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void ping_pong(uint32_t round) {
    for (uint32_t i = 0; i < 200; i++) {
        struct object o = make(64, round + i);
        drop(&o);
    }
}

static void on_gentle_signal(int number) {
    struct object *o = &kept[signals++ % KEPT];
    if (signals > MOST_SIGNALS)
        return;
    if (o->p)
        drop(o);
    *o = make(64, signals);
    (void)number;
}

/* Program and handler find what they need in the thread's cache, and only one kind of signal comes. */
static void gentle(void) {
    struct object warm[100];
    for (uint32_t i = 0; i < LENGTH(warm); i++)
        warm[i] = make(64, i);
    for (uint32_t i = 0; i < LENGTH(warm); i += 2)
        drop(&warm[i]);
    struct sigaction action = {.sa_handler = on_gentle_signal, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval often = {{0, 60}, {0, 60}};
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    double end = now_ms() + MILLISECONDS;
    for (uint32_t i = 0; now_ms() < end; i++)
        ping_pong(i);
    CHECK(signals > 50);
}

static void one_thread(void) {
    arm(on_signal, 0);
    double end = now_ms() + MILLISECONDS;
    for (uint32_t i = 0; now_ms() < end; i++)
        i % 2 ? work(i, 200) : ping_pong(i);
}

static atomic_int over;

static void *thread_body(void *arg) {
    for (uint32_t i = 0; !atomic_load(&over); i++)
        work((uint32_t)(uintptr_t)arg * 1000 + i, 200);
    return NULL;
}

static void threads(void) {
    arm(on_signal, 0);
    pthread_t id[3];
    for (int i = 0; i < 3; i++)
        id[i] = start(thread_body, (void *)(uintptr_t)i);
    one_thread();
    atomic_store(&over, 1);
    for (int i = 0; i < 3; i++)
        join(id[i]);
}

static void *short_body(void *arg) {
    work((uintptr_t)arg, 20);
    return NULL;
}

/* Threads start and end in the storm. */
static void short_threads(void) {
    arm(on_signal, 0);
    double end = now_ms() + MILLISECONDS;
    for (uintptr_t i = 0; now_ms() < end; i++)
        join(start(short_body, (void *)i));
}

/* Has handlers run on a stack of their own, of whole pages, below which is one that nobody may touch. */
static void use_stack(size_t size) {
    size_t page = sysconf(_SC_PAGESIZE);
    size = (size + page - 1) / page * page;
    char *at = mmap(NULL, size + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED && mprotect(at + page, size, PROT_READ | PROT_WRITE) == 0);
    stack_t stack = {.ss_sp = at + page, .ss_size = size};
    CHECK(sigaltstack(&stack, NULL) == 0);
}

/* Handlers on a stack of the size that the system recommends. */
static void other_stack(void) {
    use_stack(sysconf(_SC_SIGSTKSZ));
    arm(on_signal, SA_ONSTACK);
    double end = now_ms() + MILLISECONDS;
    for (uint32_t i = 0; now_ms() < end; i++)
        ping_pong(i);
}

/* The first allocation of the process, in a handler that has 8 KiB beside what the kernel needs. */
static void little_stack(void) {
    use_stack(sysconf(_SC_MINSIGSTKSZ) + 8 * KIB);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    for (int i = 0; i < 100; i++)
        raise(SIGALRM);
}

/* Handlers that never return: the thread goes on elsewhere. */
static volatile uint32_t jumps;

static void jumping(void) {
    double end = now_ms() + MILLISECONDS;
    arm(on_jumping_signal, 0);
    if (sigsetjmp(escape, 1) != 0) {
        atomic_store(&may_jump, 0);
        jumps++;
    }
    /* What the interrupted stretch had is lost. */
    while (now_ms() < end) {
        atomic_store(&may_jump, 1);
        ping_pong(jumps);
        atomic_store(&may_jump, 0);
    }
    struct itimerval never = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    CHECK(setitimer(ITIMER_PROF, &never, NULL) == 0);
    work(1, 1000);
}

static void exit_in_handler(int number) {
    (void)number;
    exit(0);
}

static void at_exit(void) {
    work(3, 200);
}

/* exit in a handler, with hooks that allocate, while the program allocates. */
static void exiting(void) {
    CHECK(atexit(at_exit) == 0);
    struct sigaction action = {.sa_handler = exit_in_handler};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval once = {{0, 0}, {0, 2000 + getpid() % 97 * 13}};
    CHECK(setitimer(ITIMER_REAL, &once, NULL) == 0);
    for (uint32_t i = 0;; i++)
        work(i, 200);
}

static const char PREFIX[] = "gort: fatal: ";
static const char REASON[] = ": called by a signal handler that interrupted the allocator\n";

/* Runs `body` in many children; returns how many were served. */
static int in_children(void (*body)(void)) {
    int served = 0, refused = 0;
    for (int i = 0; i < CHILDREN; i++) {
        int out[2];
        CHECK(pipe(out) == 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            dup2(out[1], 2);
            close(out[0]);
            close(out[1]);
            body();
            _exit(0);
        }
        close(out[1]);
        char text[1000];
        size_t length = 0;
        ssize_t got;
        while ((got = read(out[0], text + length, sizeof text - 1 - length)) > 0)
            length += got;
        text[length] = 0;
        close(out[0]);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        char *reason = strstr(text, REASON);
        if (status == 0 && length == 0) {
            served++;
        } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strncmp(text, PREFIX, sizeof PREFIX - 1) == 0 &&
                   reason && reason[sizeof REASON - 1] == 0) {
            refused++;
        } else {
            say(2, "child %d: status %#x: %s", i, status, text);
            _exit(97);
        }
    }
    say(1, "%d served, %d refused", served, refused);
    return served;
}

static void mode_gentle(void) {
    /* Usually half of them; where the slow paths take long or the processors are busy, few. */
    CHECK(in_children(gentle) > 0);
}

#define MODE(name, body) \
    static void name(void) { in_children(body); }
MODE(mode_one_thread, one_thread)
MODE(mode_threads, threads)
MODE(mode_short_threads, short_threads)
MODE(mode_other_stack, other_stack)
MODE(mode_little_stack, little_stack)
MODE(mode_jumping, jumping)
MODE(mode_exiting, exiting)

int main(int argc, char **argv) {
    static const struct mode modes[] = {
        {"gentle", mode_gentle},
        {"one_thread", mode_one_thread},
        {"threads", mode_threads},
        {"short_threads", mode_short_threads},
        {"other_stack", mode_other_stack},
        {"little_stack", mode_little_stack},
        {"jumping", mode_jumping},
        {"exiting", mode_exiting},
    };
    return run_mode(modes, LENGTH(modes), argc, argv);
}
