#include "check.h"

#include <malloc.h>
#include <unistd.h>

#define LARGEST (128 * MIB)
#define COUNT 5

/* A block is aligned, long enough, nobody else's, and can be resized and freed. */
static void hold(void *blocks[COUNT], size_t alignment, size_t size)
{
    size_t written = size < 200 * KIB ? size : 200 * KIB;
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_FOR(alignment, size, blocks[i] != NULL);
        CHECK_FOR(alignment, size, is_aligned(blocks[i], alignment));
        CHECK_FOR(alignment, size, malloc_usable_size(blocks[i]) >= size);
        fill(blocks[i], 0, written, i);
        fill((char *)blocks[i] + size - written, 0, written, i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_FOR(alignment, size, is_filled((char *)blocks[i] + size - written, written, i));
        if (size == written)
            CHECK_FOR(alignment, size, is_filled(blocks[i], written, i));
    }
    /* posix_memalign(3): "The glibc implementation allows memory obtained from any of these functions to be reclaimed with
       free(3)"; realloc takes what "malloc or related functions" returned. */
    for (size_t i = 0; i < COUNT; i++)
        if (i % 2 == 1 && size == written) {
            void *p = realloc(blocks[i], size + size / 2 + 1);
            CHECK_FOR(alignment, size, p != NULL && is_filled(p, size, i));
            free(p);
        } else
            free(blocks[i]);
}

/* posix_memalign(3): "The address of the allocated memory will be a multiple of alignment", by each function. */
static void each_function(size_t alignment, size_t size)
{
    void *blocks[COUNT];
    for (int i = 0; i < COUNT && alignment >= sizeof(void *); i++)
        KEEPS_ERRNO(CHECK_FOR(alignment, size, posix_memalign(&blocks[i], alignment, size) == 0));
    if (alignment >= sizeof(void *))
        hold(blocks, alignment, size);
    for (int i = 0; i < COUNT; i++)
        KEEPS_ERRNO(blocks[i] = memalign(alignment, size));
    hold(blocks, alignment, size);
    /* C11 requires of aligned_alloc that "the value of size shall be an integral multiple of alignment", C17 no more. */
    for (int i = 0; i < COUNT; i++)
        KEEPS_ERRNO(blocks[i] = aligned_alloc(alignment, size));
    hold(blocks, alignment, size);
}

/* posix_memalign(3): "If size is 0, then the value placed in *memptr is either NULL or a unique pointer value." */
static void zero_bytes(void)
{
    for (size_t alignment = 8; alignment <= LARGEST; alignment *= 8) {
        void *p, *q;
        CHECK(posix_memalign(&p, alignment, opaque(0)) == 0);
        CHECK(posix_memalign(&q, alignment, opaque(0)) == 0);
        CHECK_FOR(alignment, 0, is_aligned(p, alignment) && (p == NULL || p != q));
        free(p);
        free(q);
        free(memalign(alignment, opaque(0)));
        free(aligned_alloc(alignment, opaque(0)));
    }
    free(valloc(opaque(0)));
    free(pvalloc(opaque(0)));
}

/* posix_memalign(3): valloc "is equivalent to memalign(sysconf(_SC_PAGESIZE),size)"; pvalloc "rounds the size of the
   allocation up to the next multiple of the system page size". */
static void pages(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t size = 1; size <= 2 * MIB; size += size / 2 + 1) {
        void *blocks[COUNT];
        for (int i = 0; i < COUNT; i++)
            KEEPS_ERRNO(blocks[i] = valloc(size));
        hold(blocks, page, size);
        for (int i = 0; i < COUNT; i++)
            KEEPS_ERRNO(blocks[i] = pvalloc(size));
        hold(blocks, page, (size + page - 1) / page * page);
    }
}

int main(void)
{
    for (size_t alignment = 1; alignment <= LARGEST; alignment *= 2) {
        size_t sizes[] = { 1, 17, 100, 5000, 40000, 100000, alignment, alignment + 1, alignment * 2 - 1, alignment * 3,
                           alignment / 2 + 3 };
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            each_function(alignment, sizes[i]);
    }
    /* Memory that the process was given at odd places, before and after. */
    for (size_t alignment = 16; alignment <= 4096; alignment *= 2)
        for (size_t size = 1; size <= 40000; size += size / 5 + 1)
            each_function(alignment, size);
    zero_bytes();
    pages();
    return 0;
}
