/* One tiny program for each kind of misuse; its name is the argument. Each tells the address that it is about, misuses it, says that it
   survived, goes on allocating, and tells what it saw of the consequences. All of it is undefined behaviour in C17 7.22.3. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A class of 64 bytes with room behind the object, and without. */
#define ROOM 60
#define FULL 64
#define LARGE 100000
#define LARGE_BYTES 106496
#define HUGE_SIZE ((size_t)130 << 20)
#define COUNT 3000

static char in_data[64] __attribute__((aligned(16))) = "data";

/* Without stdio's buffers, which are allocated. */
static void say(const char *text, const void *p)
{
    char line[128];
    int n = p ? snprintf(line, sizeof line, "%s: %p\n", text, p) : snprintf(line, sizeof line, "%s\n", text);
    if (write(STDOUT_FILENO, line, (size_t)n) != n)
        _exit(5);
}

/* A pointer that the compiler knows nothing about. */
static char *opaque(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static char *tell(void *p)
{
    say("address", p);
    return opaque(p);
}

static char *get(size_t size)
{
    char *p = opaque(malloc(size));
    if (!p)
        _exit(6);
    memset(p, 0x5a, size < 4096 ? size : 4096);
    return p;
}

static void survived(void)
{
    say("survived", NULL);
}

static void saw(const char *what)
{
    char line[128];
    snprintf(line, sizeof line, "saw: %s", what);
    say(line, NULL);
    _exit(0);
}

/* Allocates more than there are free objects of the class and gives it all back, a few times, and at last to the kernel. The objects must
   not overlap. */
static void go_on(size_t size)
{
    static char *held[COUNT];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            held[i] = get(size);
            memcpy(held[i], &i, sizeof i);
        }
        for (int i = 0; i < COUNT; i++) {
            if (memcmp(held[i], &i, sizeof i) != 0)
                saw("two objects at one address");
            free(held[i]);
        }
    }
    malloc_trim(0);
}

static void goes_on(size_t size)
{
    survived();
    go_on(size);
    saw("the heap is sound");
}

static void two_owners(int n)
{
    char *p[3];
    survived();
    for (int i = 0; i < n; i++)
        p[i] = get(ROOM);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            if (p[i] == p[j])
                saw("two objects at one address");
    saw("nothing");
}

static void *free_it(void *p)
{
    free(p);
    return NULL;
}

static void free_elsewhere(void *p)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, free_it, p) != 0)
        _exit(7);
    pthread_join(thread, NULL);
}

/* Whether objects are guarded, all of them as long as there is a place. */
static int is_guarded(void)
{
    return getenv("GODEBUG") != NULL;
}

/* Two live neighbours in one span, the lower of them; all around them is live as well. An object that is guarded has none. */
static char *neighbours(size_t size)
{
    static char *held[COUNT];
    if (is_guarded())
        return get(size);
    for (int i = 0; i < COUNT; i++)
        held[i] = get(size);
    for (int i = 0; i < COUNT; i++)
        for (int j = COUNT / 2; j < COUNT; j++)
            if (held[j] == held[i] + 64)
                return held[i];
    _exit(8);
}

static void twice(size_t size)
{
    char *p = tell(get(size));
    free(p);
    free(p);
    goes_on(size < LARGE ? size : ROOM);
}

static void freed(char *p)
{
    char *other = get(ROOM);
    free(tell(p));
    goes_on(ROOM);
    free(other);
}

