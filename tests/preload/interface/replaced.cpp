// [replacement.functions]: a program may have its own operator new and delete. Only the two ordinary ones are replaced here:
// the default forms for arrays, nothrow and sizes are defined as calls to them ([new.delete.single]: sized delete "calls
// operator delete(ptr)"; [new.delete.array]: "calls operator new(size)"; nothrow: "calls operator new(size)"). So whatever form
// makes and frees a block, both go through the program's pool, whose blocks no heap knows.
#include "check.h"

#include <memory>
#include <new>
#include <string>
#include <vector>

static char pool[1 << 20];
static size_t used;
static int made, dropped;

void *operator new(size_t size)
{
    char *p = pool + used;
    used += (size + 15) / 16 * 16;
    if (used > sizeof pool)
        throw std::bad_alloc();
    made++;
    return p;
}

void operator delete(void *p) noexcept
{
    CHECK(p == nullptr || ((char *)p >= pool && (char *)p < pool + sizeof pool));
    dropped += p != nullptr;
}

struct Object {
    long numbers[10];
    virtual ~Object() = default;
};

int main()
{
    int before = made - dropped;
    delete new Object;
    CHECK(made - dropped == before);
    ::operator delete(::operator new(100), (size_t)100);
    CHECK(made - dropped == before);
    delete[] new Object[opaque(5)];
    CHECK(made - dropped == before);
    ::operator delete[](::operator new[](100), (size_t)100);
    CHECK(made - dropped == before);
    ::operator delete(::operator new(100, std::nothrow), std::nothrow);
    ::operator delete[](::operator new[](100, std::nothrow), std::nothrow);
    CHECK(made - dropped == before && made >= 6);
    // [new.delete.single]: nothrow "returns a null pointer" when the program's own operator new throws.
    CHECK(::operator new(opaque(2 * MIB), std::nothrow) == nullptr);
    CHECK(::operator new[](opaque(2 * MIB), std::nothrow) == nullptr);
    used = 0;
    {
        // Code of libstdc++ and of the program, both of which make and free.
        std::string s(1000, 'x');
        std::vector<std::shared_ptr<std::string>> v(20, std::make_shared<std::string>(s + s));
    }
    CHECK(made - dropped == before);
    // The aligned forms are not defined in terms of these; the heap's own blocks do not meet them.
    int here = made;
    ::operator delete(::operator new(100, std::align_val_t(64)), std::align_val_t(64));
    ::operator delete(::operator new(100, std::align_val_t(64)), (size_t)100, std::align_val_t(64));
    CHECK(made == here);
    free(malloc(100));
    return 0;
}
