// [new.delete.single] for a program that uses next to nothing of the C++ library, so that little of it is linked in: operator
// new throws all the same, and its nothrow form returns null when the new-handler throws.
#include "check.h"

#include <cstddef>
#include <new>

int main()
{
    bool thrown = false;
    try {
        opaque_pointer(::operator new(opaque(PTRDIFF_MAX)));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    CHECK(thrown);
    std::set_new_handler([] { throw std::bad_alloc(); });
    CHECK(::operator new(opaque(PTRDIFF_MAX), std::nothrow) == nullptr);
    return 0;
}
