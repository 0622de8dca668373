/* A process that is treated oddly: its file descriptors closed, its root directory changed, its user changed, its CPU too. */
#include "life.h"

#include <grp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static void *work_body(void *arg) {
    work((uintptr_t)arg, 2000);
    return NULL;
}

static void work_in_threads(void) {
    pthread_t id[4];
    for (int i = 0; i < 4; i++)
        id[i] = start(work_body, (void *)(uintptr_t)i);
    work(9, 5000);
    struct object huge = make(100 * MIB, 1);
    drop(&huge);
    for (int i = 0; i < 4; i++)
        join(id[i]);
}

/* A daemon closes all file descriptors and opens files, which get the numbers 0, 1 and 2. Nobody but itself may write there. */
static void mode_closed(void) {
    int told = dup(1);
    CHECK(told > 2);
    work(1, 2000);
    for (int fd = 0; fd < 3; fd++)
        CHECK(close(fd) == 0);
    for (int fd = 0; fd < 3; fd++) {
        char name[] = "file.0";
        name[5] += fd;
        CHECK(open(name, O_RDWR | O_CREAT | O_TRUNC, 0600) == fd);
        CHECK(write(fd, "mine\n", 5) == 5);
    }
    work_in_threads();
    for (int fd = 0; fd < 3; fd++) {
        struct stat s;
        CHECK(fstat(fd, &s) == 0 && s.st_size == 5);
    }
    CHECK(dup2(told, 1) == 1);
    close(told);
}

/* The first descriptors are free, and the allocator has taken none. */
static void mode_descriptors(void) {
    int first = dup(1);
    CHECK(first == 3);
    close(first);
    work_in_threads();
    first = dup(1);
    CHECK(first == 3);
    close(first);
}

static void mode_all_closed(void) {
    for (int fd = 0; fd < 64; fd++)
        close(fd);
    work_in_threads();
    CHECK(open("out", O_RDWR | O_CREAT | O_TRUNC, 0600) == 0);
    CHECK(dup(0) == 1);
}

/* No /proc, no /sys, no libraries. */
static void mode_chroot(void) {
    struct object before = make(1000, 1);
    CHECK(mkdir("empty", 0700) == 0 || errno == EEXIST);
    CHECK(chroot("empty") == 0 && chdir("/") == 0);
    CHECK(open("/proc/self/maps", O_RDONLY) < 0);
    work_in_threads();
    drop(&before);
    pid_t pid = fork();
    if (pid == 0) {
        work_in_threads();
        exit(0);
    }
    wait_for(pid);
}

static atomic_int stop;

static void *busy_body(void *arg) {
    for (uint32_t i = 1; !atomic_load(&stop); i++)
        work((uint32_t)(uintptr_t)arg * 1000 + i, 300);
    return NULL;
}

/* The C library sends each thread a signal to change its user, and waits for all of them. */
static void mode_setuid(void) {
    const char *variable = getenv("ROUNDS");
    int rounds = variable ? atoi(variable) : 100;
    pthread_t id[6];
    for (int i = 0; i < 6; i++)
        id[i] = start(busy_body, (void *)(uintptr_t)i);
    for (int i = 0; i < rounds; i++) {
        CHECK(setresgid(-1, i % 2 ? 0 : 65534, -1) == 0);
        CHECK(setresuid(-1, i % 2 ? 0 : 65534, -1) == 0);
        if (i % 2)
            continue;
        work(i, 50);
    }
    CHECK(setresuid(0, 0, 0) == 0 && setgroups(0, NULL) == 0);
    CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    CHECK(setuid(0) < 0);
    sleep_ms(10);
    atomic_store(&stop, 1);
    for (int i = 0; i < 6; i++)
        join(id[i]);
    work_in_threads();
}

/* One CPU, then others: what is kept per CPU must follow. */
static void mode_affinity(void) {
    cpu_set_t all, one;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    pthread_t id[6];
    for (int i = 0; i < 6; i++)
        id[i] = start(busy_body, (void *)(uintptr_t)i);
    for (int round = 0; round < 10; round++) {
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (!CPU_ISSET(cpu, &all))
                continue;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
            for (int i = 0; i < 6; i++)
                CHECK(pthread_setaffinity_np(id[i], sizeof one, &one) == 0);
            work(cpu, 300);
        }
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 6; i++)
        join(id[i]);
}

/* Memory locked as it comes: nothing may rely on pages that the kernel will not take back. */
static void mode_mlocked(void) {
    if (mlockall(MCL_CURRENT | MCL_FUTURE | 4 /* MCL_ONFAULT */) != 0) {
        say(2, "skipped: mlockall is not allowed");
        return;
    }
    /* An object of a mebibyte that cannot grow where it is may be moved page by page, and nothing else is to be unlocked by that. */
    char *object = malloc(2 << 20), *behind = malloc(2 << 20);
    CHECK(object && behind);
    memset(object, 1, 2 << 20);
    memset(behind, 2, 2 << 20);
    object = realloc(object, (2 << 20) + (64 << 10));
    CHECK(object && object[0] == 1 && object[(2 << 20) - 1] == 1);
    /* What is locked cannot be made cold. */
    void *page = (void *)(((uintptr_t)behind + 8191) & ~(uintptr_t)4095);
    CHECK(madvise(page, 4096, 20 /* MADV_COLD */) == -1 && errno == EINVAL);
    free(object);
    free(behind);
    for (int i = 0; i < 5; i++)
        work_in_threads();
}

int main(int argc, char **argv) {
    static const struct mode modes[] = {
        {"closed", mode_closed},     {"descriptors", mode_descriptors}, {"all_closed", mode_all_closed},
        {"chroot", mode_chroot},     {"setuid", mode_setuid},           {"affinity", mode_affinity},
        {"mlocked", mode_mlocked},
    };
    return run_mode(modes, LENGTH(modes), argc, argv);
}
