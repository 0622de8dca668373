/* mallopt(3): "On success, mallopt() returns 1." Programs set what they know of glibc; gort accepts all of it and goes on.
   glibc returns 1 for parameters that it does not know, too. */
#include "check.h"

#include <malloc.h>

int main(void)
{
    int params[] = { M_MXFAST, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_CHECK_ACTION, M_ARENA_TEST,
                     M_ARENA_MAX, M_NLBLKS, M_GRAIN, M_KEEP, M_PERTURB, 12345, -12345 };
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        KEEPS_ERRNO(CHECK_FOR(i, 0, mallopt(params[i], 0) == 1));
        KEEPS_ERRNO(CHECK_FOR(i, 1, mallopt(params[i], 1) == 1));
        KEEPS_ERRNO(CHECK_FOR(i, 2, mallopt(params[i], 64) == 1));
        void *p = malloc(100000), *q = calloc(1, 100);
        CHECK(p != NULL && q != NULL && is_zero(q, 100));
        fill(p, 0, 100000, i);
        p = realloc(p, 300000);
        CHECK(p != NULL && is_filled(p, 100000, i));
        free(p);
        free(q);
    }
    return 0;
}
