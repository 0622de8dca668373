/* Functions of the C library that allocate for the program: what they return "can be freed with free(3)" (strdup(3), getline(3),
   asprintf(3), getcwd(3), realpath(3), scandir(3), open_memstream(3)), and resized. So the C library itself must have the same
   allocator as the program. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <search.h>
#include <unistd.h>
#include <wchar.h>

static void *thread(void *argument)
{
    char *p = strdup(argument);
    CHECK(p != NULL);
    return p;
}

/* It is a block of this heap: its size is known, it can grow. */
static void take(void *block, const char *text)
{
    CHECK(block != NULL && malloc_usable_size(block) > strlen(text) && strcmp(block, text) == 0);
    block = realloc(block, 100000);
    CHECK(block != NULL && strcmp(block, text) == 0);
    free(block);
}

int main(void)
{
    char *text;
    CHECK(setlocale(LC_ALL, "C") != NULL);
    take(strdup("duplicate"), "duplicate");
    take(strndup("duplicate", 4), "dupl");
    CHECK(asprintf(&text, "%d %s", 42, "words") == 8);
    take(text, "42 words");

    CHECK(chdir("/") == 0);
    take(getcwd(NULL, 0), "/");
    take(realpath("/proc/../proc/.", NULL), "/proc");

    size_t size = 0;
    text = NULL;
    FILE *f = fmemopen("one line\nanother\n", 17, "r");
    CHECK(f != NULL && getline(&text, &size, f) == 9 && malloc_usable_size(text) >= size);
    fclose(f);
    take(text, "one line\n");
    /* getline grows a block that the program made. */
    text = malloc(4);
    size = 4;
    f = fmemopen("a line that is longer than that\n", 32, "r");
    CHECK(f != NULL && getline(&text, &size, f) == 32);
    fclose(f);
    take(text, "a line that is longer than that\n");

    f = open_memstream(&text, &size);
    CHECK(f != NULL);
    for (int i = 0; i < 10000; i++)
        fputs("0123456789", f);
    fclose(f);
    CHECK(size == 100000 && malloc_usable_size(text) > size);
    free(text);

    struct dirent **names;
    int count = scandir("/proc/self", &names, NULL, alphasort);
    CHECK(count > 10);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);

    wchar_t *wide = wcsdup(L"wide");
    CHECK(wide != NULL && malloc_usable_size(wide) >= 5 * sizeof *wide);
    free(wide);
    void *root = NULL;
    for (char *p = "tree"; *p != 0; p++)
        CHECK(tsearch(p, &root, (int (*)(const void *, const void *))strcmp) != NULL);
    tdestroy(root, (void (*)(void *))opaque_pointer);

    pthread_t id;
    CHECK(pthread_create(&id, NULL, thread, "from a thread") == 0);
    void *result;
    CHECK(pthread_join(id, &result) == 0);
    take(result, "from a thread");
    CHECK(setenv("GORT_TEST_VARIABLE", "value", 1) == 0 && unsetenv("GORT_TEST_VARIABLE") == 0);
    return 0;
}
