/*
 * gort as a C library (libgort.so, libgort.a): what it has beyond <stdlib.h> and <malloc.h>, whose functions it replaces.
 * Usable from C99 and C++98 on. A program that uses nothing of this needs no header, only the library.
 */
#ifndef GORT_H
#define GORT_H

#include <stddef.h>

#define GORT_VERSION_MAJOR 0
#define GORT_VERSION_MINOR 1
#define GORT_VERSION_PATCH 0
/* Grows with each release, for comparisons. */
#define GORT_VERSION (GORT_VERSION_MAJOR * 1000000 + GORT_VERSION_MINOR * 1000 + GORT_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif

/*
 * C23. Frees a block of malloc, calloc or realloc that was asked for with `size` bytes: as free(ptr), but the size need not be
 * looked up. A null pointer is ignored, errno is preserved.
 */
void free_sized(void *ptr, size_t size);

/*
 * C23. Frees a block of aligned_alloc that was asked for with this alignment and `size` bytes: as free(ptr), but the size need
 * not be looked up. A null pointer is ignored, errno is preserved.
 */
void free_aligned_sized(void *ptr, size_t alignment, size_t size);

#ifdef __cplusplus
}
#endif

#endif
