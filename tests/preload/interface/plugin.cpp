// A library in C++ for a program in C, which has no libstdc++ before this brings its own, for itself alone.
#include "bad_alloc.h"

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

extern "C" int plugin(void)
{
    std::map<std::string, std::vector<std::unique_ptr<std::string>>> map;
    for (int i = 0; i < 20000; i++)
        map[std::to_string(i % 100)].push_back(std::make_unique<std::string>(i % 50, 'x'));
    size_t length = 0;
    for (auto &[_, strings] : map)
        for (auto &s : strings)
            length += s->size();
    CHECK(length == 490000);
    out_of_memory();
    std::thread([] { without_handler(); }).join();
    return 42;
}
