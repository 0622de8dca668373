/* Pointers that a program may not pass. The arguments are a function's name and a pointer's; the program tells the address,
   then passes it. All of it is undefined behaviour in C17 7.22.3.3 and 7.22.3.5: "if the argument does not match a pointer
   earlier returned by a memory management function, or if the space has been deallocated". */
#include "check.h"

#include <gort.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALL 48
#define MEDIUM 20000
#define LARGE 100000
#define HUGE_SIZE (130 * MIB)

static char in_data[64] __attribute__((aligned(16))) = "data";

/* A pointer to misuse, told without stdio, which allocates. */
static void *tell(void *p)
{
    char line[64];
    int length = snprintf(line, sizeof line, "address: %p\n", p);
    CHECK(write(STDOUT_FILENO, line, (size_t)length) == length);
    return opaque_pointer(p);
}

static void *on_stack(void)
{
    static char *p;
    char local[64] __attribute__((aligned(16)));
    p = opaque_pointer(local);
    return p;
}

static void *mapped(void)
{
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static void *freed(size_t size)
{
    void *p = malloc(size);
    CHECK(p != NULL);
    free(p);
    return opaque_pointer(p);
}

/* Freed, and then enough is done that it has left the thread's cache. */
static void *freed_long_ago(size_t size)
{
    static void *others[3000];
    for (int i = 0; i < 3000; i++)
        CHECK((others[i] = malloc(size)) != NULL);
    void *p = freed(size);
    for (int i = 0; i < 3000; i++)
        free(others[i]);
    malloc_trim(0);
    return p;
}

static void *free_it(void *p)
{
    free(p);
    return NULL;
}

/* Freed, and another one after it. */
static void *freed_before_another(size_t size)
{
    void *p = malloc(size), *q = malloc(size);
    CHECK(p != NULL && q != NULL);
    free(p);
    free(q);
    return opaque_pointer(p);
}

static void *freed_by_a_thread(size_t size)
{
    void *p = malloc(size);
    pthread_t thread;
    CHECK(p != NULL && pthread_create(&thread, NULL, free_it, p) == 0);
    pthread_join(thread, NULL);
    return opaque_pointer(p);
}

static void *inside(size_t size, size_t offset)
{
    char *p = malloc(size);
    CHECK(p != NULL);
    return p + offset;
}

static void do_free(void *p)
{
    free(p);
}

static void do_realloc(void *p)
{
    p = realloc(p, 200);
}

static void do_realloc_zero(void *p)
{
    p = realloc(p, 0);
}

static void do_reallocarray(void *p)
{
    p = reallocarray(p, 2, 100);
}

static void do_usable_size(void *p)
{
    opaque(malloc_usable_size(p));
}

#ifdef GORT
static void do_free_sized(void *p)
{
    free_sized(p, SMALL);
}

static void do_free_aligned_sized(void *p)
{
    free_aligned_sized(p, 16, SMALL);
}

/* With twice the alignment that it has. */
static void do_free_overaligned(void *p)
{
    free_aligned_sized(p, ((uintptr_t)p & -(uintptr_t)p) * 2, SMALL);
}
#endif

static void *alive(void) { return inside(SMALL, 0); }
static void *large(void) { return inside(LARGE, 0); }
static void *stack(void) { return on_stack(); }
static void *data(void) { return in_data; }
static void *map(void) { return mapped(); }
static void *code(void) { return (void *)(uintptr_t)getpid; }
static void *low(void) { return (void *)(uintptr_t)4096; }
static void *high(void) { return (void *)(UINTPTR_MAX - 15); }
static void *not_canonical(void) { return (void *)((uintptr_t)1 << 62); }
static void *small_1(void) { return inside(SMALL, 1); }
static void *small_8(void) { return inside(SMALL, 8); }
static void *small_16(void) { return inside(SMALL, 16); }
static void *small_last(void) { return inside(SMALL, SMALL - 1); }
static void *medium_16(void) { return inside(MEDIUM, 16); }
static void *medium_page(void) { return inside(MEDIUM, 4096); }
static void *large_1(void) { return inside(LARGE, 1); }
static void *large_16(void) { return inside(LARGE, 16); }
static void *large_page(void) { return inside(LARGE, 4096); }
static void *large_pages(void) { return inside(LARGE, 8192); }
static void *large_last(void) { return inside(LARGE, LARGE - 1); }
static void *huge_16(void) { return inside(HUGE_SIZE, 16); }
static void *huge_page(void) { return inside(HUGE_SIZE, 4096); }
static void *huge_mid(void) { return inside(HUGE_SIZE, HUGE_SIZE / 2); }
/* A span of 8 KiB holds 170 objects of 48 bytes; the rest of it is too short for another. */
static void *small_tail(void)
{
    char *p = inside(SMALL, 0);
    return p - (uintptr_t)p % 8192 + 170 * SMALL;
}
static void *small_free(void) { return freed(SMALL); }
static void *medium_free(void) { return freed(MEDIUM); }
static void *large_free(void) { return freed(LARGE); }
static void *huge_free(void) { return freed(HUGE_SIZE); }
static void *small_free_before(void) { return freed_long_ago(SMALL); }
static void *medium_free_before(void) { return freed_long_ago(MEDIUM); }
static void *large_free_before(void) { return freed_long_ago(LARGE); }
static void *small_free_below(void) { return freed_before_another(SMALL); }
static void *large_free_below(void) { return freed_before_another(LARGE); }
static void *huge_free_below(void) { return freed_before_another(HUGE_SIZE); }
static void *small_free_elsewhere(void) { return freed_by_a_thread(SMALL); }
static void *large_free_elsewhere(void) { return freed_by_a_thread(LARGE); }
static void *huge_free_elsewhere(void) { return freed_by_a_thread(HUGE_SIZE); }

#define NAMED(f) { #f, f }

static const struct {
    const char *name;
    void *(*pointer)(void);
} POINTERS[] = {
    NAMED(alive), NAMED(large), NAMED(stack), NAMED(data), NAMED(map), NAMED(code), NAMED(low), NAMED(high), NAMED(not_canonical),
    NAMED(small_1), NAMED(small_8), NAMED(small_16), NAMED(small_last), NAMED(small_tail), NAMED(medium_16), NAMED(medium_page), NAMED(large_1),
    NAMED(large_16), NAMED(large_page), NAMED(large_pages), NAMED(large_last), NAMED(huge_16), NAMED(huge_page),
    NAMED(huge_mid), NAMED(small_free), NAMED(medium_free), NAMED(large_free), NAMED(huge_free), NAMED(small_free_before),
    NAMED(medium_free_before), NAMED(large_free_before), NAMED(small_free_below), NAMED(large_free_below),
    NAMED(huge_free_below), NAMED(small_free_elsewhere), NAMED(large_free_elsewhere),
    NAMED(huge_free_elsewhere),
};

static const struct {
    const char *name;
    void (*call)(void *);
} FUNCTIONS[] = {
    { "free", do_free },
    { "realloc", do_realloc },
    { "realloc_zero", do_realloc_zero },
    { "reallocarray", do_reallocarray },
    { "malloc_usable_size", do_usable_size },
#ifdef GORT
    { "free_sized", do_free_sized },
    { "free_aligned_sized", do_free_aligned_sized },
    { "free_overaligned", do_free_overaligned },
#endif
};

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    void *(*pointer)(void) = NULL;
    void (*call)(void *) = NULL;
    for (size_t i = 0; i < sizeof POINTERS / sizeof *POINTERS; i++)
        if (strcmp(argv[2], POINTERS[i].name) == 0)
            pointer = POINTERS[i].pointer;
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++)
        if (strcmp(argv[1], FUNCTIONS[i].name) == 0)
            call = FUNCTIONS[i].call;
    CHECK(pointer != NULL && call != NULL);
    call(tell(pointer()));
    printf("not at once\n");
    fflush(stdout);
    /* What a thread's cache took in is looked at when it goes on to where it came from. */
    malloc_trim(0);
    fprintf(stderr, "it was not noticed\n");
    _exit(3);
}
