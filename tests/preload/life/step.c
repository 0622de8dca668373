/* A signal at each single instruction of an operation, whose handler calls the allocator.
 *
 * A process turns the trap flag on around one operation. At each trap it makes a copy of itself in which the handler does its
 * deed: it allocates, resizes and frees, also in the size class that the operation is about; or it asks for one of the heap's
 * figures, in turn; or it forks. There the operation then goes on without traps, and in the end every object must be whole and no two
 * may overlap. The process itself waits for the copy and goes on to the next instruction.
 *
 * An operation that finds what it needs in the thread's cache must be served whatever the handler does. Where locks may be held
 * the process may end instead, with exactly one line. It must never hang, and never go on with a broken heap. */
#include "life.h"

#include <malloc.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#define TRAP_FLAG 0x100
/* The class that operations and the handler both use. */
#define SMALL 64
#define LARGE (100 * KIB)
#define HUGE_SIZE (100 * MIB)

/* Beyond this many instructions not each is tried, but some in each stretch; fewer where each costs two processes more. */
#define EACH (deed == FORK ? 60 : 120)
#define STRETCHES (deed == FORK ? 10 : 20)

/* What the process has before the operation. */
#define PREPARED 800
static struct object prepared[PREPARED], prepared_large[4];
/* What the operation makes. */
static struct object result[PREPARED];
/* What the handler makes. */
static struct object by_handler[PREPARED];
static uint32_t results, handlers;
/* Bytes in use before it had any of that. */
static size_t in_use;

/* What the handler does. */
static enum { LIGHT, HEAVY, JUMP, FIGURES, FORK } deed;
static const struct figure *figure;
/* Whether this process is a copy that was made at a trap. */
static int is_copy;
static long instructions, next_try;
/* The process that makes copies. */
static pid_t stepped;
static sigjmp_buf escape;

static void trap_on(void) {
    if (!is_copy)
        __asm__ volatile("pushfq\n\torq %0, (%%rsp)\n\tpopfq" ::"i"(TRAP_FLAG) : "memory", "cc");
}

static void trap_off(void) {
    __asm__ volatile("pushfq\n\tandq %0, (%%rsp)\n\tpopfq" ::"i"(~TRAP_FLAG) : "memory", "cc");
}

static void keep(void *p, size_t size) {
    by_handler[handlers] = filled(p, size, 5000 + handlers);
    handlers++;
}

static void figure_mallinfo(void) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    CHECK(mallinfo().arena >= 0);
#pragma GCC diagnostic pop
}

static void figure_mallinfo2(void) {
    struct mallinfo2 all = mallinfo2();
    CHECK(all.uordblks <= all.arena + all.hblkhd);
}

static void figure_stats(void) {
    malloc_stats();
}

static void figure_info(void) {
    CHECK(malloc_info(0, stderr) == 0);
}

static void figure_trim(void) {
    malloc_trim(0);
}

static void figure_usable(void) {
    if (prepared[PREPARED - 1].p)
        CHECK(malloc_usable_size(prepared[PREPARED - 1].p) >= SMALL);
    if (prepared_large[3].p)
        CHECK(malloc_usable_size(prepared_large[3].p) >= LARGE);
}

static const struct figure {
    void (*ask)(void);
    /* Whether it writes to stderr. */
    int speaks;
} FIGURE[] = {
    {figure_mallinfo, 0}, {figure_mallinfo2, 0}, {figure_stats, 1}, {figure_info, 1}, {figure_trim, 0}, {figure_usable, 0},
};

/* The child goes on with the operation, then the parent. */
static void act_fork(void) {
    pid_t pid = fork();
    if (pid == 0)
        alarm(10);
    else
        wait_for(pid);
}

