#include "check.h"

#include <malloc.h>

#define COUNT 24

/* malloc_usable_size(3): "the number of usable bytes in the block"; "may be greater than the requested size"; "the excess bytes
   can be overwritten by the application without ill effects". */
static void writable_to_the_end(size_t size)
{
    void *blocks[COUNT];
    size_t usable[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = i % 3 == 0 ? memalign(64, size) : malloc(size);
        CHECK_FOR(size, i, blocks[i] != NULL);
        KEEPS_ERRNO(usable[i] = malloc_usable_size(blocks[i]));
        CHECK_FOR(size, usable[i], usable[i] >= size);
        fill(blocks[i], 0, usable[i], i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_FOR(size, i, malloc_usable_size(blocks[i]) == usable[i]);
        CHECK_FOR(size, i, is_filled(blocks[i], usable[i], i));
        /* What is written there is contents as well: it moves with the block. */
        blocks[i] = realloc(blocks[i], usable[i] + 1);
        CHECK_FOR(size, i, blocks[i] != NULL && is_filled(blocks[i], usable[i], i));
        CHECK_FOR(size, i, malloc_usable_size(blocks[i]) > usable[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        free(blocks[i]);
}

int main(void)
{
    for (size_t size = 0; size <= 2 * MIB; size = next_size(size))
        writable_to_the_end(size);
    void *huge = malloc(200 * MIB + 1);
    CHECK(huge != NULL && malloc_usable_size(huge) > 200 * MIB);
    memset(huge, 1, malloc_usable_size(huge));
    free(huge);
    /* malloc_usable_size(3): "If ptr is NULL, 0 is returned." */
    CHECK(malloc_usable_size(opaque_pointer(NULL)) == 0);
    return 0;
}
