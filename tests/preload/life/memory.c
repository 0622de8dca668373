/* How much memory a process has that only says hello, and one in which a thread frees what another allocates. */
#include "life.h"

/* Prints the most that was ever resident, in KiB. */
static void mode_hello(void) {
    void *p = malloc(100);
    CHECK(p != NULL);
    free(p);
    say(1, "most: %ld", status_kib("/proc/self/status", "VmHWM:"));
}

/* Batches go round between the two threads; nobody but `only_frees_body` frees. */
#define BATCH 10000
#define ROUNDS 1000
/* What the caches of both threads may hold at most, and some huge pages in part. */
#define SLACK_KIB (16 * 1024)
static void *batch[2][BATCH];
static pthread_barrier_t step;

static void *only_frees_body(void *arg) {
    for (int r = 0; r < ROUNDS; r++) {
        pthread_barrier_wait(&step);
        for (int i = 0; i < BATCH; i++)
            free(batch[r % 2][i]);
    }
    return arg;
}

static void mode_only_frees(void) {
    long floor = 0, highest = 0;
    CHECK(pthread_barrier_init(&step, NULL, 2) == 0);
    pthread_t id = start(only_frees_body, NULL);
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < BATCH; i++) {
            size_t size = 1 + i * 7919u % 1000;
            unsigned char *p = malloc(size);
            CHECK(p != NULL);
            p[0] = p[size - 1] = 1;
            batch[r % 2][i] = p;
        }
        pthread_barrier_wait(&step);
        long now = resident_kib();
        if (r == 10)
            floor = now;
        if (now > highest)
            highest = now;
    }
    join(id);
    say(1, "%ld KiB resident, %ld after ten batches", highest, floor);
    CHECK(highest <= floor + SLACK_KIB);
}

int main(int argc, char **argv) {
    static const struct mode modes[] = {{"hello", mode_hello}, {"only_frees", mode_only_frees}};
    return run_mode(modes, LENGTH(modes), argc, argv);
}
