#include "check.h"

#define COUNT 200

/* malloc(3): "a pointer to the allocated memory, which is suitably aligned for any type that fits into the requested size or
   less". */
static void aligned_for_what_fits(size_t size)
{
    void *p = malloc(size);
    CHECK_FOR(size, 0, p != NULL);
    CHECK_FOR(size, 0, is_aligned_for(p, size));
    free(p);
}

/* C17 7.22.3: "Each such allocation shall yield a pointer to an object disjoint from any other object." */
static void disjoint(size_t size)
{
    static void *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = malloc(size);
        CHECK_FOR(size, i, blocks[i] != NULL);
        fill(blocks[i], 0, size, i);
    }
    for (size_t i = 0; i < COUNT; i++)
        CHECK_FOR(size, i, is_filled(blocks[i], size, i));
    for (size_t i = 0; i < COUNT; i++)
        free(blocks[i]);
}

/* malloc(3): "If size is 0, then malloc() returns a unique pointer value that can later be successfully passed to free()." */
static void zero_bytes(void)
{
    static void *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = malloc(opaque(0));
        CHECK(blocks[i] != NULL);
        for (size_t j = 0; j < i; j++)
            CHECK_FOR(i, j, blocks[i] != blocks[j]);
    }
    for (size_t i = 0; i < COUNT; i++)
        free(blocks[i]);
}

/* malloc(3): "Attempting to allocate more than PTRDIFF_MAX bytes is considered an error"; "return NULL and set errno", ENOMEM.
   The sizes below it are more than the machine's addresses. */
static void too_much(void)
{
    size_t sizes[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 16, SIZE_MAX - 4095, SIZE_MAX - 8191, SIZE_MAX - 65535,
                       SIZE_MAX / 2 + 2, SIZE_MAX / 2 + 1, PTRDIFF_MAX, PTRDIFF_MAX - 4096, SIZE_MAX / 4, (size_t)1 << 48,
                       (size_t)1 << 47 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        FAILS(ENOMEM, malloc(opaque(sizes[i])));
}

int main(void)
{
    too_much();
    for (size_t size = 1; size <= 70000; size += size < 5000 ? 1 : 97)
        aligned_for_what_fits(size);
    for (size_t size = 128 * KIB; size <= 256 * MIB; size *= 2) {
        aligned_for_what_fits(size - 1);
        aligned_for_what_fits(size);
        aligned_for_what_fits(size + 1);
    }
    for (size_t size = 1; size <= 200 * KIB; size += size / 3 + 1)
        disjoint(size);
    zero_bytes();
    too_much();
    /* malloc(3): "If ptr is NULL, no operation is performed." */
    free(opaque_pointer(NULL));
    return 0;
}
