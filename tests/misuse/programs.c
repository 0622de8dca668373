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
static pthread_barrier_t meet;
static char *theirs[COUNT], *mine[COUNT];

static void *free_and_allocate(void *p)
{
    free(p);
    pthread_barrier_wait(&meet);
    /* The second free. */
    pthread_barrier_wait(&meet);
    for (int i = 0; i < COUNT; i++)
        theirs[i] = get(ROOM);
    return NULL;
}

/* Two threads free an object and allocate then, each with the object in a bin of its own. */
static void double_free_by_two_threads_that_live(void)
{
    char *p = tell(get(ROOM));
    pthread_t thread;
    if (pthread_barrier_init(&meet, NULL, 2) != 0 || pthread_create(&thread, NULL, free_and_allocate, p) != 0)
        _exit(7);
    pthread_barrier_wait(&meet);
    free(p);
    survived();
    pthread_barrier_wait(&meet);
    for (int i = 0; i < COUNT; i++)
        mine[i] = get(ROOM);
    pthread_join(thread, NULL);
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++)
            if (mine[i] == theirs[j])
                saw("two objects at one address");
    saw("the heap is sound");
}

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
static void double_free_after_a_write(void)
{
    char *p = tell(get(ROOM));
    free(p);
    memset(opaque(p), 1, 8);
    free(p);
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
static void sized(char *p, size_t size)
{
    void (*f)(void *, size_t);
    void *symbol = dlsym(RTLD_DEFAULT, "free_sized");
    if (!symbol)
        _exit(9);
    memcpy(&f, &symbol, sizeof f);
    f(tell(p), size);
    goes_on(ROOM);
}
static void free_sized_too_long(void) { sized(get(ROOM), 100); }
static void free_sized_too_short(void) { sized(get(ROOM), 50); }
static void free_sized_of_a_large(void) { sized(get(LARGE), 200000); }
static void free_sized_of_a_large_as_a_small(void) { sized(get(LARGE), ROOM); }
static void free_aligned_sized_of_another_alignment(void)
{
    void (*f)(void *, size_t, size_t);
    void *symbol = dlsym(RTLD_DEFAULT, "free_aligned_sized");
    if (!symbol)
        _exit(9);
    memcpy(&f, &symbol, sizeof f);
    char *p = opaque(aligned_alloc(64, FULL));
    f(tell(p), ((uintptr_t)p & -(uintptr_t)p) * 2, FULL);
    goes_on(FULL);
}
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
static void underflow(size_t size)
{
    char *p = tell(neighbours(size));
    /* The lower neighbour's last byte is before the upper one's first. No byte of a canary is 0. */
    p[is_guarded() ? -1 : 64 - 1] = 0;
    survived();
    int changed = size == FULL && p[63] == 0;
    free(p);
    go_on(size);
    saw(changed ? "a neighbour's bytes changed" : "the heap is sound");
}
static void underflow_by_one(void) { underflow(ROOM); }
static void underflow_by_one_into_a_full(void) { underflow(FULL); }
static void overflow_by_one_of_a_large(void)
{
    char *p = tell(get(LARGE));
    p[LARGE] = 0;
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
static void recycled_secret(size_t size, int count)
{
    char *p = tell(get(size));
    memcpy(p + 16, "a secret", 8);
    free(p);
    survived();
    for (int i = 0; i < count; i++) {
        char *q = opaque(malloc(size));
        if (memmem(q, ROOM, "a secret", 8))
            saw("the secret");
    }
    saw("zeros");
}
static void read_of_a_recycled_secret(void) { recycled_secret(ROOM, COUNT); }
static void read_of_a_recycled_secret_of_a_large(void) { recycled_secret(LARGE, 600); }
/* Of each size more objects than a bin holds. Of some a span has many, of some a few, of some one; seven of the second leave 128 bytes of it. */
struct sizes {
    size_t size, bytes, count;
};
static const struct sizes ATTACKED[] = {
    { ROOM, FULL, 8000 }, { 1100, 1152, 1600 }, { 8192, 8192, 200 }, { 20000, 20480, 120 }, { 32768, 32768, 64 },
};
static const struct sizes ATTACKED_LARGE[] = { { LARGE, LARGE_BYTES, 24 } };
#define MOST_SIZES 5
#define MOST 8000
static char *attacked[MOST_SIZES][MOST];
static char *again[MOST_SIZES][MOST];

/* Each word of a live object is its number. */
static char *numbered(size_t size, uint32_t number)
{
    char *p = get(size);
    for (size_t at = 0; at < size; at += 4)
        memcpy(p + at, &number, 4);
    return p;
}

static void check_number(const char *p, size_t size, uint32_t number)
{
    for (size_t at = 0; at < size; at += 4)
        if (memcmp(p + at, &number, 4) != 0)
            saw("an object's bytes changed");
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (char *const *)a, y = (uintptr_t) * (char *const *)b;
    return (x > y) - (x < y);
}

/* Writes over objects of so many bytes, and over what is between two of them if that is shorter than an object, which may be alive, and
   than a page, which may be another span's. */
static void overwrite(char **objects, size_t n, size_t bytes)
{
    qsort(objects, n, sizeof *objects, by_address);
    for (size_t i = 0; i < n; i++) {
        size_t gap = i + 1 < n ? (size_t)(objects[i + 1] - objects[i]) - bytes : 0;
        memset(opaque(objects[i]), 0xff, bytes + (gap < bytes && gap < 8192 ? gap : 0));
    }
}

static void free_some(const struct sizes *sizes, size_t n, size_t from, size_t to)
{
    for (size_t s = 0; s < n; s++)
        for (size_t i = 0; i < sizes[s].count; i++)
            if (i % 8 >= from && i % 8 < to)
                free(attacked[s][i]);
}

/* Frees seven of eight objects, and writes over all of their bytes and over what is between them. Some are in spans then or, where these
   were empty, in the page heap; some in transfer caches; some in the thread's own. Those that live are not written to. */
static void attack(const struct sizes *sizes, size_t n, int is_told)
{
    static char *freed[MOST];
    for (size_t s = 0; s < n; s++)
        for (size_t i = 0; i < sizes[s].count; i++)
            attacked[s][i] = numbered(sizes[s].size, (uint32_t)(s * MOST + i));
    free_some(sizes, n, 1, 4);
    malloc_trim(0);
    free_some(sizes, n, 4, 8);
    /* The one that is told is the first: when it is guarded, it is the one that is reported. */
    if (is_told)
        memset(tell(attacked[0][1]), 0xff, sizes[0].size);
    for (size_t s = 0; s < n; s++) {
        size_t count = 0;
        for (size_t i = 0; i < sizes[s].count; i++)
            if (i % 8 != 0)
                freed[count++] = attacked[s][i];
        overwrite(freed, count, sizes[s].bytes);
    }
}

/* Allocates more than was freed and gives it back, a few times, and at last to the kernel. No object may overlap another. */
static void go_on_after_attack(const struct sizes *sizes, size_t n)
{
    for (int round = 0; round < 3; round++) {
        for (size_t s = 0; s < n; s++)
            for (size_t i = 0; i < sizes[s].count; i++)
                again[s][i] = numbered(sizes[s].size, (uint32_t)((MOST_SIZES + s) * MOST + i));
        for (size_t s = 0; s < n; s++)
            for (size_t i = 0; i < sizes[s].count; i++) {
                check_number(again[s][i], sizes[s].size, (uint32_t)((MOST_SIZES + s) * MOST + i));
                if (i % 8 == 0)
                    check_number(attacked[s][i], sizes[s].size, (uint32_t)(s * MOST + i));
            }
        for (size_t s = 0; s < n; s++)
            for (size_t i = 0; i < sizes[s].count; i++)
                free(again[s][i]);
    }
    free_some(sizes, n, 0, 1);
    malloc_trim(0);
}

static void attack_on_metadata(void)
{
    attack(ATTACKED, MOST_SIZES, 1);
    survived();
    go_on_after_attack(ATTACKED, MOST_SIZES);
    /* In the hardened build an access to these is a fault, and a row of its own. */
    attack(ATTACKED_LARGE, 1, 0);
    go_on_after_attack(ATTACKED_LARGE, 1);
    saw("the heap is sound");
}

#define NAMED(f) { #f, f }

static const struct {
    const char *name;
    void (*run)(void);
} PROGRAMS[] = {
    NAMED(double_free), NAMED(double_free_then_allocate), NAMED(double_free_then_more_frees), NAMED(double_free_after_others),
    NAMED(double_free_after_others_then_allocate), NAMED(double_free_after_a_write), NAMED(double_free_by_two_threads), NAMED(double_free_by_two_threads_that_live), NAMED(double_free_of_a_large),
    NAMED(double_free_of_a_huge), NAMED(free_inside_a_small), NAMED(free_inside_a_large), NAMED(free_of_a_stack_address),
    NAMED(free_of_a_static), NAMED(free_of_a_foreign_mapping), NAMED(realloc_of_a_freed),
    NAMED(realloc_of_a_freed_to_another_class), NAMED(free_sized_too_long), NAMED(free_sized_too_short),
    NAMED(free_sized_of_a_large), NAMED(free_sized_of_a_large_as_a_small),
    NAMED(free_aligned_sized_of_another_alignment),
    NAMED(write_after_free), NAMED(write_after_free_of_a_large), NAMED(read_after_free), NAMED(overflow_by_one),
    NAMED(overflow_by_one_without_room), NAMED(overflow_by_one_object), NAMED(underflow_by_one), NAMED(underflow_by_one_into_a_full),
    NAMED(overflow_by_one_of_a_large), NAMED(overflow_of_a_large), NAMED(underflow_of_a_large), NAMED(read_of_a_recycled_secret),
    NAMED(read_of_a_recycled_secret_of_a_large), NAMED(attack_on_metadata),
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof PROGRAMS / sizeof *PROGRAMS; i++)
        if (strcmp(argv[1], PROGRAMS[i].name) == 0)
            PROGRAMS[i].run();
    return 10;
}
