// The sized forms of operator delete, with the size that an object was made with, and with another one. Arguments: a form, and what is added
// to the size.
#include "check.h"

#include <new>
#include <string.h>

using std::align_val_t;

namespace {

const align_val_t ALIGN = align_val_t(64);

struct Form {
    const char *name;
    void *(*make)(size_t size);
    void (*drop)(void *p, size_t size);
};

const Form FORMS[] = {
    { "one", [](size_t n) { return ::operator new(n); }, [](void *p, size_t n) { ::operator delete(p, n); } },
    { "array", [](size_t n) { return ::operator new[](n); }, [](void *p, size_t n) { ::operator delete[](p, n); } },
    { "aligned", [](size_t n) { return ::operator new(n, ALIGN); }, [](void *p, size_t n) { ::operator delete(p, n, ALIGN); } },
    { "array_aligned", [](size_t n) { return ::operator new[](n, ALIGN); }, [](void *p, size_t n) { ::operator delete[](p, n, ALIGN); } },
};

struct Base {
    long a;
#ifdef VIRTUAL
    virtual
#endif
        ~Base() {}
};
struct Derived : Base {
    long b[6];
};

} // namespace

#ifdef OWN
// An operator of the program's own, which takes some bytes more.
void *operator new(size_t n)
{
    void *p = malloc(n + 64);
    CHECK(p != nullptr);
    return p;
}
void operator delete(void *p) noexcept
{
    free(p);
}
#endif

int main(int argc, char **argv)
{
    for (auto &form : FORMS)
        for (size_t size = 0; size < 400000; size += size < 300 ? 1 : size)
            form.drop(form.make(size), size);
    for (auto &form : FORMS)
        form.drop(nullptr, 100);
    if (argc == 2)
        // Of a static type that is not the dynamic one, which needs a virtual destructor.
        delete (Base *)opaque_pointer(new Derived);
    if (argc < 3)
        return 0;
    for (auto &form : FORMS)
        if (strcmp(form.name, argv[1]) == 0)
            form.drop(form.make(4096), 4096 + atol(argv[2]));
    return 0;
}
