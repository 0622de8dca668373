/* Requests beyond the machine's memory, which the kernel refuses unless it is told to grant everything. What is granted is not
   touched. */
#include "check.h"

#include <malloc.h>
#include <sys/sysinfo.h>

static void all_refuse(size_t size)
{
    static const size_t sizes[] = { 100, 30000, 100000, 2 * MIB, 60 * MIB, 100 * MIB };
    FAILS(ENOMEM, malloc(size));
    FAILS(ENOMEM, calloc(1, size));
    FAILS(ENOMEM, calloc(size / 16, 16));
    FAILS(ENOMEM, realloc(NULL, size));
    FAILS(ENOMEM, aligned_alloc(64, size));
    FAILS(ENOMEM, aligned_alloc(2 * MIB, size));
    FAILS(ENOMEM, memalign(256 * MIB, size));
    FAILS(ENOMEM, valloc(size));
    void *none = NULL;
    CHECK(posix_memalign(&none, 4096, size) == ENOMEM && none == NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *p = malloc(sizes[i]);
        CHECK_FOR(size, sizes[i], p != NULL);
        fill(p, 0, sizes[i], i);
        FAILS(ENOMEM, realloc(p, size));
        FAILS(ENOMEM, reallocarray(p, size / 16, 16));
        CHECK_FOR(size, sizes[i], is_filled(p, sizes[i], i));
        /* It still is what it was, not half moved. */
        p = realloc(p, 2 * sizes[i]);
        CHECK_FOR(size, sizes[i], p != NULL && is_filled(p, sizes[i], i));
        free(p);
    }
}

int main(void)
{
    struct sysinfo info;
    CHECK(sysinfo(&info) == 0);
    all_refuse(opaque((size_t)1 << 46));
    all_refuse(opaque(2 * (info.totalram + info.totalswap) * info.mem_unit));
    return 0;
}
