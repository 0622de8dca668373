/* A library that comes and goes: allocates when it is loaded, in threads that use it, and when it is unloaded. */
#include "life.h"

extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
extern void *__dso_handle;

static struct object of_constructor[30];
/* So large that the loader allocates it per thread, at the first use: inside whatever asks for it. */
static __thread unsigned char local[40000];
static __thread struct object of_thread;

__attribute__((constructor)) static void load(void) {
    for (uint32_t i = 0; i < LENGTH(of_constructor); i++)
        of_constructor[i] = make(1 + i * i * 40, i);
}

__attribute__((destructor)) static void unload(void) {
    for (uint32_t i = 0; i < LENGTH(of_constructor); i++)
        drop(&of_constructor[i]);
    work(1, 200);
}

static void of_thread_goes(void *arg) {
    CHECK(arg == &of_thread);
    work(2, 200);
    drop(&of_thread);
}

/* What a C++ thread_local with a destructor does at its first use. The object that it returns is the caller's. */
void *plugin_use(uint32_t tag) {
    CHECK(local[tag % sizeof local] == 0);
    memset(local, 0, sizeof local);
    if (!of_thread.p) {
        of_thread = make(9000, tag);
        CHECK(__cxa_thread_atexit_impl(of_thread_goes, &of_thread, &__dso_handle) == 0);
    }
    work(tag, 200);
    verify(&of_thread);
    struct object *result = malloc(sizeof *result);
    CHECK(result != NULL);
    *result = make(1000 + tag % 5000, tag);
    return result;
}
