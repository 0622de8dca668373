#include "bad_alloc.h"

#include <thread>

int main()
{
    out_of_memory();
    std::thread([] { without_handler(); }).join();
    return 0;
}
