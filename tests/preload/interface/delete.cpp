// Pointers that a program may not delete ([new.delete.single], [new.delete.array]: the pointer "shall be a null pointer or a pointer
// value that represents the address of a block of memory allocated by an earlier call" that "has not been invalidated"). As misuse.c: the
// arguments are an operator's name and a pointer's; the program tells the address, then passes it.
#include "check.h"

#include <malloc.h>
#include <new>
#include <unistd.h>

namespace {

using std::align_val_t;
using std::nothrow;

const size_t SMALL = 48;
const size_t LARGE = 100000;
// With it, too, an object of 48 bytes is of the class of 48.
const align_val_t ALIGN = align_val_t(16);

alignas(64) char in_data[64] = "data";

// An operator delete, and a new that it belongs to.
struct Operator {
    const char *name;
    void *(*make)(size_t size);
    void (*drop)(void *p, size_t size);
};

void *one(size_t n) { return ::operator new(n); }
void *array(size_t n) { return ::operator new[](n); }
void *aligned(size_t n) { return ::operator new(n, ALIGN); }
void *array_aligned(size_t n) { return ::operator new[](n, ALIGN); }

const Operator OPERATORS[] = {
    { "delete", one, [](void *p, size_t) { ::operator delete(p); } },
    { "delete_sized", one, [](void *p, size_t n) { ::operator delete(p, n); } },
    { "delete_nothrow", one, [](void *p, size_t) { ::operator delete(p, nothrow); } },
    { "delete_array", array, [](void *p, size_t) { ::operator delete[](p); } },
    { "delete_array_sized", array, [](void *p, size_t n) { ::operator delete[](p, n); } },
    { "delete_array_nothrow", array, [](void *p, size_t) { ::operator delete[](p, nothrow); } },
    { "delete_aligned", aligned, [](void *p, size_t) { ::operator delete(p, ALIGN); } },
    { "delete_aligned_sized", aligned, [](void *p, size_t n) { ::operator delete(p, n, ALIGN); } },
    { "delete_aligned_nothrow", aligned, [](void *p, size_t) { ::operator delete(p, ALIGN, nothrow); } },
    { "delete_array_aligned", array_aligned, [](void *p, size_t) { ::operator delete[](p, ALIGN); } },
    { "delete_array_aligned_sized", array_aligned, [](void *p, size_t n) { ::operator delete[](p, n, ALIGN); } },
    { "delete_array_aligned_nothrow", array_aligned, [](void *p, size_t) { ::operator delete[](p, ALIGN, nothrow); } },
};

void *freed(const Operator &o, size_t size)
{
    void *p = o.make(size);
    o.drop(p, size);
    return opaque_pointer(p);
}

// Freed, and another one after it.
void *freed_before_another(const Operator &o, size_t size)
{
    void *p = o.make(size), *q = o.make(size);
    o.drop(p, size);
    o.drop(q, size);
    return opaque_pointer(p);
}

void *on_stack()
{
    static void *p;
    alignas(64) char local[64];
    p = opaque_pointer(local);
    return p;
}

const struct {
    const char *name;
    size_t size;
    void *(*pointer)(const Operator &o, size_t size);
} POINTERS[] = {
    { "alive", SMALL, [](const Operator &o, size_t n) { return o.make(n); } },
    { "stack", SMALL, [](const Operator &, size_t) { return on_stack(); } },
    { "data", SMALL, [](const Operator &, size_t) -> void * { return in_data; } },
    { "small_16", SMALL, [](const Operator &o, size_t n) -> void * { return static_cast<char *>(o.make(n)) + 16; } },
    { "large_16", LARGE, [](const Operator &o, size_t n) -> void * { return static_cast<char *>(o.make(n)) + 16; } },
    { "small_free", SMALL, freed },
    { "large_free", LARGE, freed },
    { "small_free_below", SMALL, freed_before_another },
    { "large_free_below", LARGE, freed_before_another },
};

} // namespace

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    for (const Operator &o : OPERATORS)
        for (const auto &p : POINTERS) {
            if (strcmp(argv[1], o.name) != 0 || strcmp(argv[2], p.name) != 0)
                continue;
            void *pointer = opaque_pointer(p.pointer(o, p.size));
            char line[64];
            int length = snprintf(line, sizeof line, "address: %p\n", pointer);
            CHECK(write(STDOUT_FILENO, line, size_t(length)) == length);
            o.drop(pointer, p.size);
            printf("not at once\n");
            fflush(stdout);
            // What a thread's cache took in is looked at when it goes on to where it came from.
            malloc_trim(0);
            fprintf(stderr, "it was not noticed\n");
            _exit(3);
        }
    CHECK(!"there is such a program");
}
