#include "check.h"

#include <malloc.h>

#define COUNT 20000
#define SLACK (256 * KIB)

/* mallinfo(3): "hblkhd  The number of bytes in blocks currently allocated using mmap(2)", "uordblks  The total number of bytes
   used by in-use allocations". The text leaves open whether the one is a part of the other. */
static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* The numbers follow blocks that come and go. */
static void follows(size_t size, size_t count)
{
    static void *blocks[COUNT];
    size_t before = in_use(), sum = size * count;
    for (size_t i = 0; i < count; i++)
        CHECK((blocks[i] = malloc(size)) != NULL);
    size_t during = in_use();
    CHECK_FOR(size, during - before, during >= before + sum);
    CHECK_FOR(size, during - before, during <= before + 2 * sum + SLACK);
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    CHECK_FOR(size, in_use() - before, in_use() <= before + SLACK);
}

int main(void)
{
    free(malloc(1));
    follows(100, COUNT);
    follows(3000, 1000);
    follows(100000, 100);
    follows(10 * MIB, 5);
    follows(100 * MIB, 3);

    void *p = malloc(200 * MIB);
    struct mallinfo2 info = mallinfo2();
    /* mallinfo(3): "hblks  The number of blocks currently allocated using mmap(2)". A block of this size is. */
    CHECK(info.hblks == 1 && info.hblkhd >= 200 * MIB);
    /* mallinfo(3): "usmblks  This field is unused, and is always 0." */
    CHECK(info.usmblks == 0);
    /* mallinfo(3): "The mallinfo structure returned by the deprecated mallinfo() function is exactly the same, except that the
       fields are typed as int"; "the reported values may wrap around zero". */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    struct mallinfo old = mallinfo();
    CHECK(old.arena == (int)info.arena && old.ordblks == (int)info.ordblks && old.smblks == (int)info.smblks);
    CHECK(old.hblks == (int)info.hblks && old.hblkhd == (int)info.hblkhd && old.usmblks == (int)info.usmblks);
    CHECK(old.fsmblks == (int)info.fsmblks && old.uordblks == (int)info.uordblks);
    CHECK(old.fordblks == (int)info.fordblks && old.keepcost == (int)info.keepcost);
    free(p);
    CHECK(mallinfo2().hblks == 0);

    /* mallinfo(3): "fordblks  The total number of bytes in free blocks", "arena  ... includes both in-use blocks and blocks on
       the free list". */
    static void *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        CHECK((blocks[i] = malloc(1000)) != NULL);
    for (size_t i = 0; i < COUNT; i += 2)
        free(blocks[i]);
    info = mallinfo2();
    CHECK(info.fordblks >= COUNT / 2 * 1000 - SLACK);
    CHECK(info.arena >= COUNT * 1000);
    for (size_t i = 1; i < COUNT; i += 2)
        free(blocks[i]);
    return 0;
}
