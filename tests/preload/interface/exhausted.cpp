// To be run under a limit of 512 MiB of addresses (RLIMIT_AS): operator new when memory is really used up.
#include "bad_alloc.h"

#include <string>
#include <vector>

static void *reserve[100];

// [new.handler]: a new_handler may "make more storage available for allocation and then return".
static void release_one()
{
    for (void *&p : reserve)
        if (p != nullptr) {
            ::operator delete(p);
            p = nullptr;
            calls++;
            return;
        }
    throw std::bad_alloc();
}

int main()
{
    for (void *&p : reserve)
        p = ::operator new(2 * MIB);
    std::vector<void *> taken;
    taken.reserve(1 << 20);
    try {
        for (;;)
            taken.push_back(::operator new(MIB));
    } catch (const std::bad_alloc &) {
    }
    CHECK(taken.size() >= 64);
    for (auto make : QUIET)
        CHECK(make(4 * MIB) == nullptr);

    // The handler is called until there is room.
    std::set_new_handler(release_one);
    void *p = ::operator new(2 * MIB);
    CHECK(p != nullptr && calls >= 1 && calls < 20);
    memset(p, 1, 2 * MIB);
    ::operator delete(p);
    // Or until it throws: then nothing is left of the reserve.
    CHECK(throws<std::bad_alloc>(THROWING[0], 500 * MIB));
    CHECK(calls == 100);
    for (auto make : QUIET)
        CHECK(make(500 * MIB) == nullptr);
    std::set_new_handler(nullptr);

    for (void *q : taken)
        ::operator delete(q);
    // All is there again; a container's growth throws, and loses nothing.
    std::vector<std::string> strings;
    try {
        for (;;)
            strings.emplace_back(100 * KIB, 'x');
    } catch (const std::bad_alloc &) {
    }
    CHECK(strings.size() * 100 * KIB >= 128 * MIB);
    for (auto &s : strings)
        CHECK(s.size() == 100 * KIB && s.front() == 'x' && s.back() == 'x');
    return 0;
}