static void act(void) {
    if (deed == FIGURES)
        return figure->ask();
    if (deed == FORK)
        return act_fork();
    keep(malloc(SMALL), SMALL);
    if (prepared[PREPARED - 1].p)
        drop(&prepared[PREPARED - 1]);
    if (deed == LIGHT || !prepared[0].size)
        return;
    for (int i = 0; i < 100; i++)
        keep(malloc(SMALL - i % 8), SMALL - i % 8);
    for (int i = 0; i < 50; i++)
        drop(&prepared[PREPARED - 2 - i]);
    keep(calloc(1, SMALL), SMALL);
    resize(&prepared[PREPARED - 60], 3 * SMALL);
    resize(&prepared[PREPARED - 61], LARGE);
    struct object large = make(LARGE, 1);
    resize(&large, 2 * LARGE);
    drop(&large);
    drop(&prepared_large[3]);
}

static void keep_result(void *p, size_t size) {
    result[results] = filled(p, size, 9000 + results);
    results++;
}

static void op_malloc(void) {
    trap_on();
    void *p = malloc(SMALL);
    trap_off();
    keep_result(p, SMALL);
}

static void op_free(void) {
    void *p = prepared[0].p;
    prepared[0].p = NULL;
    trap_on();
    free(p);
    trap_off();
}

static void op_calloc(void) {
    trap_on();
    unsigned char *p = calloc(4, SMALL / 4);
    trap_off();
    for (size_t i = 0; i < SMALL; i++)
        CHECK(p[i] == 0);
    keep_result(p, SMALL);
}

static void op_realloc(void) {
    trap_on();
    void *p = realloc(prepared[1].p, 2 * SMALL);
    trap_off();
    prepared[1].p = p;
    verify(&prepared[1]);
    keep_result(p, 2 * SMALL);
    prepared[1].p = NULL;
}

static void op_memalign(void) {
    void *p = NULL;
    trap_on();
    int error = posix_memalign(&p, SMALL, SMALL);
    trap_off();
    CHECK(error == 0 && (uintptr_t)p % SMALL == 0);
    keep_result(p, SMALL);
}

static void op_usable(void) {
    trap_on();
    size_t size = malloc_usable_size(prepared[2].p);
    trap_off();
    CHECK(size >= SMALL);
}

static void op_many(void) {
    void *p[200];
    trap_on();
    for (size_t i = 0; i < LENGTH(p); i++)
        p[i] = malloc(SMALL);
    trap_off();
    for (size_t i = 0; i < LENGTH(p); i++)
        keep_result(p[i], SMALL);
}

static void op_free_many(void) {
    void *p[600];
    for (size_t i = 0; i < LENGTH(p); i++) {
        p[i] = prepared[i].p;
        prepared[i].p = NULL;
    }
    trap_on();
    for (size_t i = 0; i < LENGTH(p); i++)
        free(p[i]);
    trap_off();
}

static void op_large(void) {
    trap_on();
    void *p = malloc(LARGE);
    trap_off();
    keep_result(p, LARGE);
}

static void op_free_large(void) {
    void *p[2] = {prepared_large[0].p, prepared_large[1].p};
    prepared_large[0].p = prepared_large[1].p = NULL;
    trap_on();
    free(p[0]);
    free(p[1]);
    trap_off();
}

static void op_grow_large(void) {
    trap_on();
    void *p = realloc(prepared_large[2].p, 3 * LARGE);
    trap_off();
    prepared_large[2].p = p;
    verify(&prepared_large[2]);
    keep_result(p, 3 * LARGE);
    prepared_large[2].p = NULL;
}

static void op_huge(void) {
    trap_on();
    unsigned char *p = malloc(HUGE_SIZE);
    trap_off();
    CHECK(p != NULL);
    p[0] = p[HUGE_SIZE - 1] = 1;
    trap_on();
    free(p);
    trap_off();
}

static void op_trim(void) {
    trap_on();
    malloc_trim(0);
    trap_off();
}

static void judge(void);

