/* malloc_trim(3): "returns 1 if memory was actually released back to the system, or 0 if it was not possible to release any".
   glibc 2.36 says 1 each time that it has asked the kernel, also for pages that were released before. */
#include "check.h"

#include <malloc.h>

int main(void)
{
    void *p = malloc(16 * MIB);
    CHECK(p != NULL);
    memset(p, 1, 16 * MIB);
    free(p);
    CHECK(malloc_trim(0) == 1);
    CHECK(malloc_trim(0) == 0);
    p = malloc(100000);
    memset(p, 1, 100000);
    CHECK(malloc_trim(0) == 0);
    free(p);
    CHECK(malloc_trim(0) == 1);
    CHECK(malloc_trim(0) == 0);
    return 0;
}
