/* C17 7.22.3.5: "The contents of the new object shall be the same as that of the old object prior to deallocation, up to the
   lesser of the new and old sizes." For blocks however they were made, on a random walk through the sizes from 1 byte to
   64 MiB. The seed is the program's argument. */
#include "check.h"

#include <malloc.h>

#define SLOTS 48
#define MOST (400 * MIB)

static uint64_t state;
static struct slot {
    char *p;
    size_t size, seed;
} slots[SLOTS];
static size_t total;

static uint64_t random_number(void)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = (state ^ state >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Up to 2^bits, each order of magnitude as likely as another. */
static size_t random_size(unsigned bits)
{
    size_t top = (size_t)1 << random_number() % (bits + 1);
    size_t size = top / 2 + random_number() % (top / 2 + 1);
    return size == 0 ? 1 : size;
}

static void check(struct slot *s, size_t size)
{
    if (s->p != NULL && !is_filled(s->p, size, s->seed)) {
        fprintf(stderr, "contents of %zu bytes are not what was written to %zu: ", size, s->size);
        CHECK(0);
    }
}

static void drop(struct slot *s)
{
    check(s, s->size);
    free(s->p);
    total -= s->size;
    s->p = NULL;
    s->size = 0;
}

static void make(struct slot *s, size_t size)
{
    size_t alignment = (size_t)8 << random_number() % 20;
    switch (random_number() % 4) {
    case 0:
        s->p = calloc(1, size);
        CHECK_FOR(size, 0, s->p != NULL && is_zero(s->p, size));
        break;
    case 1:
        s->p = memalign(alignment, size);
        CHECK_FOR(size, alignment, s->p != NULL && is_aligned(s->p, alignment));
        break;
    default:
        s->p = malloc(size);
    }
    CHECK_FOR(size, 0, s->p != NULL && is_aligned_for(s->p, size));
    s->size = size;
    s->seed = random_number();
    fill(s->p, 0, size, s->seed);
    total += size;
}

static void resize(struct slot *s, size_t size)
{
    size_t least = size < s->size ? size : s->size;
    s->p = realloc(s->p, size);
    CHECK_FOR(s->size, size, s->p != NULL && is_aligned_for(s->p, size));
    check(s, least);
    fill(s->p, least, size, s->seed);
    total += size - s->size;
    s->size = size;
}

static void walk(size_t steps, unsigned bits)
{
    for (size_t step = 0; step < steps; step++) {
        struct slot *s = &slots[random_number() % SLOTS];
        /* Half of the steps are to a size near by, as those of a growing or shrinking array. */
        size_t size = random_size(bits);
        if (random_number() % 2 == 0 && s->size > 0)
            size = s->size / 2 + random_number() % s->size + 1;
        if (total + size > MOST || size > (size_t)1 << bits)
            drop(s);
        else if (s->p == NULL)
            make(s, size);
        else
            resize(s, size);
    }
    for (size_t i = 0; i < SLOTS; i++)
        drop(&slots[i]);
}

/* A byte at a time, up and down again. */
static void creep(size_t most)
{
    struct slot s = { NULL, 0, 7 };
    while (s.size < most)
        resize(&s, s.size + 1);
    while (s.size > 1)
        resize(&s, s.size - 1);
    drop(&s);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    state = strtoull(argv[1], NULL, 0);
    printf("seed 0x%llx\n", (unsigned long long)state);
    fflush(stdout);
    walk(50000, 12);
    walk(10000, 18);
    walk(600, 26);
    creep(3000);
    return 0;
}