static void *thread_body(void *arg) {
    (void)arg;
    op_malloc();
    /* A copy has no thread but this. */
    if (is_copy)
        judge();
    return NULL;
}

/* The first operation of a thread. */
static void op_thread(void) {
    join(start(thread_body, NULL));
}

/* Its hooks hold the allocator's locks meanwhile. A copy that is made when the fork is over is not the child's parent. */
static void op_fork(void) {
    trap_on();
    pid_t pid = fork();
    trap_off();
    if (pid == 0) {
        work(2, 100);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid || (is_copy && errno == ECHILD));
    CHECK(status == 0);
}

struct operation {
    const char *name;
    void (*run)(void);
    /* Whether it must be served: it finds what it needs in the thread's cache. */
    int warm;
};

/* The first one is tried in a process that has allocated nothing, if there is such a thing. */
static const struct operation OPERATIONS[] = {
    {"first", op_malloc, 0},
    {"malloc", op_malloc, 1},
    {"free", op_free, 1},
    {"calloc", op_calloc, 1},
    {"realloc", op_realloc, 1},
    {"memalign", op_memalign, 1},
    {"usable_size", op_usable, 1},
    {"many", op_many, 0},
    {"free_many", op_free_many, 0},
    {"large", op_large, 0},
    {"free_large", op_free_large, 0},
    {"grow_large", op_grow_large, 0},
    {"huge", op_huge, 0},
    {"trim", op_trim, 0},
    {"thread", op_thread, 0},
    {"fork", op_fork, 0},
};

static const struct operation *operation;

static void prepare(const struct operation *op) {
    for (uint32_t i = 0; i < LENGTH(prepared_large); i++)
        prepared_large[i] = make(LARGE, i);
    for (uint32_t i = 0; i < PREPARED; i++)
        prepared[i] = make(SMALL, 100 + i);
    if (!op->warm)
        return;
    /* A bin that is neither empty nor full, of each class that warm operations use. */
    for (size_t size = SMALL; size <= 2 * SMALL; size += SMALL) {
        void *p[40];
        for (int round = 0; round < 20; round++) {
            for (size_t i = 0; i < LENGTH(p); i++)
                p[i] = malloc(size);
            for (size_t i = 0; i < LENGTH(p); i++)
                free(p[i]);
        }
    }
}

static void drop_all(struct object *objects, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (objects[i].p)
            drop(&objects[i]);
}

static void verify_all(const struct object *objects, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (objects[i].p)
            verify(&objects[i]);
}

static void *work_body(void *arg) {
    work((uintptr_t)arg, 300);
    return NULL;
}

/* In a copy: nothing overlaps, also not with what comes next; all can be freed; the process goes on. */
static void judge(void) {
    static struct object more[PREPARED];
    if (deed == JUMP) {
        /* What the operation was at is lost. */
        prepared[0].p = prepared[1].p = prepared_large[2].p = NULL;
        prepared_large[0].p = prepared_large[1].p = NULL;
        results = 0;
    }
    for (uint32_t i = 0; i < PREPARED; i++)
        more[i] = make(SMALL, 7000 + i);
    verify_all(prepared, PREPARED);
    verify_all(prepared_large, LENGTH(prepared_large));
    verify_all(by_handler, handlers);
    verify_all(result, results);
    drop_all(prepared, PREPARED);
    drop_all(by_handler, handlers);
    drop_all(more, PREPARED);
    drop_all(result, results);
    drop_all(prepared_large, LENGTH(prepared_large));
    work(1, 300);
    /* A thread leaves its stack to the next one, and what the C library allocated for it. */
    if (deed != JUMP && operation != OPERATIONS && operation->run != op_thread)
        CHECK(mallinfo2().uordblks == in_use);
    join(start(work_body, NULL));
    _exit(0);
}

static const char PREFIX[] = "gort: fatal: ";
static const char REASON[] = ": called by a signal handler that interrupted the allocator\n";

