/* Says whether the process is a secure one: with raised privileges. */
#include "life.h"

#include <sys/auxv.h>

int main(void) {
    work(1, 1000);
    say(1, "secure=%lu", getauxval(AT_SECURE));
    return 0;
}
