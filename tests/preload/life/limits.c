/* Small machines: little address space, little data, small stacks, few threads; what the kernel charges; huge pages. */
#include "life.h"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static void *work_body(void *arg) {
    work((uintptr_t)arg, 1000);
    return NULL;
}

/* Allocates objects of `size` bytes until there is no more; returns how many bytes there were. Leaves nothing behind. */
static size_t exhaust(size_t size) {
    struct node {
        struct node *next;
    } *first = NULL;
    size_t bytes = 0;
    errno = 0;
    for (;;) {
        struct node *n = malloc(size);
        if (!n)
            break;
        memset(n, 0x5a, size);
        n->next = first;
        first = n;
        bytes += size;
    }
    CHECK(errno == ENOMEM);
    while (first) {
        struct node *next = first->next;
        free(first);
        first = next;
    }
    return bytes;
}

/* Under a limit that the test sets: `LEAST` MiB must be had, in objects of each size, again and again. */
static void mode_exhaust(void) {
    const char *text = getenv("LEAST");
    CHECK(text != NULL);
    size_t least = strtoul(text, NULL, 10) * MIB;
    for (int round = 0; round < 2; round++) {
        for (size_t size = 16; size <= 4 * MIB; size *= 8) {
            size_t had = exhaust(size);
            if (had < least)
                say(2, "round %d: only %zu KiB in objects of %zu bytes", round, had / KIB, size);
            CHECK(had >= least);
        }
        work(round, 3000);
    }
    CHECK(malloc(SIZE_MAX / 4) == NULL && errno == ENOMEM);
    CHECK(realloc(NULL, SIZE_MAX / 2) == NULL && errno == ENOMEM);
}

/* Bytes of addresses that the program's files and its stack take. */
static size_t taken_by_files(void) {
    static char maps[32 * KIB];
    size_t length = 0, bytes = 0;
    ssize_t got;
    int fd = open("/proc/self/maps", O_RDONLY);
    CHECK(fd >= 0);
    while ((got = read(fd, maps + length, sizeof maps - 1 - length)) > 0)
        length += got;
    close(fd);
    CHECK(length < sizeof maps - 1);
    for (char *line = maps, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = 0;
        char *to;
        size_t from = strtoul(line, &to, 16);
        if (strchr(line, '/') || strstr(line, "[stack]"))
            bytes += strtoul(to + 1, NULL, 16) - from;
    }
    return bytes;
}

/* Of the addresses that a limit leaves, 40 % can be had in small objects, again and again. */
static void mode_part(void) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY);
    size_t left = limit.rlim_cur - taken_by_files();
    for (int round = 0; round < 3; round++) {
        size_t had = exhaust(64);
        if (had < left / 10 * 4)
            say(2, "round %d: only %zu KiB of %zu KiB", round, had / KIB, left / KIB);
        CHECK(had >= left / 10 * 4);
        work(round, 1000);
    }
}

/* Many threads, each with a small stack, under whatever limit there is. */
static void mode_threads(void) {
    pthread_attr_t attr;
    pthread_t id[40];
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setstacksize(&attr, 64 * KIB) == 0);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < LENGTH(id); i++)
            CHECK(pthread_create(&id[i], &attr, work_body, (void *)i) == 0);
        for (size_t i = 0; i < LENGTH(id); i++)
            join(id[i]);
    }
    CHECK(pthread_attr_destroy(&attr) == 0);
}

/* Everything that takes the longest way, on the smallest stack that a thread may have. */
static void *deep_body(void *arg) {
    static struct object many[3000];
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one_at_a_time);
    for (uint32_t i = 0; i < LENGTH(many); i++)
        many[i] = make(1 + i * 7 % 900, i);
    for (uint32_t i = 0; i < LENGTH(many); i++)
        drop(&many[i]);
    for (size_t size = 64; size <= 128 * MIB; size *= 4) {
        struct object o = make(size, 1);
        if (size < 8 * MIB)
            resize(&o, 3 * size);
        drop(&o);
        void *p = aligned_alloc(64 * KIB, size);
        CHECK(p != NULL);
        free(p);
    }
    malloc_trim(0);
    pthread_mutex_unlock(&one_at_a_time);
    return arg;
}

static void mode_smallest_stack(void) {
    pthread_attr_t attr;
    pthread_t id[200];
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setstacksize(&attr, sysconf(_SC_THREAD_STACK_MIN)) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&id[i], &attr, deep_body, NULL) == 0);
    for (int i = 0; i < 4; i++)
        join(id[i]);
    CHECK(pthread_attr_setstacksize(&attr, sysconf(_SC_THREAD_STACK_MIN) + 8 * KIB) == 0);
    for (size_t i = 0; i < LENGTH(id); i++)
        CHECK(pthread_create(&id[i], &attr, work_body, (void *)i) == 0);
    for (size_t i = 0; i < LENGTH(id); i++)
        join(id[i]);
}

