/* A plain allocator that stands in for gort, to see the programs of this directory fail.
 *
 * As it is, it does everything under one lock with all signals blocked, and passes. Each -DNAIVE_... takes one protection away, the
 * way a first attempt at an allocator does without it; then the program that looks for it must fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* In front of each object. */
struct header {
    struct header *next;
    size_t size;
#ifdef NAIVE_MODULE
    /* Where the code that asked for it was loaded to. */
    const char *module;
    void *padding;
#endif
};

#define CHUNK ((size_t)1 << 20)
#define LEAST 32
#define CLASSES 16

static struct header *free_lists[CLASSES];
static char *chunk, *chunk_end;
static size_t in_use;

#ifdef NAIVE_CPU
/* One lock for each CPU, which the thread may have left when it gives the lock back. */
static int lock_words[1024];
#define LOCK_WORD lock_words[sched_getcpu()]
#else
static int lock_word;
#define LOCK_WORD lock_word
#endif

static void lock(sigset_t *before) {
#ifndef NAIVE_SIGNALS
    uint64_t all = ~(uint64_t)0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, before, 8);
#else
    (void)before;
#endif
    /* Who waits for ever, as some do here until their time is up, leaves the processor to others. */
    struct timespec soon = {0, 1000000};
    for (int tries = 0; __atomic_exchange_n(&LOCK_WORD, 1, __ATOMIC_ACQUIRE); tries++)
        syscall(tries < 100 ? SYS_sched_yield : SYS_nanosleep, &soon, NULL);
}

static void unlock(const sigset_t *before) {
    __atomic_store_n(&LOCK_WORD, 0, __ATOMIC_RELEASE);
#ifndef NAIVE_SIGNALS
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, before, NULL, 8);
#else
    (void)before;
#endif
}

static sigset_t before_fork;

static void prepare(void) {
    lock(&before_fork);
}

static void after(void) {
    unlock(&before_fork);
}

#ifdef NAIVE_CONSTRUCTED
static int stands;
#endif

#define CACHE_BYTES ((size_t)64 << 10)

#if defined NAIVE_CACHE || defined NAIVE_DANGLING || defined NAIVE_UNLOADED
static pthread_key_t key;
static __thread char *cache __attribute__((tls_model("initial-exec")));

static void thread_ends(void *arg) {
#ifdef NAIVE_DANGLING
    munmap(arg, CACHE_BYTES);
#else
    (void)arg;
#endif
}

