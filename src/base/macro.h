/* SPDX-License-Identifier: MIT */
#pragma once

/* Compiler attributes, cleanup helpers and small arithmetic that every room uses.
 *
 * Ownership: every local resource carries a cleanup attribute (_cleanup_free_, _cleanup_close_,
 * _cleanup_(foo_freep)); handing over is spelled TAKE_PTR() or TAKE_FD(). Destructors take NULL and
 * half-built objects and return NULL. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_       __attribute__((unused))
#define _public_       __attribute__((visibility("default")))
#define _warn_unused_  __attribute__((warn_unused_result))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))
/* NOLINTBEGIN(bugprone-macro-parentheses): i is declared here */
#define ARRAY_FOREACH(i, array) \
        for (__typeof__((array)[0]) *i = (array); i < (array) + ELEMENTSOF(array); i++)
/* NOLINTEND(bugprone-macro-parentheses) */

/* Nest MIN in MAX and MAX in MIN freely, but neither in itself: -Wshadow. */
#define MIN(a, b)                                  \
        ({                                         \
                __auto_type _min_a = (a);          \
                __auto_type _min_b = (b);          \
                _min_a < _min_b ? _min_a : _min_b; \
        })
#define MAX(a, b)                                  \
        ({                                         \
                __auto_type _max_a = (a);          \
                __auto_type _max_b = (b);          \
                _max_a > _max_b ? _max_a : _max_b; \
        })

/* clang-format off */
#define container_of(ptr, type, member) \
        ((type *) (void *) ((char *) (ptr) - offsetof(type, member)))
/* clang-format on */

/* The argument is evaluated twice. */
#define TAKE_PTR(p)                   \
        ({                            \
                __auto_type _p = (p); \
                (p) = NULL;           \
                _p;                   \
        })
#define TAKE_FD(fd)             \
        ({                      \
                int _fd = (fd); \
                (fd) = -EBADF;  \
                _fd;            \
        })

/* Defines fnp() for use with _cleanup_(); fn must accept NULL. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type in parentheses declares nothing */
#define DEFINE_CLEANUP(type, fn)            \
        static inline void fn##p(type *p) { \
                if (*p)                     \
                        fn(*p);             \
        }                                   \
        struct fn##p_needs_semicolon
/* NOLINTEND(bugprone-macro-parentheses) */

static inline void freep(void *p) {
        free(*(void **) p);
}

/* Closes and always returns -EBADF, so that `fd = fd_close(fd)` cannot leave a stale number. */
static inline int fd_close(int fd) {
        if (fd >= 0) {
                int saved = errno;
                (void) close(fd);
                errno = saved;
        }
        return -EBADF;
}

static inline void fd_closep(const int *fd) {
        (void) fd_close(*fd);
}

#define _cleanup_free_  _cleanup_(freep)
#define _cleanup_close_ _cleanup_(fd_closep)

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

/* NULL-safe: two NULLs are equal. */
static inline bool streq_ptr(const char *a, const char *b) {
        return a && b ? streq(a, b) : a == b;
}

static inline bool str_isempty(const char *s) {
        return !s || s[0] == '\0';
}

/* The rest of s behind prefix, or NULL. */
static inline const char *str_startswith(const char *s, const char *prefix) {
        size_t n = strlen(prefix);
        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* errno of the call that just failed, as a negative number that is never 0. */
static inline int errno_neg(void) {
        int r = -errno;
        return r < 0 ? r : -EIO;
}
