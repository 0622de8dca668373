/* malloc_info(3): "On failure, it returns -1, and errno is set to indicate the error." glibc returns 0 whatever becomes of the
   stream. */
#include "check.h"

#include <malloc.h>

int main(void)
{
    FILE *full = fopen("/dev/full", "w");
    CHECK(full != NULL);
    /* Each write fails at once, not when the stream is closed. */
    CHECK(setvbuf(full, NULL, _IONBF, 0) == 0);
    errno = ODD;
    CHECK(malloc_info(0, full) == -1);
    CHECK(errno == ENOSPC);
    CHECK(ferror(full));
    fclose(full);
    /* A stream that is for reading. */
    FILE *read_only = fopen("/dev/null", "r");
    CHECK(read_only != NULL);
    errno = ODD;
    CHECK(malloc_info(0, read_only) == -1);
    CHECK(errno == EBADF);
    CHECK(fclose(read_only) == 0);
    return 0;
}
