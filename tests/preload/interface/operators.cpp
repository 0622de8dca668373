// Every form of operator new and operator delete that C++17 replaces or may replace ([new.delete]).
#include "check.h"

#include <malloc.h>

#include <memory>
#include <new>
#include <string>
#include <vector>

namespace {

using std::align_val_t;
using std::nothrow;

const size_t NONE = 1;

// One form of new and those forms of delete that take what it returns.
struct Form {
    const char *name;
    void *(*make)(size_t size, size_t alignment);
    void (*drop[4])(void *p, size_t size, size_t alignment);
};

// [new.delete.single] and [new.delete.array]; sized forms get the size that was asked for ("std::size_t size argument ... shall
// equal the size argument passed to the allocation function that returned ptr").
const Form FORMS[] = {
    { "new(size)", [](size_t n, size_t) { return ::operator new(n); },
      { [](void *p, size_t, size_t) { ::operator delete(p); }, [](void *p, size_t n, size_t) { ::operator delete(p, n); },
        [](void *p, size_t, size_t) { ::operator delete(p, nothrow); }, nullptr } },
    { "new(size, nothrow)", [](size_t n, size_t) { return ::operator new(n, nothrow); },
      { [](void *p, size_t, size_t) { ::operator delete(p); }, [](void *p, size_t n, size_t) { ::operator delete(p, n); },
        [](void *p, size_t, size_t) { ::operator delete(p, nothrow); }, nullptr } },
    { "new[](size)", [](size_t n, size_t) { return ::operator new[](n); },
      { [](void *p, size_t, size_t) { ::operator delete[](p); }, [](void *p, size_t n, size_t) { ::operator delete[](p, n); },
        [](void *p, size_t, size_t) { ::operator delete[](p, nothrow); }, nullptr } },
    { "new[](size, nothrow)", [](size_t n, size_t) { return ::operator new[](n, nothrow); },
      { [](void *p, size_t, size_t) { ::operator delete[](p); }, [](void *p, size_t n, size_t) { ::operator delete[](p, n); },
        [](void *p, size_t, size_t) { ::operator delete[](p, nothrow); }, nullptr } },
};

const Form ALIGNED[] = {
    { "new(size, align)", [](size_t n, size_t a) { return ::operator new(n, align_val_t(a)); },
      { [](void *p, size_t, size_t a) { ::operator delete(p, align_val_t(a)); },
        [](void *p, size_t n, size_t a) { ::operator delete(p, n, align_val_t(a)); },
        [](void *p, size_t, size_t a) { ::operator delete(p, align_val_t(a), nothrow); }, nullptr } },
    { "new(size, align, nothrow)", [](size_t n, size_t a) { return ::operator new(n, align_val_t(a), nothrow); },
      { [](void *p, size_t, size_t a) { ::operator delete(p, align_val_t(a)); },
        [](void *p, size_t n, size_t a) { ::operator delete(p, n, align_val_t(a)); },
        [](void *p, size_t, size_t a) { ::operator delete(p, align_val_t(a), nothrow); }, nullptr } },
    { "new[](size, align)", [](size_t n, size_t a) { return ::operator new[](n, align_val_t(a)); },
      { [](void *p, size_t, size_t a) { ::operator delete[](p, align_val_t(a)); },
        [](void *p, size_t n, size_t a) { ::operator delete[](p, n, align_val_t(a)); },
        [](void *p, size_t, size_t a) { ::operator delete[](p, align_val_t(a), nothrow); }, nullptr } },
    { "new[](size, align, nothrow)", [](size_t n, size_t a) { return ::operator new[](n, align_val_t(a), nothrow); },
      { [](void *p, size_t, size_t a) { ::operator delete[](p, align_val_t(a)); },
        [](void *p, size_t n, size_t a) { ::operator delete[](p, n, align_val_t(a)); },
        [](void *p, size_t, size_t a) { ::operator delete[](p, align_val_t(a), nothrow); }, nullptr } },
};

size_t in_use()
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

// [basic.stc.dynamic.allocation]: "a block of storage whose length in bytes is at least as large as the requested size";
// "the storage is aligned for any object that does not have new-extended alignment"; for size 0 "a non-null pointer value ...
// different from any previously returned value" that was not deleted since.
void hold(const Form &form, size_t size, size_t alignment)
{
    for (auto drop : form.drop) {
        if (drop == nullptr)
            continue;
        void *blocks[3];
        // To write all of a huge one takes a while.
        size_t count = size < 64 * MIB ? 3 : 1;
        for (size_t i = 0; i < count; i++) {
            KEEPS_ERRNO(blocks[i] = form.make(size, alignment));
            if (blocks[i] == nullptr || !is_aligned(blocks[i], alignment == NONE ? 16 : alignment)) {
                fprintf(stderr, "%s: ", form.name);
                CHECK_FOR(size, alignment, false);
            }
            CHECK(i == 0 || blocks[i] != blocks[i - 1]);
            fill(blocks[i], 0, size, i);
        }
        for (size_t i = 0; i < count; i++) {
            CHECK_FOR(size, alignment, is_filled(blocks[i], size, i));
            KEEPS_ERRNO(drop(blocks[i], size, alignment));
        }
        // "If ptr is null, does nothing."
        KEEPS_ERRNO(drop(nullptr, size, alignment));
    }
}

// Over-aligned types get the aligned forms from the compiler ([expr.new]); arrays of types with a destructor have a cookie in
// front of them.
struct alignas(256) Wide {
    char bytes[300];
    static int alive;
    Wide() { alive++; CHECK(is_aligned(this, 256)); }
    ~Wide() { alive--; }
};
int Wide::alive;

struct Plain {
    std::string text = "a string that is too long to be kept in place";
    virtual ~Plain() = default;
};

void expressions()
{
    for (size_t n : { 1, 2, 7, 100 }) {
        auto *wide = new Wide[opaque(n)];
        auto *one = new Wide;
        CHECK(Wide::alive == (int)n + 1);
        delete[] wide;
        delete one;
        CHECK(Wide::alive == 0);
        auto *plain = new (nothrow) Plain[opaque(n)];
        CHECK(plain != nullptr);
        delete[] plain;
        auto shared = std::make_shared<Plain>();
        std::vector<Plain> many(n);
        many.resize(n * 10);
    }
    // libstdc++'s own scratch memory.
    CHECK(std::string(100000, 'x').size() == 100000);
}

} // namespace

int main()
{
    expressions();
    size_t before = in_use();
    for (size_t size = 0; size <= 50 * KIB; size += size / 2 + 1) {
        for (auto &form : FORMS)
            hold(form, size, NONE);
        for (auto &form : ALIGNED)
            for (size_t alignment = 1; alignment <= 64 * KIB; alignment *= 4)
                hold(form, size, alignment);
    }
    for (auto &form : FORMS)
        hold(form, 70 * MIB, NONE);
    for (auto &form : ALIGNED)
        hold(form, 70 * MIB, 32 * MIB);
    // All of it was freed.
    CHECK_FOR(before, in_use(), in_use() <= before + 512 * KIB);
    expressions();
    return 0;
}
