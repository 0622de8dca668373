/* C23 7.24.3.4 and 7.24.3.5: free_sized and free_aligned_sized, which glibc 2.36 lacks. */
#include "check.h"

#include <gort.h>
#include <malloc.h>

static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

int main(void)
{
    /* 7.24.3.4: "If ptr is a null pointer or the result obtained from a call to malloc, realloc, or calloc, where size is equal
       to the requested allocation size, this function is equivalent to free(ptr)." */
    KEEPS_ERRNO(free_sized(NULL, 0));
    KEEPS_ERRNO(free_sized(NULL, 100));
    KEEPS_ERRNO(free_aligned_sized(NULL, 16, 0));
    KEEPS_ERRNO(free_aligned_sized(NULL, 4096, 4096));
    size_t before = in_use();
    for (size_t size = 0; size <= 200 * MIB; size = next_size(size)) {
        void *p = malloc(size);
        CHECK_FOR(size, 0, p != NULL);
        KEEPS_ERRNO(free_sized(p, size));
        p = calloc(size, 3);
        CHECK_FOR(size, 1, p != NULL);
        KEEPS_ERRNO(free_sized(p, size * 3));
        p = realloc(malloc(size / 2 + 1), size + 1);
        CHECK_FOR(size, 2, p != NULL);
        KEEPS_ERRNO(free_sized(p, size + 1));
        p = realloc(malloc(size * 2), size / 3 + 1);
        CHECK_FOR(size, 3, p != NULL);
        KEEPS_ERRNO(free_sized(p, size / 3 + 1));
        /* 7.24.3.5: the same for what aligned_alloc returned, with the alignment and size that it was asked for. */
        for (size_t alignment = 1; alignment <= 64 * MIB; alignment *= alignment < 4096 ? 2 : 64) {
            p = aligned_alloc(alignment, size);
            CHECK_FOR(size, alignment, p != NULL);
            KEEPS_ERRNO(free_aligned_sized(p, alignment, size));
        }
    }
    CHECK_FOR(before, in_use(), in_use() <= before + 64 * KIB);
    /* Freed is what was given: each block serves again, whole. */
    for (size_t size = 1; size <= 100000; size += size / 4 + 1) {
        void *blocks[50];
        for (int round = 0; round < 2; round++) {
            for (size_t i = 0; i < 50; i++) {
                CHECK((blocks[i] = round == 0 ? malloc(size) : calloc(1, size)) != NULL);
                CHECK_FOR(size, i, round == 0 || is_zero(blocks[i], size));
                fill(blocks[i], 0, size, i);
            }
            for (size_t i = 0; i < 50; i++) {
                CHECK_FOR(size, i, is_filled(blocks[i], size, i));
                free_sized(blocks[i], size);
            }
        }
    }
    return 0;
}
