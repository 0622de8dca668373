/* malloc_stats(3): "prints (on standard error) statistics about memory allocated by malloc(3) and related functions". The test
   compares them with what mallinfo2 has in use, which goes to standard output. */
#include "check.h"

#include <malloc.h>
#include <unistd.h>

int main(void)
{
    void *p = malloc(100000);
    CHECK(p != NULL);
    /* Without a stream, which would allocate. */
    char line[32];
    struct mallinfo2 info = mallinfo2();
    size_t length = snprintf(line, sizeof line, "%zu", info.uordblks + info.hblkhd);
    CHECK(write(1, line, length) == (ssize_t)length);
    malloc_stats();
    free(p);
    return 0;
}
