/* An audit library, which the loader loads before the program and all else, into a namespace of its own, and calls at every turn.
   It allocates each time. */
#include "life.h"

#include <link.h>

static struct object kept[256];
static atomic_uint turn;

/* Replaces one of the kept objects. */
static void take_turn(void) {
    uint32_t i = atomic_fetch_add(&turn, 1);
    struct object *o = &kept[i % LENGTH(kept)];
    if (o->p)
        drop(o);
    *o = make(1 + i * 37 % 3000, i);
    if (i % 3 == 0)
        resize(o, 1 + i * 91 % 9000);
}

unsigned la_version(unsigned version) {
    for (int i = 0; i < 100; i++)
        take_turn();
    return version;
}

unsigned la_objopen(struct link_map *map, Lmid_t lmid, uintptr_t *cookie) {
    take_turn();
    (void)map, (void)lmid, (void)cookie;
    return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}

char *la_objsearch(const char *name, uintptr_t *cookie, unsigned flag) {
    take_turn();
    (void)cookie, (void)flag;
    return (char *)name;
}

void la_activity(uintptr_t *cookie, unsigned flag) {
    take_turn();
    (void)cookie, (void)flag;
}

void la_preinit(uintptr_t *cookie) {
    take_turn();
    (void)cookie;
}

uintptr_t la_symbind64(Elf64_Sym *symbol, unsigned index, uintptr_t *from, uintptr_t *to, unsigned *flags,
                       const char *name) {
    (void)index, (void)from, (void)to, (void)flags, (void)name;
    /* Threads bind symbols at the same time. */
    void *p = malloc(100);
    CHECK(p != NULL);
    free(p);
    return symbol->st_value;
}

unsigned la_objclose(uintptr_t *cookie) {
    take_turn();
    (void)cookie;
    return 0;
}
