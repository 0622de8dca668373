/* malloc(3): free "preserves errno". C17 7.5: errno "is never set to zero by any library function"; gort promises more, which
   glibc keeps in practice: a call that succeeds leaves errno as it was, the first one of a process as well. */
#include "check.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#define COUNT 3000

/* malloc_stats writes to stderr, where checks that fail are to be read. */
static void stats_to_nowhere(void)
{
    int kept = dup(2), nowhere = open("/dev/null", O_WRONLY);
    CHECK(kept >= 0 && nowhere >= 0 && dup2(nowhere, 2) == 2);
    errno = ODD;
    malloc_stats();
    int after = errno;
    CHECK(dup2(kept, 2) == 2);
    close(kept);
    close(nowhere);
    CHECK(after == ODD);
}

int main(void)
{
    static void *blocks[COUNT];
    void *p;
    KEEPS_ERRNO(free(NULL));
    KEEPS_ERRNO(p = malloc(1));
    KEEPS_ERRNO(free(p));
    /* So many that threads' caches overflow both ways, so large that the kernel is asked. */
    for (size_t size = 8; size <= 100 * MIB; size *= 3) {
        size_t count = 64 * MIB / size + 1 < COUNT ? 64 * MIB / size + 1 : COUNT;
        for (size_t i = 0; i < count; i++)
            KEEPS_ERRNO(blocks[i] = malloc(size));
        for (size_t i = 0; i < count; i++)
            KEEPS_ERRNO(free(blocks[i]));
        KEEPS_ERRNO(p = calloc(1, size));
        KEEPS_ERRNO(p = realloc(p, size * 2));
        KEEPS_ERRNO(p = realloc(p, size / 2));
        KEEPS_ERRNO(p = reallocarray(p, 3, size));
        KEEPS_ERRNO(CHECK(malloc_usable_size(p) >= 3 * size));
        KEEPS_ERRNO(free(p));
        KEEPS_ERRNO(CHECK(posix_memalign(&p, 4096, size) == 0));
        KEEPS_ERRNO(free(p));
        KEEPS_ERRNO(p = memalign(2 * MIB, size));
        KEEPS_ERRNO(free(p));
    }
    KEEPS_ERRNO(malloc_trim(0));
    KEEPS_ERRNO(mallinfo2());
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    KEEPS_ERRNO(mallinfo());
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(stream != NULL);
    KEEPS_ERRNO(CHECK(malloc_info(0, stream) == 0));
    CHECK(fclose(stream) == 0);
    free(text);
    stats_to_nowhere();
    KEEPS_ERRNO(mallopt(M_MMAP_THRESHOLD, 1 << 20));
    KEEPS_ERRNO(free(NULL));
    return 0;
}
