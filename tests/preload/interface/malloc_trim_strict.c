/* malloc_trim(3): "returns 1 if memory was actually released back to the system, or 0 if it was not possible to release any".
   glibc 2.36 says 1 each time that it has asked the kernel, also for pages that were released before. The hardened build keeps no large
   block that is free, so there is nothing to release. */
#include "check.h"

#include <malloc.h>

static void large(size_t size)
{
    void *p = malloc(size);
    CHECK(p != NULL);
    memset(p, 1, size);
    CHECK(malloc_trim(0) == 0);
    free(p);
#ifndef HARDENED
    CHECK(malloc_trim(0) == 1);
#endif
    CHECK(malloc_trim(0) == 0);
}

static void small(void)
{
    enum { COUNT = 10000 };
    static void *p[COUNT];
    for (int i = 0; i < COUNT; i++) {
        p[i] = malloc(1000);
        CHECK(p[i] != NULL);
        memset(p[i], 1, 1000);
    }
    for (int i = 0; i < COUNT; i++)
        free(p[i]);
    CHECK(malloc_trim(0) == 1);
    CHECK(malloc_trim(0) == 0);
}

int main(void)
{
    large(16 * MIB);
    large(100000);
    small();
    return 0;
}
