#include "check.h"

#include <stddef.h>

static const size_t SIZES[] = { 1, 24, 1000, 5000, 40000, 100000, 3 * MIB, 70 * MIB };
#define COUNT (sizeof SIZES / sizeof *SIZES)

/* malloc(3): "If ptr is NULL, then the call is equivalent to malloc(size), for all values of size." */
static void of_null(void)
{
    void *p = realloc(NULL, opaque(100));
    CHECK(p != NULL && is_aligned_for(p, 100));
    memset(p, 1, 100);
    free(p);
    void *q[2] = { realloc(NULL, opaque(0)), realloc(NULL, opaque(0)) };
    CHECK(q[0] != NULL && q[1] != NULL && q[0] != q[1]);
    free(q[0]);
    free(q[1]);
    FAILS(ENOMEM, realloc(NULL, opaque(SIZE_MAX)));
}

/* malloc(3): "If size is equal to zero, and ptr is not NULL, then the call is equivalent to free(ptr)"; "return NULL if ptr is
   not NULL and the requested size is zero; this is not considered an error". So often that what is not freed would not fit
   into the machine's addresses. */
static void to_zero(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        size_t rounds = SIZES[i] < 100000 ? 1000 : ((size_t)1 << 48) / SIZES[i] / 500;
        for (size_t round = 0; round < rounds && round < 300000; round++) {
            void *p = malloc(SIZES[i]);
            CHECK_FOR(SIZES[i], round, p != NULL);
            KEEPS_ERRNO(CHECK(realloc(p, opaque(0)) == NULL));
        }
    }
}

/* C17 7.22.3.5: "The contents of the new object shall be the same as that of the old object prior to deallocation, up to the
   lesser of the new and old sizes." From each of the sizes to each. */
static void keeps_contents(void)
{
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < COUNT; j++) {
            size_t least = SIZES[i] < SIZES[j] ? SIZES[i] : SIZES[j];
            void *p = malloc(SIZES[i]);
            CHECK(p != NULL);
            fill(p, 0, SIZES[i], i);
            KEEPS_ERRNO(p = realloc(p, SIZES[j]));
            CHECK_FOR(SIZES[i], SIZES[j], p != NULL && is_aligned_for(p, SIZES[j]));
            CHECK_FOR(SIZES[i], SIZES[j], is_filled(p, least, i));
            fill(p, 0, SIZES[j], j);
            free(p);
        }
}

/* malloc(3): "If these functions fail, the original block is left untouched; it is not freed or moved." */
static void failing(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        void *p = malloc(SIZES[i]);
        CHECK(p != NULL);
        fill(p, 0, SIZES[i], i);
        FAILS(ENOMEM, realloc(p, opaque(SIZE_MAX)));
        FAILS(ENOMEM, realloc(p, opaque(SIZE_MAX / 2 + 1)));
        FAILS(ENOMEM, realloc(p, opaque(PTRDIFF_MAX)));
        FAILS(ENOMEM, realloc(p, opaque((size_t)1 << 47)));
        FAILS(ENOMEM, reallocarray(p, opaque(SIZE_MAX / 2), opaque(3)));
        FAILS(ENOMEM, reallocarray(p, opaque((size_t)1 << 32), opaque((size_t)1 << 32)));
        FAILS(ENOMEM, reallocarray(p, opaque(SIZE_MAX / 16 + 2), opaque(16)));
        FAILS(ENOMEM, reallocarray(p, opaque(PTRDIFF_MAX / 8 + 1), opaque(8)));
        CHECK_FOR(SIZES[i], 0, is_filled(p, SIZES[i], i));
        /* It is still the block that it was: it can be resized, and freed. */
        p = realloc(p, SIZES[i] + 1);
        CHECK_FOR(SIZES[i], 0, p != NULL && is_filled(p, SIZES[i], i));
        free(p);
    }
}

/* C17 7.22.3: "suitably aligned so that it may be assigned to a pointer to any type of object with a fundamental alignment
   requirement". Sizes that grow from nothing, and those of arrays; several blocks of each, as the first of a page is aligned for
   anything. */
static void aligned_for_any_type(void)
{
    void *p[4] = { NULL }, *q[4] = { NULL };
    for (size_t size = 1; size <= 9 * MIB; size = next_size(size))
        for (int i = 0; i < 4; i++) {
            p[i] = realloc(p[i], size);
            CHECK_FOR(size, i, p[i] != NULL && is_aligned_for(p[i], size));
            /* Some begin anew. */
            if (size % 5 == 0) {
                free(q[i]);
                q[i] = NULL;
            }
            q[i] = reallocarray(q[i], size, 3);
            CHECK_FOR(size, i, q[i] != NULL && is_aligned_for(q[i], size * 3));
        }
    for (int i = 0; i < 4; i++) {
        free(p[i]);
        free(q[i]);
    }
}

/* malloc(3): reallocarray "is equivalent to the call realloc(ptr, nmemb * size)". */
static void arrays(void)
{
    char *p = reallocarray(NULL, opaque(3), opaque(7));
    CHECK(p != NULL);
    fill(p, 0, 21, 9);
    p = reallocarray(p, opaque(1000), opaque(70));
    CHECK(p != NULL && is_filled(p, 21, 9));
    fill(p, 0, 70000, 8);
    p = reallocarray(p, opaque(5), opaque(5));
    CHECK(p != NULL && is_filled(p, 25, 8));
    KEEPS_ERRNO(CHECK(reallocarray(p, opaque(0), opaque(5)) == NULL));
    p = reallocarray(NULL, opaque(0), opaque(SIZE_MAX));
    CHECK(p != NULL);
    KEEPS_ERRNO(CHECK(reallocarray(p, opaque(5), opaque(0)) == NULL));
}

int main(void)
{
    of_null();
    to_zero();
    keeps_contents();
    failing();
    aligned_for_any_type();
    arrays();
    return 0;
}
