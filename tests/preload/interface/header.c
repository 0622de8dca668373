/* gort.h alone, in plain C99. */
#include <gort.h>

#if GORT_VERSION != 1000 * (1000 * GORT_VERSION_MAJOR + GORT_VERSION_MINOR) + GORT_VERSION_PATCH
#error the version and its parts differ
#endif

int main(void)
{
    void (*sized)(void *, size_t) = free_sized;
    void (*aligned)(void *, size_t, size_t) = free_aligned_sized;
    sized(NULL, 0);
    aligned(NULL, 8, 0);
    return 0;
}
