/* Prints what malloc_info(3) says, in a busy process, for the test to read. */
#include "check.h"

#include <malloc.h>

int main(void)
{
    static void *blocks[2000];
    for (size_t i = 0; i < 2000; i++)
        CHECK((blocks[i] = malloc(i * i / 2 + 1)) != NULL);
    for (size_t i = 0; i < 2000; i += 2)
        free(blocks[i]);
    /* malloc_info(3): "open_memstream(3) can be used to send the output of malloc_info() directly into a buffer in memory". The
       stream allocates in the middle of it. */
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(stream != NULL);
    /* malloc_info(3): "On success, malloc_info() returns 0." */
    CHECK(malloc_info(0, stream) == 0);
    CHECK(fclose(stream) == 0);
    CHECK(text != NULL && length == strlen(text) && length > 100);
    free(text);
    /* malloc_info(3): "EINVAL  options was nonzero"; the manual says that it returns -1 and sets errno, glibc returns EINVAL.
       Nothing is printed. */
    for (int options = -1; options <= 2; options += options == -1 ? 2 : 1) {
        errno = ODD;
        int result = malloc_info(options, stdout);
        CHECK(result == EINVAL || (result == -1 && errno == EINVAL));
    }
    CHECK(ftell(stdout) <= 0);
    CHECK(malloc_info(0, stdout) == 0);
    for (size_t i = 1; i < 2000; i += 2)
        free(blocks[i]);
    return 0;
}
