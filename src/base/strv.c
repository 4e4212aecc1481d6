/* SPDX-License-Identifier: MIT */

/* NULL-terminated vectors, because execve() and environ have that shape and most of ours end there.
 * The length is counted at every append: vectors here are command lines and environments of some
 * dozen words, and a separate length would have to travel beside every one of them. Appending n
 * words one by one is therefore quadratic; bulk data belongs in a Buf. The growth is by powers of
 * two, so that the copying at least stays linear. */

#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"

char **strv_free(char **v) {
        for (char **i = v; i && *i; i++)
                free(*i);
        free(v);
        return NULL;
}

size_t strv_length(char *const *v) {
        size_t n = 0;

        while (v && v[n])
                n++;
        return n;
}

/* Takes s over on success only. */
static int strv_push(char ***v, char *s) {
        size_t n = strv_length(*v), need = n + 2;

        /* always asked for, since a vector from elsewhere may be of any size; asking for what it
         * has already is cheap */
        size_t cap = 2;
        while (cap < need)
                cap *= 2;
        char **grown = realloc(*v, cap * sizeof(char *));
        if (!grown)
                return -ENOMEM;
        grown[n] = s;
        grown[n + 1] = NULL;
        *v = grown;
        return 0;
}

int strv_extend(char ***v, const char *s) {
        _cleanup_free_ char *copy = strdup(s);

        if (!copy)
                return -ENOMEM;
        int r = strv_push(v, copy);
        if (r < 0)
                return r;
        (void) TAKE_PTR(copy);
        return 0;
}

int strv_extendf(char ***v, const char *format, ...) {
        _cleanup_free_ char *s = NULL;
        va_list ap;

        va_start(ap, format);
        int r = vasprintf(&s, format, ap);
        va_end(ap);
        if (r < 0) {
                s = NULL;
                return -ENOMEM;
        }
        r = strv_push(v, s);
        if (r < 0)
                return r;
        (void) TAKE_PTR(s);
        return 0;
}

char **strv_copy(char *const *v) {
        _cleanup_strv_ char **copy = calloc(strv_length(v) + 1, sizeof(char *));

        if (!copy)
                return NULL;
        for (size_t i = 0; v && v[i]; i++) {
                copy[i] = strdup(v[i]);
                if (!copy[i])
                        return NULL;
        }
        return TAKE_PTR(copy);
}

bool strv_contains(char *const *v, const char *s) {
        for (; v && *v; v++)
                if (streq(*v, s))
                        return true;
        return false;
}

/* The value behind `name=` if entry is that variable, or NULL. */
static const char *env_value(const char *entry, const char *name) {
        const char *rest = str_startswith(entry, name);

        return rest && *rest == '=' ? rest + 1 : NULL;
}

int strv_env_set(char ***env, const char *name, const char *value) {
        for (char **i = *env; i && *i; i++) {
                if (!env_value(*i, name))
                        continue;
                char *entry = str_printf("%s=%s", name, value);
                if (!entry)
                        return -ENOMEM;
                free(*i);
                *i = entry;
                return 0;
        }
        return strv_extendf(env, "%s=%s", name, value);
}

const char *strv_env_get(char *const *env, const char *name) {
        for (; env && *env; env++) {
                const char *value = env_value(*env, name);
                if (value)
                        return value;
        }
        return NULL;
}
