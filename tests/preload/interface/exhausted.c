/* To be run under a limit of 512 MiB of addresses (RLIMIT_AS), which malloc(3) names as a reason for ENOMEM. */
#include "check.h"

#include <malloc.h>

/* Of 512 MiB: small blocks come from one reservation, which leaves addresses to the program's other needs. */
#define LEAST (100 * MIB)

/* The blocks, each the link to the next. */
struct link {
    struct link *next;
};

/* Takes blocks until there are none left; returns their number. malloc(3): "On error, these functions return NULL and set
   errno", "ENOMEM". */
static size_t take_all(size_t size, struct link **all)
{
    struct link *p;
    size_t count = 0;
    errno = ODD;
    while ((p = malloc(size)) != NULL) {
        p->next = *all;
        *all = p;
        count++;
    }
    CHECK_FOR(size, count, errno == ENOMEM);
    return count;
}

/* With nothing left, each function fails in its way, and `old` stays what it is. */
static void all_fail(size_t more, size_t size, void *old, size_t old_size)
{
    FAILS(ENOMEM, malloc(more));
    FAILS(ENOMEM, calloc(1, more));
    /* Growing in place may find a little less than `more` beside the block. */
    FAILS(ENOMEM, realloc(old, old_size + 2 * more));
    FAILS(ENOMEM, reallocarray(old, 2, old_size + more));
    FAILS(ENOMEM, memalign(64, more));
    FAILS(ENOMEM, aligned_alloc(4096, more));
    FAILS(ENOMEM, valloc(more));
    FAILS(ENOMEM, pvalloc(more));
    void *p = old;
    CHECK(posix_memalign(&p, 64, more) == ENOMEM && p == old);
    CHECK(is_filled(old, old_size, size));
}

int main(void)
{
    size_t sizes[] = { 64, 3 * MIB, 1000, 100000, 16, 20 * MIB, 30000, 4096, 100000, 64 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t old_size = 100 + i * 5000;
        void *old = malloc(old_size);
        CHECK(old != NULL);
        fill(old, 0, old_size, sizes[i]);
        struct link *all = NULL;
        /* What was free before is free again, whatever the size of the blocks that were there. */
        size_t count = take_all(sizes[i], &all);
        CHECK_FOR(sizes[i], count, count * sizes[i] >= LEAST);
        take_all(256 * KIB, &all);
        all_fail(256 * KIB, sizes[i], old, old_size);
        take_all(60000, &all);
        take_all(3000, &all);
        all_fail(60000, sizes[i], old, old_size);
        while (all != NULL) {
            struct link *next = all->next;
            KEEPS_ERRNO(free(all));
            all = next;
        }
        old = realloc(old, 256 * KIB);
        CHECK_FOR(sizes[i], 0, old != NULL && is_filled(old, old_size, sizes[i]));
        free(old);
    }
    return 0;
}