/* Whether the text is the one line that is allowed. */
static int is_the_line(const char *text) {
    const char *reason = strstr(text, REASON);
    return strncmp(text, PREFIX, sizeof PREFIX - 1) == 0 && reason && reason[sizeof REASON - 1] == 0 &&
           strchr(text, '\n') == reason + sizeof REASON - 2;
}

static long served, refused;

/* How the copy that writes to `out` ended. */
static void classify(pid_t pid, int out) {
    char text[1000];
    size_t length = 0;
    ssize_t got;
    while ((got = read(out, text + length, sizeof text - 1 - length)) > 0)
        length += got;
    text[length] = 0;
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    int may_speak = deed == FIGURES && figure->speaks;
    /* Figures are not to be had while they change, also not in the middle of what else is served; a fork is. */
    int may_refuse = deed == FIGURES || (deed != FORK && !operation->warm);
    if (status == 0 && (length == 0 || may_speak)) {
        served++;
    } else if (may_refuse && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && is_the_line(text)) {
        refused++;
    } else {
        say(2, "%s, instruction %ld: status %#x%s: %s", operation->name, instructions, status,
            WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (it hung)" : "", text);
        _exit(97);
    }
}

static void on_trap(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    if (getpid() != stepped) {
        /* What the operation itself forked. */
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
        return;
    }
    if (++instructions < next_try)
        return;
    if (deed == FIGURES) {
        next_try += 1 + instructions / 48 + instructions % 5;
        figure = figure && figure + 1 < FIGURE + LENGTH(FIGURE) ? figure + 1 : FIGURE;
    } else
        next_try += instructions < EACH ? 1 : 1 + instructions / STRETCHES + instructions % 3;
    int error = errno, out[2];
    CHECK(pipe(out) == 0);
    /* No hook of the allocator's may run here. */
    pid_t pid = _Fork();
    CHECK(pid >= 0);
    if (pid > 0) {
        close(out[1]);
        classify(pid, out[0]);
        close(out[0]);
        errno = error;
        return;
    }
    alarm(10);
    dup2(out[1], 2);
    is_copy = 1;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    act();
    errno = error;
    if (deed == JUMP)
        siglongjmp(escape, 1);
}

static void step(const struct operation *op) {
    pid_t pid = fork();
    if (pid != 0)
        return wait_for(pid);
    operation = op;
    stepped = getpid();
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
    if (op != OPERATIONS) {
        in_use = mallinfo2().uordblks;
        prepare(op);
    }
    if (sigsetjmp(escape, 1) == 0)
        op->run();
    if (is_copy)
        judge();
    say(1, "%-12s %6ld instructions, %5ld times served, %5ld times refused", op->name, instructions, served, refused);
    /* The traps came: the shortest operation is longer than this. */
    CHECK(served >= 5);
    _exit(0);
}

static void set_deed(const char *name) {
    static const char *const names[] = {[LIGHT] = "light", [HEAVY] = "heavy", [JUMP] = "jump",
                                        [FIGURES] = "figures", [FORK] = "fork"};
    for (size_t i = 0; i < LENGTH(names); i++) {
        if (strcmp(names[i], name) == 0) {
            deed = i;
            return;
        }
    }
    CHECK(0);
}

/* Arguments: the handler's deed, then operations; all of them when none is named, but nobody may jump out of fork, and the C
   library's own locks do not let a handler fork anywhere in it. */
int main(int argc, char **argv) {
    CHECK(argc >= 2);
    set_deed(argv[1]);
    for (size_t i = 0; i < LENGTH(OPERATIONS); i++) {
        int wanted = argc == 2 && ((deed != JUMP && deed != FORK) || OPERATIONS[i].run != op_fork);
        for (int k = 2; k < argc; k++)
            wanted |= strcmp(argv[k], OPERATIONS[i].name) == 0;
        if (wanted)
            step(&OPERATIONS[i]);
    }
    return 0;
}
