/* Threads that come and go: memory stays bounded by those that live. */
#include "life.h"

/* Threads of one wave, all alive at once; waves of one run. */
#define WAVE 50
#define WAVES 40
/* What the process may grow by after the first waves: far less than what each thread touches times the threads that went. */
#define SLACK_KIB (16L * 1024)

static atomic_uint ended;
static pthread_barrier_t wave;

/* Until all threads of the wave are here: then each has its cache. */
static void meet(void) {
    pthread_barrier_wait(&wave);
}

/* Whether all threads of a wave hold what they touch at once. Without it, how many do is the scheduler's choice, and the
   process may grow for that alone. */
static atomic_bool together;

/* Touches about 300 KiB in many sizes, as a thread of a real program does before it ends. */
static void touch(uint32_t seed) {
    struct object o[120];
    for (uint32_t i = 0; i < LENGTH(o); i++)
        o[i] = make(16 + i * 41, seed + i);
    if (atomic_load(&together))
        meet();
    for (uint32_t i = 0; i < LENGTH(o); i++)
        drop(&o[i]);
}

/* Runs all waves of threads that do `body`, and holds the process's growth after the first ones, which need the most that
   any can, against the slack. */
static void waves(void *(*body)(void *), int count, void (*after_wave)(void)) {
    long before = 0;
    for (int w = 0; w < count; w++) {
        atomic_store(&together, w <= 4);
        pthread_t id[WAVE];
        for (int i = 0; i < WAVE; i++)
            id[i] = start(body, (void *)(uintptr_t)(w * WAVE + i));
        for (int i = 0; i < WAVE; i++)
            join(id[i]);
        if (after_wave)
            after_wave();
        if (w == 4)
            before = resident_kib();
    }
    long grown = resident_kib() - before;
    if (grown > SLACK_KIB)
        say(2, "grew by %ld KiB over %d threads", grown, WAVE * count);
    CHECK(grown <= SLACK_KIB);
}

static void *plain_body(void *arg) {
    touch((uintptr_t)arg);
    meet();
    return NULL;
}

static void mode_waves(void) {
    waves(plain_body, WAVES, NULL);
}

static void *exiting_body(void *arg) {
    touch((uintptr_t)arg);
    struct object *result = malloc(sizeof *result);
    CHECK(result != NULL);
    *result = make(100, (uintptr_t)arg);
    pthread_exit(result);
}

/* pthread_exit with an object as result, which whoever joins frees. */
static void mode_exit(void) {
    for (int i = 0; i < WAVE * WAVES; i++) {
        void *result;
        CHECK(pthread_join(start(exiting_body, (void *)(uintptr_t)i), &result) == 0);
        drop(result);
        free(result);
    }
}

static void *detached_body(void *arg) {
    CHECK(pthread_detach(pthread_self()) == 0);
    touch((uintptr_t)arg);
    atomic_fetch_add(&ended, 1);
    return NULL;
}

static void mode_detached(void) {
    long before = 0;
    for (unsigned i = 0; i < WAVE * WAVES; i++) {
        start(detached_body, (void *)(uintptr_t)i);
        while (i + 1 - atomic_load(&ended) > WAVE)
            sched_yield();
        if (i == 5 * WAVE)
            before = resident_kib();
    }
    while (atomic_load(&ended) < WAVE * WAVES)
        sched_yield();
    CHECK(resident_kib() - before <= SLACK_KIB);
}

static void free_object(void *p) {
    free(p);
}

static void *cancelled_body(void *arg) {
    touch((uintptr_t)arg);
    void *mine = make(5000, 1).p;
    pthread_cleanup_push(free_object, mine);
    meet();
    for (;;)
        pause();
    pthread_cleanup_pop(1);
    return NULL;
}

static void mode_cancelled(void) {
    long before = 0;
    for (int w = 0; w < WAVES; w++) {
        atomic_store(&together, w <= 4);
        pthread_t id[WAVE];
        for (int i = 0; i < WAVE; i++)
            id[i] = start(cancelled_body, (void *)(uintptr_t)i);
        for (int i = 0; i < WAVE; i++) {
            void *result;
            CHECK(pthread_cancel(id[i]) == 0);
            CHECK(pthread_join(id[i], &result) == 0);
            CHECK(result == PTHREAD_CANCELED);
        }
        if (w == 4)
            before = resident_kib();
    }
    CHECK(resident_kib() - before <= SLACK_KIB);
}

