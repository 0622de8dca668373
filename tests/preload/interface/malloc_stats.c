/* malloc_stats(3): "prints (on standard error) statistics about memory allocated by malloc(3) and related functions". The test
   reads them. */
#include "check.h"

#include <malloc.h>

int main(void)
{
    void *p = malloc(100000);
    CHECK(p != NULL);
    malloc_stats();
    free(p);
    return 0;
}