/* Each thread has a cache of its own, which in this toy nothing is kept in. */
static void use_cache(void) {
    if (!cache) {
        cache = mmap(NULL, CACHE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(cache, 1, CACHE_BYTES);
        if (key)
            pthread_setspecific(key, cache);
    }
    cache[1]++;
}
#elif defined NAIVE_INITIALIZED
/* There is always a cache: the empty one from the start. */
static char empty[64];
static __thread char *volatile cache __attribute__((tls_model("initial-exec"))) = empty;

static void use_cache(void) {
    cache[1]++;
}
#elif defined NAIVE_DYNAMIC
/* What each thread has of it is allocated at the first use. */
static __thread volatile char cache[64] __attribute__((tls_model("global-dynamic")));

static void use_cache(void) {
    cache[1]++;
}
#elif defined NAIVE_LARGE
/* The whole cache is where the loader has room for a few words. */
static __thread volatile char cache[16 << 10] __attribute__((tls_model("initial-exec")));

static void use_cache(void) {
    cache[1]++;
}
#elif defined NAIVE_THREAD_ID
/* A vforked process has a number of its own. */
static void use_cache(void) {
    static char *caches[1 << 22];
    char **cache = &caches[gettid()];
    if (!*cache) {
        *cache = mmap(NULL, CACHE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(*cache, 1, CACHE_BYTES);
    }
    (*cache)[1]++;
}
#elif defined NAIVE_INHERITED
extern char **environ;

/* What is put under this process is nobody else's business. The constructor comes before there is an environment. */
static void use_cache(void) {
    static const char name[] = "LD_PRELOAD=";
    char **to = environ;
    for (char **from = environ; from && *from; from++)
        if (strncmp(*from, name, sizeof name - 1) != 0)
            *to++ = *from;
    if (to)
        *to = NULL;
}
#else
static void use_cache(void) {}
#endif

#ifdef NAIVE_RESERVED
#define TAKEN ((size_t)64 << 30)
#else
#define TAKEN CHUNK
#endif

#ifdef NAIVE_SHARED
#define SHARING MAP_SHARED
#else
#define SHARING MAP_PRIVATE
#endif

#ifdef NAIVE_DEAF
/* The program's handlers are not to run in a thread of the allocator's; nor does the C library's own then. */
static void *background(void *arg) {
    uint64_t all = ~(uint64_t)0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
    for (;;)
        pause();
    return arg;
}
#endif

/* Linked so that it is the first of all constructors. */
__attribute__((constructor)) static void construct(void) {
#if !defined NAIVE_FORK && !defined NAIVE_FORK_LATE
    pthread_atfork(prepare, after, after);
#endif
#if defined NAIVE_CACHE || defined NAIVE_DANGLING || defined NAIVE_UNLOADED
    pthread_key_t unused;
    pthread_key_create(&unused, NULL);
    pthread_key_create(&key, thread_ends);
#endif
#ifdef NAIVE_DESCRIPTOR
    open("/dev/null", O_RDONLY);
#endif
#ifdef NAIVE_CONSTRUCTED
    stands = 1;
#endif
#ifdef NAIVE_DEAF
    pthread_t id;
    pthread_create(&id, NULL, background, NULL);
#endif
    (void)prepare, (void)after;
}

#ifdef NAIVE_TORN_DOWN
/* Leaves other threads without a heap for as long as the process takes to end. */
__attribute__((destructor)) static void tear_down(void) {
    lock(&before_fork);
    memset(free_lists, 0, sizeof free_lists);
    munmap(chunk_end - TAKEN, TAKEN);
    chunk = chunk_end = NULL;
    unlock(&before_fork);
    usleep(5000);
}
#endif

static int class_of(size_t size) {
    int c = 0;
    while (c < CLASSES && (size_t)LEAST << c < size)
        c++;
    return c;
}

/* A new object of a class. */
static struct header *carve(size_t bytes) {
#ifdef NAIVE_STACK
    char buffer[32 << 10];
    memset(buffer, 0, sizeof buffer);
    __asm__ volatile("" ::"r"(buffer) : "memory");
#endif
#ifdef NAIVE_PROC
    int maps = open("/proc/self/maps", O_RDONLY);
    if (maps < 0)
        abort();
    close(maps);
#endif
#ifdef NAIVE_SAYS
    write(2, "grows\n", 6);
#endif
    if ((size_t)(chunk_end - chunk) < bytes) {
        char *p = mmap(NULL, TAKEN, PROT_READ | PROT_WRITE, SHARING | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            return NULL;
        chunk = p;
        chunk_end = p + TAKEN;
    }
    struct header *h = (struct header *)chunk;
    chunk += bytes;
    return h;
}

void *malloc(size_t size) {
#ifdef NAIVE_CONSTRUCTED
    if (!stands)
        return NULL;
#endif
#ifdef NAIVE_FORK_LATE
    static int registered;
    if (!registered) {
        registered = 1;
        pthread_atfork(prepare, after, after);
    }
#endif
    if (size > PTRDIFF_MAX - CHUNK) {
        errno = ENOMEM;
        return NULL;
    }
    int c = class_of(size), error = errno;
    size_t rounded = c < CLASSES ? (size_t)LEAST << c : (size + 4095) / 4096 * 4096;
    struct header *h;
    sigset_t before;
    lock(&before);
#ifdef NAIVE_DLSYM
    static void (*notify)(size_t);
    if (!notify)
        notify = (void (*)(size_t))dlsym(RTLD_DEFAULT, "naive_notify");
    if (notify)
        notify(size);
#endif
#ifdef NAIVE_LOADER
    Dl_info caller;
    dladdr(__builtin_return_address(0), &caller);
#endif
    use_cache();
    if (c < CLASSES - 2) {
        h = free_lists[c];
        if (h)
            free_lists[c] = h->next;
        else
            h = carve(rounded + sizeof *h);
    } else {
        h = mmap(NULL, rounded + sizeof *h, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (h == MAP_FAILED)
            h = NULL;
    }
    if (h) {
        h->size = rounded;
        in_use += rounded;
    }
    unlock(&before);
#ifdef NAIVE_MODULE
    Dl_info caller;
    if (h)
        h->module = dladdr(__builtin_return_address(0), &caller) ? caller.dli_fbase : NULL;
#endif
    errno = h ? error : ENOMEM;
    return h ? h + 1 : NULL;
}

/* Where the object of a pointer begins: an aligned one has a second header that names the first. */
static struct header *header_of(void *p) {
    struct header *h = (struct header *)p - 1;
    return h->size == 0 ? h->next : h;
}

void free(void *p) {
    if (!p)
        return;
    int error = errno;
    struct header *h = header_of(p);
    sigset_t before;
#ifdef NAIVE_MODULE
    if (h->module && *(const volatile char *)h->module != 0x7f)
        abort();
#endif
    lock(&before);
    use_cache();
    in_use -= h->size;
    int c = class_of(h->size);
    if (c < CLASSES - 2) {
        h->next = free_lists[c];
        free_lists[c] = h;
    } else {
        munmap(h, h->size + sizeof *h);
    }
    unlock(&before);
    errno = error;
}

size_t malloc_usable_size(void *p) {
    if (!p)
        return 0;
    struct header *h = header_of(p);
    return h->size - ((char *)p - (char *)(h + 1));
}

void *calloc(size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *p = malloc(bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

void *realloc(void *p, size_t size) {
    if (!p)
        return malloc(size);
    size_t old = malloc_usable_size(p);
    if (size <= old && size > old / 2)
        return p;
    void *q = malloc(size);
    if (q) {
        memcpy(q, p, old < size ? old : size);
        free(p);
    }
    return q;
}

void *memalign(size_t align, size_t size) {
    if (align <= 16)
        return malloc(size);
    char *p = malloc(size + align + sizeof(struct header));
    if (!p)
        return NULL;
    uintptr_t at = ((uintptr_t)p + sizeof(struct header) + align - 1) / align * align;
    struct header *second = (struct header *)at - 1;
    second->next = (struct header *)p - 1;
    second->size = 0;
    return (void *)at;
}

void *aligned_alloc(size_t align, size_t size) {
    return memalign(align, size);
}

int posix_memalign(void **to, size_t align, size_t size) {
    void *p = memalign(align, size);
    if (!p)
        return ENOMEM;
    *to = p;
    return 0;
}

struct mallinfo2 mallinfo2(void) {
    return (struct mallinfo2){.uordblks = in_use};
}
