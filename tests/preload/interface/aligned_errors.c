#include "check.h"

#include <malloc.h>
#include <stddef.h>

/* posix_memalign(3): "returns zero on success, or one of the error values"; "EINVAL The alignment argument was not a power of
   two, or was not a multiple of sizeof(void *)"; "does not modify memptr on failure". "The value of errno is not set" is in
   aligned_strict.c for want of memory. */
static void refuses(int error, size_t alignment, size_t size)
{
    char mark;
    void *p = &mark;
    errno = ODD;
    CHECK_FOR(alignment, size, posix_memalign(&p, opaque(alignment), opaque(size)) == error);
    CHECK_FOR(alignment, size, p == &mark);
    CHECK_FOR(alignment, size, errno == ODD || error == ENOMEM);
}

int main(void)
{
    size_t bad[] = { 0, 1, 2, 4, 3, 5, 6, 7, 9, 12, 24, 40, 48, 100, 4095, 4097, 12288, SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2,
                     (size_t)3 << 61 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        refuses(EINVAL, bad[i], 1);
        refuses(EINVAL, bad[i], 0);
        refuses(EINVAL, bad[i], 100000);
        /* An alignment that is wrong is told before a size that is. */
        refuses(EINVAL, bad[i], SIZE_MAX);
    }
    /* As malloc(3) says of its functions: "Attempting to allocate more than PTRDIFF_MAX bytes is considered an error". */
    size_t sizes[] = { SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2 + 1, PTRDIFF_MAX, PTRDIFF_MAX - 100, (size_t)1 << 47 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t alignment = 8; alignment <= 128 * MIB; alignment *= 2) {
            refuses(ENOMEM, alignment, sizes[i]);
            FAILS(ENOMEM, memalign(opaque(alignment), opaque(sizes[i])));
            FAILS(ENOMEM, aligned_alloc(opaque(alignment), opaque(sizes[i])));
        }
        FAILS(ENOMEM, valloc(opaque(sizes[i])));
        FAILS(ENOMEM, pvalloc(opaque(sizes[i])));
    }
    /* Powers of two that leave no room for any object. */
    for (int bit = 47; bit < 63; bit++) {
        refuses(ENOMEM, (size_t)1 << bit, 1);
        FAILS(ENOMEM, memalign(opaque((size_t)1 << bit), 1));
        FAILS(ENOMEM, aligned_alloc(opaque((size_t)1 << bit), 1));
    }
    return 0;
}