/* Where no thread can be made, the allocator does without one. */
static void mode_no_threads(void) {
    pthread_t id;
    CHECK(pthread_create(&id, NULL, work_body, NULL) == EAGAIN);
    work(1, 20000);
    CHECK(pthread_create(&id, NULL, work_body, NULL) == EAGAIN);
}

/* KiB that strict overcommit charges, touched or not: the mappings that the kernel has marked as accounted for (`ac`). That is private
   memory that can be written, or could be once and was then closed. What asks not to be accounted for (`nr`) is so under strict overcommit
   all the same. Stacks are left out. */
static long charged_kib(void) {
    char line[600];
    FILE *smaps = fopen("/proc/self/smaps", "r");
    CHECK(smaps != NULL);
    long kib = 0, size = 0;
    int is_stack = 0;
    while (fgets(line, sizeof line, smaps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            size = (long)((to - from) / KIB);
            is_stack = strstr(line, "[stack") != NULL;
        } else if (strncmp(line, "VmFlags:", 8) == 0 && !is_stack) {
            int asks_not_to_be = strstr(line, " nr") && strstr(line, " wr") && !strstr(line, " sh");
            if (strstr(line, " ac") || asks_not_to_be)
                kib += size;
        }
    }
    fclose(smaps);
    return kib;
}

/* A small program is charged for what a small program needs, however much address space is set aside: from `LEAST` to `MOST` MiB. */
static void mode_charged(void) {
    const char *most_text = getenv("MOST"), *least_text = getenv("LEAST");
    CHECK(most_text != NULL);
    long most = strtol(most_text, NULL, 10) * 1024, least = least_text ? strtol(least_text, NULL, 10) * 1024 : 0;
    work(1, 2000);
    /* One at a time: what stays is what the allocator keeps of them. */
    for (uint32_t i = 0; i < 3000; i++) {
        struct object o = make(1 + i * 7919 % (127 * KIB), i);
        drop(&o);
    }
    long small = charged_kib();
    struct object large = make(200 * MIB, 1);
    CHECK(charged_kib() >= small + 200 * 1024);
    drop(&large);
    malloc_trim(0);
    long after = charged_kib();
    say(1, "charged: %ld KiB, %ld KiB after 200 MiB came and went", small, after);
    CHECK(small >= least && small <= most && after <= most);
}

/* Small objects that take 100 MiB, of which one in 50 stays: most of the memory goes back, whatever size of page the kernel
   prefers, and what comes again is zero where it must be. */
static void mode_huge_pages(void) {
    const char *policy = getenv("POLICY");
    CHECK(policy != NULL);
    if (strcmp(policy, "never") == 0)
        CHECK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    static void *p[100000];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < LENGTH(p); i++) {
            CHECK((p[i] = malloc(1024)));
            memset(p[i], 1, 1024);
        }
        if (strcmp(policy, "always") == 0 && round == 0) {
            /* What the kernel would do by itself for each mapping. */
            char line[300];
            FILE *maps = fopen("/proc/self/maps", "r");
            CHECK(maps != NULL);
            while (fgets(line, sizeof line, maps)) {
                unsigned long from, to;
                char flags[5];
                if (sscanf(line, "%lx-%lx %4s", &from, &to, flags) == 3 && flags[1] == 'w' && to - from >= 2 * MIB)
                    madvise((void *)from, to - from, MADV_HUGEPAGE);
            }
            fclose(maps);
        }
        long full = resident_kib();
        CHECK(full > 100 * 1000);
        for (size_t i = 0; i < LENGTH(p); i++)
            free(p[i]);
        malloc_trim(0);
        long empty = resident_kib();
        say(1, "%s: %ld KiB with 100 MiB in use, %ld KiB after", policy, full, empty);
        CHECK(empty < 40 * 1024);
        for (size_t i = 0; i < LENGTH(p); i += 3) {
            unsigned char *zero = calloc(1, 1024);
            CHECK(zero != NULL);
            for (size_t k = 0; k < 1024; k++)
                CHECK(zero[k] == 0);
            p[i] = zero;
        }
        for (size_t i = 0; i < LENGTH(p); i += 3)
            free(p[i]);
    }
}

int main(int argc, char **argv) {
    static const struct mode modes[] = {
        {"exhaust", mode_exhaust}, {"part", mode_part},       {"threads", mode_threads}, {"smallest_stack", mode_smallest_stack},
        {"no_threads", mode_no_threads}, {"charged", mode_charged}, {"huge_pages", mode_huge_pages},
    };
    return run_mode(modes, LENGTH(modes), argc, argv);
}
