/* What the C and C++ tests share. A check that fails says where and ends the program with status 1. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
/* An errno that no function sets. */
#define ODD 4077

#define CHECK(condition) \
    ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

/* A check in a loop, with the numbers that tell the round. */
#define CHECK_FOR(a, b, condition)                                                            \
    ((condition) ? (void)0                                                                    \
                 : (fprintf(stderr, "for %zu, %zu: ", (size_t)(a), (size_t)(b)),              \
                    check_failed(__FILE__, __LINE__, #condition)))

/* The statement leaves errno as it was. */
#define KEEPS_ERRNO(statement)                                                                \
    do {                                                                                      \
        errno = ODD;                                                                          \
        statement;                                                                            \
        CHECK(errno == ODD);                                                                  \
    } while (0)

/* The call returns a null pointer and this errno. */
#define FAILS(error, call)                                                                    \
    do {                                                                                      \
        errno = ODD;                                                                          \
        CHECK((call) == NULL);                                                                \
        CHECK(errno == (error));                                                              \
    } while (0)

__attribute__((unused)) static void check_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    exit(1);
}

/* A number that the compiler knows nothing about. */
__attribute__((unused)) static size_t opaque(size_t n)
{
    volatile size_t v = n;
    return v;
}

/* As above, a pointer. */
__attribute__((unused)) static void *opaque_pointer(void *p)
{
    void *volatile v = p;
    return v;
}

__attribute__((unused)) static int is_aligned(const void *p, size_t alignment)
{
    return ((uintptr_t)p & (alignment - 1)) == 0;
}

/* malloc(3): "suitably aligned for any type that fits into the requested size or less": 16 bytes from 16 bytes up. */
__attribute__((unused)) static int is_aligned_for(const void *p, size_t size)
{
    size_t alignment = 16;
    while (alignment > size)
        alignment /= 2;
    return is_aligned(p, alignment);
}

/* Eight bytes anywhere. */
typedef uint64_t __attribute__((may_alias, aligned(1))) word;

/* What a program with this seed writes at offset i of its block. */
__attribute__((unused)) static unsigned char pattern(size_t seed, size_t i)
{
    return (unsigned char)((seed + i / 8) * 0x9e3779b97f4a7c15u >> (8 * (i % 8)));
}

__attribute__((unused)) static void fill(void *block, size_t from, size_t to, size_t seed)
{
    unsigned char *p = (unsigned char *)block;
    for (; from < to && from % 8 != 0; from++)
        p[from] = pattern(seed, from);
    for (; from + 8 <= to; from += 8)
        *(word *)(p + from) = (seed + from / 8) * 0x9e3779b97f4a7c15u;
    for (; from < to; from++)
        p[from] = pattern(seed, from);
}

/* Whether the block's first bytes are what `fill` wrote. */
__attribute__((unused)) static int is_filled(const void *block, size_t size, size_t seed)
{
    const unsigned char *p = (const unsigned char *)block;
    size_t i = 0;
    for (; i + 8 <= size; i += 8)
        if (*(const word *)(p + i) != (seed + i / 8) * 0x9e3779b97f4a7c15u)
            return 0;
    for (; i < size; i++)
        if (p[i] != pattern(seed, i))
            return 0;
    return 1;
}

__attribute__((unused)) static int is_zero(const void *block, size_t size)
{
    const char *p = (const char *)block;
    return size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0);
}

/* The next size of a sweep: each one at first, then in steps that grow with it. */
__attribute__((unused)) static size_t next_size(size_t size)
{
    return size < 1100 ? size + 1 : size + size / 13 + 1;
}

#endif
