/* Loads and unloads libraries while the program goes on: plugins that allocate, and the allocator itself. */
#include "life.h"

#include <dlfcn.h>

/* The path of a library. */
static const char *variable(const char *name) {
    const char *value = getenv(name);
    CHECK(value != NULL);
    return value;
}

/* A call of the plugin. */
struct use {
    void *(*function)(uint32_t);
    uint32_t tag;
};

static void *use_body(void *arg) {
    struct use *use = arg;
    return use->function(use->tag);
}

/* The object that a thread of its own gets from the plugin. A thread that used it keeps it loaded until it ends. */
static struct object *use_in_thread(void *plugin, uint32_t tag) {
    struct use use = {.tag = tag};
    *(void **)&use.function = dlsym(plugin, "plugin_use");
    CHECK(use.function != NULL);
    void *made;
    CHECK(pthread_join(start(use_body, &use), &made) == 0);
    return made;
}

/* A plugin, 200 times, each time with a thread of its own; the last time in this one. */
static void mode_plugin(void) {
    long before = 0;
    for (uint32_t i = 0; i < 200; i++) {
        void *plugin = dlopen(variable("PLUGIN"), RTLD_NOW | (i % 2 ? RTLD_GLOBAL : RTLD_LOCAL));
        if (!plugin)
            say(2, "%s", dlerror());
        CHECK(plugin != NULL);
        struct object *made = use_in_thread(plugin, i);
        if (i == 199) {
            drop(made);
            free(made);
            struct use here = {.tag = i};
            *(void **)&here.function = dlsym(plugin, "plugin_use");
            made = use_body(&here);
        }
        CHECK(dlclose(plugin) == 0);
        CHECK((dlopen(variable("PLUGIN"), RTLD_NOW | RTLD_NOLOAD) == NULL) == (i < 199));
        /* What it made outlives it. */
        drop(made);
        free(made);
        if (i == 20)
            before = resident_kib();
    }
    CHECK(resident_kib() - before < 8 * 1024);
}

/* Several threads at once. */
static void *loading_body(void *arg) {
    for (uint32_t i = 0; i < 50; i++) {
        void *library = dlopen(variable("PLUGIN"), RTLD_NOW);
        CHECK(library != NULL);
        struct object *o = use_in_thread(library, (uintptr_t)arg * 100 + i);
        CHECK(dlclose(library) == 0);
        drop(o);
        free(o);
        CHECK(dlsym(RTLD_DEFAULT, "plugin_use") == NULL && dlerror() != NULL);
    }
    return NULL;
}

static void mode_plugin_threads(void) {
    pthread_t id[4];
    for (int i = 0; i < 4; i++)
        id[i] = start(loading_body, (void *)(uintptr_t)i);
    for (int i = 0; i < 4; i++)
        join(id[i]);
}

/* The allocator, loaded by a program that has another one. */
static void *(*other_malloc)(size_t);
static void *(*other_calloc)(size_t, size_t);
static void *(*other_realloc)(void *, size_t);
static void (*other_free)(void *);
static atomic_int loaded, unloaded;

static void use_other(uint32_t seed) {
    struct object o[60];
    for (uint32_t i = 0; i < LENGTH(o); i++) {
        o[i] = filled(i % 2 ? other_malloc(1 + i * i * 40) : other_calloc(1, 1 + i * i * 40), 1 + i * i * 40, seed + i);
    }
    for (uint32_t i = 0; i < LENGTH(o); i++) {
        verify(&o[i]);
        o[i].p = other_realloc(o[i].p, 1 + i * 20);
        CHECK(o[i].p != NULL);
        verify_first(&o[i], o[i].size < 1 + i * 20 ? o[i].size : 1 + i * 20);
    }
    work(seed, 200);
    for (uint32_t i = 0; i < LENGTH(o); i++)
        other_free(o[i].p);
}

/* A thread that is there before the allocator is: its thread-local storage is made after the fact. It ends when the program has
   closed the library. */
static void *before_body(void *arg) {
    work((uintptr_t)arg, 100);
    while (!atomic_load(&loaded))
        sched_yield();
    for (uint32_t i = 0; i < 20; i++)
        use_other((uintptr_t)arg + i);
    atomic_fetch_add(&loaded, 1);
    while (!atomic_load(&unloaded))
        sched_yield();
    return NULL;
}

static void *after_body(void *arg) {
    use_other((uintptr_t)arg);
    return NULL;
}

static void mode_allocator(void) {
    pthread_t id[4];
    for (int i = 0; i < 4; i++)
        id[i] = start(before_body, (void *)(uintptr_t)i);
    const char *name = variable("ALLOCATOR");
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        say(2, "%s", dlerror());
    CHECK(library != NULL);
    *(void **)&other_malloc = dlsym(library, "malloc");
    *(void **)&other_calloc = dlsym(library, "calloc");
    *(void **)&other_realloc = dlsym(library, "realloc");
    *(void **)&other_free = dlsym(library, "free");
    CHECK(other_malloc && other_calloc && other_realloc && other_free);
    CHECK((void *)other_malloc != (void *)malloc);
    atomic_store(&loaded, 1);
    use_other(1000);
    for (int i = 0; i < 10; i++)
        join(start(after_body, (void *)(uintptr_t)i));
    while (atomic_load(&loaded) < 5)
        sched_yield();
    /* Hooks at the end of a thread, at fork and at exit are still to run. */
    CHECK(dlclose(library) == 0);
    atomic_store(&unloaded, 1);
    for (int i = 0; i < 4; i++)
        join(id[i]);
    pid_t pid = fork();
    if (pid == 0)
        exit(0);
    wait_for(pid);
    /* And again. */
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL);
    *(void **)&other_malloc = dlsym(library, "malloc");
    *(void **)&other_calloc = dlsym(library, "calloc");
    *(void **)&other_realloc = dlsym(library, "realloc");
    *(void **)&other_free = dlsym(library, "free");
    use_other(2000);
    join(start(after_body, NULL));
}

/* The allocator in a namespace of its own, with its own C library, beside the program's. */
static void mode_namespace(void) {
    const char *name = variable("ALLOCATOR");
    void *library = dlmopen(LM_ID_NEWLM, name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        say(2, "%s", dlerror());
    CHECK(library != NULL);
    *(void **)&other_malloc = dlsym(library, "malloc");
    *(void **)&other_calloc = dlsym(library, "calloc");
    *(void **)&other_realloc = dlsym(library, "realloc");
    *(void **)&other_free = dlsym(library, "free");
    CHECK(other_malloc && other_calloc && other_realloc && other_free);
    CHECK((void *)other_malloc != (void *)malloc);
    for (uint32_t i = 0; i < 20; i++)
        use_other(i);
    for (int i = 0; i < 20; i++)
        join(start(after_body, (void *)(uintptr_t)i));
    work(1, 3000);
    CHECK(dlclose(library) == 0);
    work(2, 3000);
}

int main(int argc, char **argv) {
    static const struct mode modes[] = {
        {"plugin", mode_plugin},
        {"plugin_threads", mode_plugin_threads},
        {"allocator", mode_allocator},
        {"namespace", mode_namespace},
    };
    return run_mode(modes, LENGTH(modes), argc, argv);
}
