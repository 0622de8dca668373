/* What the manual says and glibc 2.36 does not do: it rounds alignments of memalign and aligned_alloc up to a power of two
   (aligned_alloc no longer since 2.38), and sets errno when posix_memalign finds no memory. */
#include "check.h"

#include <malloc.h>
#include <stddef.h>

int main(void)
{
    /* posix_memalign(3): "EINVAL The alignment argument was not a power of two"; "On error, NULL is returned, and errno is
       set". C17 7.22.3.1: aligned_alloc "shall fail by returning a null pointer" for an alignment that is not valid. */
    size_t bad[] = { 3, 5, 6, 7, 9, 12, 24, 40, 48, 100, 4095, 4097, 12288, SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        FAILS(EINVAL, memalign(opaque(bad[i]), opaque(64)));
        FAILS(EINVAL, aligned_alloc(opaque(bad[i]), opaque(64)));
        FAILS(EINVAL, aligned_alloc(opaque(bad[i]), opaque(bad[i])));
    }
    FAILS(EINVAL, memalign(opaque(0), opaque(64)));
    FAILS(EINVAL, aligned_alloc(opaque(0), opaque(64)));
    /* posix_memalign(3): "The value of errno is not set." */
    void *p;
    KEEPS_ERRNO(CHECK(posix_memalign(&p, 64, opaque(SIZE_MAX)) == ENOMEM));
    KEEPS_ERRNO(CHECK(posix_memalign(&p, 64, opaque(PTRDIFF_MAX)) == ENOMEM));
    KEEPS_ERRNO(CHECK(posix_memalign(&p, 64, opaque((size_t)1 << 47)) == ENOMEM));
    KEEPS_ERRNO(CHECK(posix_memalign(&p, opaque((size_t)1 << 62), 1) == ENOMEM));
    return 0;
}
