/* Allocation before main and after it: by the loader's resolvers, in every kind of constructor, at exit in every kind of
   destructor. What one stage makes a later one resizes and frees. */
#include "life.h"

#include <dlfcn.h>

/* Compiled with RESOLVER, the first stage is an IFUNC resolver; with PREINIT, the second is what runs before all constructors. */
enum stage { BEFORE_RELOCATION, BEFORE_CONSTRUCTORS, FIRST_CONSTRUCTOR, CONSTRUCTOR, MAIN, EXIT_HOOK, STAGES };

#define PER_STAGE 40
static struct object made[STAGES][PER_STAGE];

static void make_all(enum stage stage) {
    for (uint32_t i = 0; i < PER_STAGE; i++)
        made[stage][i] = make(1 + i * i * 35, stage * 100 + i);
}

static void resize_all(enum stage stage) {
    for (uint32_t i = 0; i < PER_STAGE; i++)
        resize(&made[stage][i], 1 + i * i * 20 + 300 * (i % 5));
}

static void verify_all(enum stage stage) {
    for (uint32_t i = 0; i < PER_STAGE; i++)
        verify(&made[stage][i]);
}

static void drop_all(enum stage stage) {
    for (uint32_t i = 0; i < PER_STAGE; i++)
        drop(&made[stage][i]);
}

static int answer(void) {
    return 42;
}

#ifdef RESOLVER
static int (*resolve_answer(void))(void) {
    make_all(BEFORE_RELOCATION);
    return answer;
}

int resolved_answer(void) __attribute__((ifunc("resolve_answer")));
#else
#define resolved_answer answer
#endif

#ifdef PREINIT
static void preinit(int argc, char **argv, char **env) {
    CHECK(argc > 0 && argv[0] && env);
    make_all(BEFORE_CONSTRUCTORS);
}

__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(int, char **, char **) = preinit;
#endif

static void at_exit(void) {
    resize_all(EXIT_HOOK);
    verify_all(MAIN);
    make_all(CONSTRUCTOR);
}

__attribute__((constructor(101))) static void first_constructor(void) {
    make_all(FIRST_CONSTRUCTOR);
#ifndef RESOLVER
    make_all(BEFORE_RELOCATION);
#endif
    verify_all(BEFORE_RELOCATION);
    CHECK(atexit(at_exit) == 0);
}

__attribute__((constructor)) static void constructor(void) {
#ifndef PREINIT
    make_all(BEFORE_CONSTRUCTORS);
#endif
    make_all(CONSTRUCTOR);
    resize_all(BEFORE_RELOCATION);
    work(3, 1000);
}

__attribute__((destructor)) static void destructor(void) {
    drop_all(BEFORE_CONSTRUCTORS);
    work(4, 1000);
}

__attribute__((destructor(101))) static void last_destructor(void) {
    drop_all(EXIT_HOOK);
    drop_all(MAIN);
    drop_all(CONSTRUCTOR);
    work(5, 1000);
    say(1, "ok");
}

int main(void) {
    CHECK(resolved_answer() == 42);
    make_all(MAIN);
    make_all(EXIT_HOOK);
    verify_all(FIRST_CONSTRUCTOR);
    verify_all(BEFORE_CONSTRUCTORS);
    drop_all(CONSTRUCTOR);
    drop_all(BEFORE_RELOCATION);
    drop_all(FIRST_CONSTRUCTOR);
#ifndef ALONE
    /* The loader allocates for each of these: names, errors, search lists. */
    for (int i = 0; i < 20; i++) {
        CHECK(dlsym(RTLD_DEFAULT, "no such symbol") == NULL);
        CHECK(dlerror() != NULL);
        CHECK(dlopen("/no/such/library.so", RTLD_NOW) == NULL);
        CHECK(strstr(dlerror(), "library.so") != NULL);
        void *libm = dlopen("libm.so.6", RTLD_NOW);
        if (libm) {
            CHECK(dlsym(libm, "cos") != NULL);
            CHECK(dlclose(libm) == 0);
        } else {
            CHECK(dlerror() != NULL);
        }
    }
#endif
    return 0;
}
