/* A program in C that loads the library named by its argument (dlopen(3), RTLD_LOCAL: its symbols, and those of what it
   brings, "are not made available to resolve references in subsequently loaded shared objects"). */
#include "check.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    free(malloc(1));
    CHECK(dlsym(RTLD_DEFAULT, "__cxa_throw") == NULL);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    int (*plugin)(void);
    *(void **)&plugin = dlsym(library, "plugin");
    CHECK(plugin != NULL && plugin() == 42);
    CHECK(dlclose(library) == 0);
    free(malloc(1));
    return 0;
}
