#include "check.h"

#include <malloc.h>
#include <unistd.h>

#define COUNT 1024
#define SIZE (64 * KIB)

/* Bytes of this process that are in memory. */
static size_t resident(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL && fscanf(f, "%*u %zu", &pages) == 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

int main(void)
{
    static void *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        CHECK((blocks[i] = malloc(SIZE)) != NULL);
        memset(blocks[i], 1, SIZE);
    }
    size_t full = resident();
    /* The last block stays: what is free is not at the top of anything. */
    for (int i = 0; i < COUNT - 1; i++)
        free(blocks[i]);
    /* malloc_trim(3): "returns 1 if memory was actually released back to the system". */
    CHECK(malloc_trim(0) == 1);
    CHECK_FOR(full, resident(), resident() + COUNT * SIZE / 10 * 9 < full);
    /* A pad is taken as well. */
    CHECK(malloc_trim(opaque(1 << 20)) >= 0);
    /* The heap is as good as before. */
    for (int i = 0; i < COUNT - 1; i++) {
        CHECK((blocks[i] = malloc(SIZE)) != NULL);
        memset(blocks[i], 1, SIZE);
    }
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    return 0;
}
