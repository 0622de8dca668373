// The nothrow forms of operator new, in a process that has `foreign.cpp` as well. The argument says whose they are to be.
#include "check.h"

#include <algorithm>
#include <dlfcn.h>
#include <new>
#include <vector>

template <typename... Arg> static void round_trip(Arg... arg)
{
    for (size_t size = 1; size < 200000; size = next_size(size)) {
        void *p = ::operator new(size, arg..., std::nothrow), *q = ::operator new[](size, arg..., std::nothrow);
        CHECK(p && q);
        fill(p, 0, size, size);
        fill(q, 0, size, size + 1);
        CHECK(is_filled(p, size, size) && is_filled(q, size, size + 1));
        ::operator delete(p, arg...);
        ::operator delete[](q, arg...);
        if (size > 3000)
            size *= 2;
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    const int *calls = static_cast<int *>(dlsym(RTLD_DEFAULT, "foreign_calls"));
    CHECK(calls);
    int before = *calls;
    round_trip();
    round_trip(std::align_val_t(64));
    // Its buffer is made by a nothrow new and dropped by an ordinary delete.
    std::vector<int> v(10000);
    for (int i = 0; i < 10000; i++)
        v[i] = i * 7919 % 10007;
    std::stable_sort(v.begin(), v.end());
    CHECK(std::is_sorted(v.begin(), v.end()));
    CHECK((*calls > before) == (strcmp(argv[1], "foreign") == 0));
    return 0;
}
