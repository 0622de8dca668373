// What operator new does when there is no memory: [new.delete.single], [new.handler], [bad.alloc]. A function, so that a
// program and a library that is loaded later can have it.
#ifndef BAD_ALLOC_H
#define BAD_ALLOC_H

#include "check.h"

#include <cstddef>
#include <new>
#include <stdexcept>
#include <string>

namespace {

using std::align_val_t;
using std::nothrow;

int calls;

void *(*const THROWING[])(size_t) = {
    [](size_t n) { return ::operator new(n); },
    [](size_t n) { return ::operator new[](n); },
    [](size_t n) { return ::operator new(n, align_val_t(64)); },
    [](size_t n) { return ::operator new[](n, align_val_t(4096)); },
};

void *(*const QUIET[])(size_t) = {
    [](size_t n) { return ::operator new(n, nothrow); },
    [](size_t n) { return ::operator new[](n, nothrow); },
    [](size_t n) { return ::operator new(n, align_val_t(64), nothrow); },
    [](size_t n) { return ::operator new[](n, align_val_t(4096), nothrow); },
};

// libstdc++ 12 rounds a size up to the alignment without a look at the overflow, and then finds 0 bytes.
#ifdef GORT
const size_t TOO_MUCH[] = { PTRDIFF_MAX, (size_t)1 << 47, SIZE_MAX / 2 + 1, SIZE_MAX, SIZE_MAX - 100, SIZE_MAX - 4096 };
#else
const size_t TOO_MUCH[] = { PTRDIFF_MAX, (size_t)1 << 47, SIZE_MAX / 2 + 1 };
#endif

// Whether it throws an E; anything else that is thrown ends the program.
template <typename E> bool throws(void *(*make)(size_t), size_t size)
{
    // With a destructor to be called on the way.
    struct Guard {
        int &count;
        ~Guard() { count++; }
    };
    int passed = 0;
    try {
        Guard guard{passed};
        make(opaque(size));
    } catch (const E &) {
        CHECK(passed == 1);
        return true;
    }
    return false;
}

// "throws ... an exception of a type that would match a handler of type bad_alloc"; nothrow: "a null pointer".
void without_handler()
{
    CHECK(std::get_new_handler() == nullptr);
    for (size_t size : TOO_MUCH) {
        for (auto make : THROWING)
            CHECK(throws<std::bad_alloc>(make, size));
        for (auto make : QUIET)
            CHECK(make(opaque(size)) == nullptr);
    }
    try {
        opaque_pointer(::operator new(opaque(PTRDIFF_MAX)));
        CHECK(false);
    } catch (const std::exception &e) {
        CHECK(std::string(e.what()) == "std::bad_alloc");
    }
}

// [new.delete.single]: "the function repeatedly calls the current new_handler function"; it may "throw an exception of type
// bad_alloc or a class derived from bad_alloc", and change the handler.
void handler_throws()
{
    struct Mine : std::bad_alloc {};
    for (auto make : THROWING) {
        calls = 0;
        std::set_new_handler([] {
            if (++calls == 3)
                throw Mine();
        });
        CHECK(throws<Mine>(make, PTRDIFF_MAX));
        CHECK(calls == 3);
    }
    for (auto make : QUIET) {
        calls = 0;
        CHECK(make(opaque(PTRDIFF_MAX)) == nullptr);
        CHECK(calls == 3);
    }
    for (auto make : THROWING) {
        calls = 0;
        std::set_new_handler([] {
            if (++calls == 2)
                std::set_new_handler(nullptr);
        });
        CHECK(throws<std::bad_alloc>(make, PTRDIFF_MAX));
        CHECK(calls == 2);
    }
    for (auto make : QUIET) {
        calls = 0;
        std::set_new_handler([] {
            calls++;
            std::set_new_handler(nullptr);
        });
        CHECK(make(opaque(PTRDIFF_MAX)) == nullptr);
        CHECK(calls == 1);
    }
    CHECK(std::get_new_handler() == nullptr);
    // A handler's exception that is no bad_alloc goes to the caller all the same.
    for (auto make : THROWING) {
        std::set_new_handler([] { throw std::runtime_error("mine"); });
        CHECK(throws<std::runtime_error>(make, PTRDIFF_MAX));
    }
    std::set_new_handler(nullptr);
    // [expr.new]: bad_array_new_length is thrown by the expression, before any allocation function is called; it is a
    // bad_alloc.
#ifndef __clang__ // It asks for SIZE_MAX bytes instead.
    bool thrown = false;
    try {
        delete[] new long[opaque(SIZE_MAX / 2)];
    } catch (const std::bad_array_new_length &) {
        thrown = true;
    }
    CHECK(thrown);
#endif
}

// The heap is as good as before.
void goes_on()
{
    std::string all;
    for (int i = 0; i < 10000; i++)
        all += std::to_string(i);
    CHECK(all.size() == 38890);
}

[[maybe_unused]] void out_of_memory()
{
    without_handler();
    handler_throws();
    goes_on();
}

} // namespace

#endif
