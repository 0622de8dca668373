/* A program that replaces realloc and nothing else: in glibc reallocarray is made of the process's realloc, so that it may have
   objects from both. POSIX.1-2024 reallocarray: a product that overflows is ENOMEM, and no matter of realloc's. */
#include "check.h"

#include <malloc.h>

/* Volatile: the header has it that reallocarray calls nothing of this file. */
static volatile size_t calls, asked;

/* As debugging allocators do, asks for more than it was asked for. */
void *realloc(void *old, size_t size)
{
    calls++;
    asked = size;
    size_t usable = malloc_usable_size(old);
    void *p = malloc(size + 64);
    if (p != NULL && old != NULL)
        memcpy(p, old, usable < size ? usable : size);
    free(old);
    return p;
}

int main(void)
{
    char *p = reallocarray(NULL, opaque(10), opaque(20));
    CHECK(p != NULL && calls == 1 && asked == 200);
    fill(p, 0, 200, 1);
    p = reallocarray(p, opaque(100), opaque(30));
    CHECK(p != NULL && calls == 2 && asked == 3000);
    CHECK(is_filled(p, 200, 1));
    fill(p, 0, 3000, 2);
    FAILS(ENOMEM, reallocarray(p, opaque(SIZE_MAX / 8), opaque(9)));
    FAILS(ENOMEM, reallocarray(NULL, opaque(SIZE_MAX), opaque(2)));
    CHECK(calls == 2);
    CHECK(is_filled(p, 3000, 2));
    free(p);
    return 0;
}
