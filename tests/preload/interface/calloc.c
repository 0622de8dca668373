#include "check.h"

#include <malloc.h>
#include <stddef.h>

/* C17 7.22.3.2: "The space is initialized to all bits zero." Also where dirt was freed a moment ago. */
static void zero_where_dirt_was(size_t size)
{
    void *dirty[3];
    for (int i = 0; i < 3; i++) {
        dirty[i] = malloc(size);
        CHECK_FOR(size, i, dirty[i] != NULL);
        memset(dirty[i], 0xa5, malloc_usable_size(dirty[i]));
    }
    for (int i = 0; i < 3; i++)
        free(dirty[i]);
    for (int i = 0; i < 3; i++) {
        dirty[i] = calloc(size, 1);
        CHECK_FOR(size, i, dirty[i] != NULL && is_aligned_for(dirty[i], size));
        CHECK_FOR(size, i, is_zero(dirty[i], size));
        memset(dirty[i], 0x5a, malloc_usable_size(dirty[i]));
    }
    for (int i = 0; i < 3; i++)
        free(dirty[i]);
}

/* As above: a place where one block was serves blocks of another size. */
static void zero_across_sizes(size_t big, size_t small)
{
    static void *blocks[512];
    size_t count = big / small;
    void *dirty = malloc(big);
    CHECK(dirty != NULL && count <= 512);
    memset(dirty, 0xa5, big);
    free(dirty);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = calloc(1, small);
        CHECK_FOR(small, i, blocks[i] != NULL && is_aligned_for(blocks[i], small));
        CHECK_FOR(small, i, is_zero(blocks[i], small));
        memset(blocks[i], 0xa5, small);
    }
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    dirty = calloc(big, 1);
    CHECK_FOR(big, small, dirty != NULL && is_zero(dirty, big));
    free(dirty);
}

/* malloc(3): "If the multiplication of nmemb and size would result in integer overflow, then calloc() returns an error";
   "Attempting to allocate more than PTRDIFF_MAX bytes is considered an error". */
static void too_much(void)
{
    FAILS(ENOMEM, calloc(opaque(SIZE_MAX), 2));
    FAILS(ENOMEM, calloc(2, opaque(SIZE_MAX)));
    FAILS(ENOMEM, calloc(opaque(SIZE_MAX), opaque(SIZE_MAX)));
    FAILS(ENOMEM, calloc(opaque((size_t)1 << 32), opaque((size_t)1 << 32)));
    FAILS(ENOMEM, calloc(opaque(SIZE_MAX / 16 + 2), opaque(16)));
    FAILS(ENOMEM, calloc(opaque(48), opaque(SIZE_MAX / 48 + 1)));
    FAILS(ENOMEM, calloc(opaque(SIZE_MAX / 2 + 1), 1));
    FAILS(ENOMEM, calloc(opaque(PTRDIFF_MAX / 8 + 1), 8));
    FAILS(ENOMEM, calloc(1, opaque(PTRDIFF_MAX)));
    FAILS(ENOMEM, calloc(opaque((size_t)1 << 24), opaque((size_t)1 << 24)));
}

/* malloc(3): "If nmemb or size is 0, then calloc() returns a unique pointer value that can later be successfully passed to
   free()." */
static void zero_bytes(void)
{
    void *p[] = { calloc(0, opaque(8)), calloc(opaque(8), 0), calloc(0, 0), calloc(0, opaque(SIZE_MAX)),
                  calloc(opaque(SIZE_MAX), 0) };
    for (int i = 0; i < 5; i++) {
        CHECK_FOR(i, 0, p[i] != NULL);
        for (int j = 0; j < i; j++)
            CHECK_FOR(i, j, p[i] != p[j]);
    }
    for (int i = 0; i < 5; i++)
        free(p[i]);
}

int main(void)
{
    too_much();
    zero_bytes();
    /* Twice: what the second round gets is dirt of the first, of all sizes. */
    for (int round = 0; round < 2; round++) {
        for (size_t size = 1; size <= 6 * MIB; size = next_size(size))
            zero_where_dirt_was(size);
        for (size_t size = 64; size <= 64 * MIB; size *= 2)
            zero_where_dirt_was(size - 8);
        zero_across_sizes(4 * MIB, 8 * KIB);
        zero_across_sizes(4 * MIB, 100000);
        zero_across_sizes(100000, 2000);
        zero_across_sizes(40000, 100);
        zero_across_sizes(70 * MIB, 3 * MIB);
        malloc_trim(0);
    }
    /* The product counts, not one of its factors. */
    for (size_t count = 1; count <= 300; count++) {
        void *p = calloc(count, 24);
        CHECK_FOR(count, 24, p != NULL && malloc_usable_size(p) >= count * 24 && is_zero(p, count * 24));
        CHECK_FOR(count, 24, is_aligned_for(p, count * 24));
        free(p);
    }
    too_much();
    return 0;
}
