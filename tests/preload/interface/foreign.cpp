// Another allocator's library, in part: the C functions and the nothrow forms of operator new, over blocks that no other heap knows.
#include <cstdlib>
#include <cstring>
#include <new>

extern "C" int foreign_calls;
int foreign_calls;

static char pool[64 << 20] __attribute__((aligned(16)));
static size_t used;

static void *take(size_t size, size_t align)
{
    size_t at = (used + align - 1) / align * align;
    if (size > sizeof pool - at)
        return nullptr;
    foreign_calls++;
    used = at + size;
    return pool + at;
}

extern "C" void *malloc(size_t size) { return take(size, 16); }
extern "C" void free(void *) {}
// The pool's blocks are zero, and each is used once.
extern "C" void *calloc(size_t count, size_t size) { return take(count * size, 16); }
extern "C" void *aligned_alloc(size_t align, size_t size) { return take(size, align); }

extern "C" void *realloc(void *p, size_t size)
{
    char *q = static_cast<char *>(take(size, 16));
    for (size_t i = 0; p && i < size && static_cast<char *>(p) + i < q; i++)
        q[i] = static_cast<char *>(p)[i];
    return q;
}

void *operator new(size_t size, const std::nothrow_t &) noexcept { return take(size, 16); }
void *operator new[](size_t size, const std::nothrow_t &) noexcept { return take(size, 16); }
void *operator new(size_t size, std::align_val_t a, const std::nothrow_t &) noexcept { return take(size, size_t(a)); }
void *operator new[](size_t size, std::align_val_t a, const std::nothrow_t &) noexcept { return take(size, size_t(a)); }
