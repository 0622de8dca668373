/* What the programs of this directory share. Nothing here allocates, so that a program allocates where it says so and nowhere
   else, and nothing here is let down by an allocator that is. */
#ifndef LIFE_H
#define LIFE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))
#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define LENGTH(a) (sizeof(a) / sizeof *(a))

/* Writes one line to a file descriptor. */
UNUSED __attribute__((format(printf, 2, 3))) static void say(int fd, const char *format, ...) {
    char line[300];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    line[length] = '\n';
    if (write(fd, line, length + 1) < 0)
        _exit(98);
}

UNUSED static _Noreturn void fail(const char *file, int line, const char *what) {
    say(2, "%s:%d: not true: %s (errno %d)", file, line, what, errno);
    _exit(97);
}

#define CHECK(condition)                          \
    do {                                          \
        if (!(condition))                         \
            fail(__FILE__, __LINE__, #condition); \
    } while (0)

/* An object and what should be in it. */
struct object {
    unsigned char *p;
    size_t size;
    uint32_t tag;
};

/* Eight bytes at any address. */
typedef uint64_t __attribute__((aligned(1), may_alias)) word;

/* What should be in the object's bytes from 8 * `i` on. */
static uint64_t word_at(const struct object *o, size_t i) {
    uint64_t w = (o->tag + i) * 0x9e3779b97f4a7c15u;
    return w ^ w >> 32;
}

/* Fills the whole object. */
UNUSED static void fill(const struct object *o) {
    size_t i = 0;
    for (; i < o->size / 8; i++)
        ((word *)o->p)[i] = word_at(o, i);
    uint64_t last = word_at(o, i);
    for (size_t k = 8 * i; k < o->size; k++, last >>= 8)
        o->p[k] = (unsigned char)last;
}

/* Fails unless the first `size` bytes are whole. */
UNUSED static void verify_first(const struct object *o, size_t size) {
    size_t i = 0;
    for (; i < size / 8; i++)
        CHECK(((const word *)o->p)[i] == word_at(o, i));
    uint64_t last = word_at(o, i);
    for (size_t k = 8 * i; k < size; k++, last >>= 8)
        CHECK(o->p[k] == (unsigned char)last);
}

UNUSED static void verify(const struct object *o) {
    verify_first(o, o->size);
}

UNUSED static struct object filled(void *p, size_t size, uint32_t tag) {
    CHECK(p != NULL);
    CHECK((uintptr_t)p % 16 == 0);
    struct object o = {p, size, tag * 2246822519u + 1};
    fill(&o);
    return o;
}

UNUSED static struct object make(size_t size, uint32_t tag) {
    return filled(malloc(size), size, tag);
}

UNUSED static void drop(struct object *o) {
    verify(o);
    free(o->p);
    o->p = NULL;
}

UNUSED static void resize(struct object *o, size_t size) {
    unsigned char *p = realloc(o->p, size);
    CHECK(p != NULL);
    o->p = p;
    verify_first(o, size < o->size ? size : o->size);
    o->size = size;
    fill(o);
}

UNUSED static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* A size as programs ask for: mostly small, sometimes whole pages. */
UNUSED static size_t random_size(uint32_t *state) {
    uint32_t r = next_random(state);
    switch (r % 64) {
    case 0:
        return 1 + (r >> 6) % (300 * KIB);
    case 1:
    case 2:
    case 3:
        return 1 + (r >> 6) % (8 * KIB);
    default:
        return 1 + (r >> 6) % 600;
    }
}

#define LIVE 64
/* `steps` random operations over a few live objects, with all contents checked; leaves nothing behind. */
UNUSED static void work(uint32_t seed, int steps) {
    struct object live[LIVE] = {{0}};
    uint32_t state = seed * 2654435761u + 12345;
    for (int i = 0; i < steps; i++) {
        struct object *o = &live[next_random(&state) % LIVE];
        size_t size = random_size(&state);
        if (!o->p) {
            *o = make(size, state);
        } else if (next_random(&state) % 4 == 0) {
            resize(o, size);
        } else {
            drop(o);
        }
    }
    for (int i = 0; i < LIVE; i++)
        if (live[i].p)
            drop(&live[i]);
}

/* A number of a file of /proc, in KiB: the line that begins with `name`. */
UNUSED static long status_kib(const char *file, const char *name) {
    static _Thread_local char buf[8 * 1024];
    int fd = open(file, O_RDONLY);
    CHECK(fd >= 0);
    ssize_t length = read(fd, buf, sizeof buf - 1);
    close(fd);
    CHECK(length > 0);
    buf[length] = 0;
    char *at = strstr(buf, name);
    CHECK(at != NULL);
    return strtol(at + strlen(name), NULL, 10);
}

UNUSED static long resident_kib(void) {
    return status_kib("/proc/self/status", "VmRSS:");
}

UNUSED static pthread_t start(void *(*body)(void *), void *arg) {
    pthread_t id;
    CHECK(pthread_create(&id, NULL, body, arg) == 0);
    return id;
}

UNUSED static void join(pthread_t id) {
    CHECK(pthread_join(id, NULL) == 0);
}

/* Waits for a child that must exit with 0. */
UNUSED static void wait_for(pid_t pid) {
    int status;
    CHECK(pid > 0);
    while (waitpid(pid, &status, 0) != pid)
        CHECK(errno == EINTR);
    if (status != 0)
        say(2, "a child ended with status %#x", status);
    CHECK(status == 0);
}

UNUSED static void sleep_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

/* Runs the mode that the first argument names. */
struct mode {
    const char *name;
    void (*run)(void);
};

UNUSED static int run_mode(const struct mode *modes, size_t count, int argc, char **argv) {
    CHECK(argc >= 2);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(modes[i].name, argv[1]) == 0) {
            modes[i].run();
            say(1, "ok");
            return 0;
        }
    }
    fail(__FILE__, __LINE__, "no such mode");
}
#endif