static void double_free(void) { twice(ROOM); }
static void double_free_of_a_large(void) { twice(LARGE); }
static void double_free_of_a_huge(void) { twice(HUGE_SIZE); }
static void double_free_then_allocate(void)
{
    char *p = tell(get(ROOM));
    free(p);
    free(p);
    two_owners(2);
}
static void double_free_then_more_frees(void)
{
    static char *held[3000];
    int n = is_guarded() ? 60 : 3000;
    for (int i = 0; i < n; i++)
        held[i] = get(ROOM);
    char *p = tell(get(ROOM));
    free(p);
    free(p);
    survived();
    for (int i = 0; i < n / 6 * 5; i++)
        free(held[i]);
    saw("nothing");
}
static void free_others_between(char *p)
{
    char *q = get(ROOM);
    free(p);
    free(q);
    free(p);
}
static void double_free_after_others(void)
{
    free_others_between(tell(get(ROOM)));
    survived();
    malloc_trim(0);
    saw("nothing");
}
static void double_free_after_others_then_allocate(void)
{
    free_others_between(tell(get(ROOM)));
    two_owners(3);
}
static void double_free_by_two_threads(void)
{
    char *p = tell(get(ROOM));
    free_elsewhere(p);
    free_elsewhere(p);
    goes_on(ROOM);
}
static void free_inside_a_small(void) { freed(get(ROOM) + 16); }
static void free_inside_a_large(void) { freed(get(LARGE) + 8192); }
static void free_of_a_stack_address(void)
{
    char local[64] __attribute__((aligned(16)));
    freed(opaque(local));
}
static void free_of_a_static(void) { freed(in_data); }
static void free_of_a_foreign_mapping(void)
{
    freed(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}
static void realloc_of_a_freed(void)
{
    char *p = tell(get(ROOM));
    free(p);
    opaque(realloc(p, ROOM + 1));
    goes_on(ROOM);
}
static void realloc_of_a_freed_to_another_class(void)
{
    char *p = tell(get(ROOM));
    free(p);
    opaque(realloc(p, 500));
    goes_on(ROOM);
}
static void sized(size_t size)
{
    void (*f)(void *, size_t);
    void *symbol = dlsym(RTLD_DEFAULT, "free_sized");
    if (!symbol)
        _exit(9);
    memcpy(&f, &symbol, sizeof f);
    f(tell(get(ROOM)), size);
    goes_on(ROOM);
}
static void free_sized_too_long(void) { sized(100); }
static void free_sized_too_short(void) { sized(50); }
static void write_after_free(void)
{
    char *p = tell(get(ROOM));
    free(p);
    opaque(p)[8] = 1;
    goes_on(ROOM);
}
static void write_after_free_of_a_large(void)
{
    char *p = tell(get(LARGE));
    free(p);
    opaque(p)[8] = 1;
    goes_on(ROOM);
}
static void read_after_free(void)
{
    char *p = tell(get(ROOM));
    memset(p, 's', ROOM);
    free(p);
    p = opaque(p);
    survived();
    saw(p[20] == 's' ? "the old bytes" : p[20] == 0 ? "zeros" : "other bytes");
}
static void overflow_by_one(void)
{
    char *p = tell(get(ROOM));
    opaque(p)[ROOM] = 0;
    survived();
    free(p);
    go_on(ROOM);
    saw("the heap is sound");
}
static void overflow_into_a_neighbour(size_t size, size_t bytes)
{
    char *p = tell(neighbours(size));
    memset(p + size, 1, bytes);
    survived();
    int changed = p[64] == 1;
    free(p);
    go_on(size);
    saw(changed ? "a neighbour's bytes changed" : "the heap is sound");
}
static void overflow_by_one_without_room(void) { overflow_into_a_neighbour(FULL, 1); }
static void overflow_by_one_object(void) { overflow_into_a_neighbour(ROOM, 64); }
static void underflow_by_one(void)
{
    char *p = tell(neighbours(ROOM));
    /* The lower neighbour's last byte is before the upper one's first. */
    p[is_guarded() ? -1 : 64 - 1] = 1;
    survived();
    free(p);
    go_on(ROOM);
    saw("the heap is sound");
}
static void overflow_of_a_large(void)
{
    char *p = tell(get(LARGE));
    get(LARGE);
    p[LARGE_BYTES] = 1;
    goes_on(ROOM);
}
static void underflow_of_a_large(void)
{
    get(LARGE);
    char *p = tell(get(LARGE));
    p[-1] = 1;
    goes_on(ROOM);
}
static void read_of_a_recycled_secret(void)
{
    char *p = tell(get(ROOM));
    memcpy(p + 16, "a secret", 8);
    free(p);
    survived();
    for (int i = 0; i < COUNT; i++) {
        char *q = opaque(malloc(ROOM));
        if (memmem(q, ROOM, "a secret", 8))
            saw("the secret");
    }
    saw("zeros");
}
static void attack_on_metadata(void)
{
    static char *held[COUNT];
    for (int i = 0; i < COUNT; i++)
        held[i] = get(ROOM);
    for (int i = 0; i < COUNT; i += 2)
        free(held[i]);
    tell(held[0]);
    /* Inside of each freed object and behind it, up to where the next one starts. */
    for (int i = 0; i < COUNT; i += 2)
        memset(opaque(held[i]), 0xff, FULL);
    goes_on(ROOM);
}

#define NAMED(f) { #f, f }

static const struct {
    const char *name;
    void (*run)(void);
} PROGRAMS[] = {
    NAMED(double_free), NAMED(double_free_then_allocate), NAMED(double_free_then_more_frees), NAMED(double_free_after_others),
    NAMED(double_free_after_others_then_allocate), NAMED(double_free_by_two_threads), NAMED(double_free_of_a_large),
    NAMED(double_free_of_a_huge), NAMED(free_inside_a_small), NAMED(free_inside_a_large), NAMED(free_of_a_stack_address),
    NAMED(free_of_a_static), NAMED(free_of_a_foreign_mapping), NAMED(realloc_of_a_freed),
    NAMED(realloc_of_a_freed_to_another_class), NAMED(free_sized_too_long), NAMED(free_sized_too_short),
    NAMED(write_after_free), NAMED(write_after_free_of_a_large), NAMED(read_after_free), NAMED(overflow_by_one),
    NAMED(overflow_by_one_without_room), NAMED(overflow_by_one_object), NAMED(underflow_by_one),
    NAMED(overflow_of_a_large), NAMED(underflow_of_a_large), NAMED(read_of_a_recycled_secret), NAMED(attack_on_metadata),
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof PROGRAMS / sizeof *PROGRAMS; i++)
        if (strcmp(argv[1], PROGRAMS[i].name) == 0)
            PROGRAMS[i].run();
    return 10;
}