/* Destructors of thread-specific data that allocate in each round that there is, in keys made before and after the first
   allocation of the process, some past the 32 that a thread has room for without allocating. */
#define KEYS 60
static pthread_key_t keys[KEYS];
static atomic_uint rounds_run;

struct value {
    unsigned key, rounds;
    struct object object;
};

static void destroy_value(void *arg) {
    struct value *old = arg;
    verify(&old->object);
    touch(old->key);
    atomic_fetch_add(&rounds_run, 1);
    if (old->rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
        struct value *new = malloc(sizeof *new);
        CHECK(new != NULL);
        *new = (struct value){old->key, old->rounds + 1, make(64 + old->key * 10, old->key)};
        CHECK(pthread_setspecific(keys[old->key], new) == 0);
    }
    drop(&old->object);
    free(old);
}

static void *key_body(void *arg) {
    for (unsigned k = (uintptr_t)arg % 3; k < KEYS; k += 19) {
        struct value *v = malloc(sizeof *v);
        CHECK(v != NULL);
        *v = (struct value){k, 1, make(100 + k, k)};
        CHECK(pthread_setspecific(keys[k], v) == 0);
    }
    meet();
    return NULL;
}

static void mode_keys(void) {
    for (int k = 0; k < KEYS; k++)
        CHECK(pthread_key_create(&keys[k], destroy_value) == 0);
    waves(key_body, 16, NULL);
    CHECK(atomic_load(&rounds_run) >= 16 * WAVE * 3 * PTHREAD_DESTRUCTOR_ITERATIONS);
}

/* What the C library itself keeps for a thread and frees after the last destructor has run, and what threads allocate that
   never did before: in the destructor of thread-local data, when the allocator's own may have run. */
extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
extern void *__dso_handle;

static void late_destructor(void *arg) {
    struct object *kept = arg;
    verify(kept);
    touch(7);
    free(kept->p);
    free(kept);
}

static pthread_key_t late_key;

static void late_key_destructor(void *arg) {
    touch(8);
    free(arg);
}

static void *late_body(void *arg) {
    struct object *kept = malloc(sizeof *kept);
    CHECK(kept != NULL);
    *kept = make(3000, (uintptr_t)arg);
    CHECK(__cxa_thread_atexit_impl(late_destructor, kept, &__dso_handle) == 0);
    CHECK(pthread_setspecific(late_key, malloc(100)) == 0);
    CHECK(strstr(strerror(9000 + (int)(uintptr_t)arg % 100), "9") != NULL);
    CHECK(strsignal(1000) != NULL);
    meet();
    return NULL;
}

static void mode_late(void) {
    CHECK(pthread_key_create(&late_key, late_key_destructor) == 0);
    waves(late_body, WAVES, NULL);
}

/* Threads that allocate nothing while they run, and everything when they end. */
static pthread_key_t only_key;

static void only_destructor(void *arg) {
    touch((uintptr_t)arg);
}

static void *only_body(void *arg) {
    CHECK(pthread_setspecific(only_key, arg ? arg : (void *)1) == 0);
    return NULL;
}

static void mode_only_late(void) {
    CHECK(pthread_key_create(&only_key, only_destructor) == 0);
    waves(only_body, WAVES, NULL);
}

/* Objects that outlive the threads that made them; later threads free them. */
#define OUTLIVING 20
static struct object left[2][WAVE][OUTLIVING];
static unsigned turn;

static void *leaving_body(void *arg) {
    unsigned i = (uintptr_t)arg % WAVE;
    for (unsigned k = 0; k < OUTLIVING; k++) {
        if (left[turn ^ 1][i][k].p)
            drop(&left[turn ^ 1][i][k]);
        left[turn][i][k] = make(10 + k * 200, k);
    }
    meet();
    return NULL;
}

static void other_turn(void) {
    turn ^= 1;
}

static void mode_leaving(void) {
    waves(leaving_body, WAVES, other_turn);
}

int main(int argc, char **argv) {
    static const struct mode modes[] = {
        {"waves", mode_waves},
        {"exit", mode_exit},
        {"detached", mode_detached},
        {"cancelled", mode_cancelled},
        {"keys", mode_keys},
        {"late", mode_late},
        {"only_late", mode_only_late},
        {"leaving", mode_leaving},
    };
    CHECK(pthread_barrier_init(&wave, NULL, WAVE) == 0);
    return run_mode(modes, LENGTH(modes), argc, argv);
}
