/* More handlers for the end of the process than the C library has places for, before anything else was done: it allocates for them. */
#include <stdio.h>
#include <stdlib.h>

static int ran;

static void handler(void) {
    if (++ran == 100)
        puts("all");
}

__attribute__((constructor(101))) static void before_all(void) {
    for (int i = 0; i < 100; i++)
        if (atexit(handler) != 0)
            abort();
}

int main(void) {
    free(malloc(100));
    return 0;
}
