/* SPDX-License-Identifier: MIT */

/* Path names as text; declared in base/fs.h. Cleaning is textual on purpose: a path in a unit file
 * means what it says even if it does not exist yet, and realpath() would resolve links that may
 * change before the path is used. Who opens a path for an untrusted agent uses openat2() with
 * RESOLVE_BENEATH instead. */

#include <limits.h>
#include <pwd.h>

#include "base/fs.h"
#include "base/str.h"

char *path_join(const char *a, const char *b) {
        size_t n = strlen(a);

        if (n == 0)
                return strdup(b);
        return str_printf("%s%s%s", a, a[n - 1] == '/' ? "" : "/", b);
}

static int home_folder(char **ret) {
        const char *env = getenv("HOME");
        struct passwd pw, *found = NULL;
        char buffer[4096];

        if (!env || env[0] != '/') {
                int r = getpwuid_r(getuid(), &pw, buffer, sizeof(buffer), &found);
                if (r != 0)
                        return -r;
                if (!found || found->pw_dir[0] != '/')
                        return -ENOENT;
                env = found->pw_dir;
        }
        char *copy = strdup(env);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

/* What a path that is not absolute is relative to; *path is moved behind a `~`. */
static int base_folder(const char **path, char **ret) {
        if ((*path)[0] == '~' && ((*path)[1] == '/' || (*path)[1] == '\0')) {
                (*path)++;
                return home_folder(ret);
        }
        char *cwd = getcwd(NULL, 0);
        if (!cwd)
                return errno_neg();
        *ret = cwd;
        return 0;
}

/* Removes `.`, `..` and empty components of an absolute path, in place. */
static void path_clean(char *path) {
        char *out = path;
        const char *in = path;

        while (*in != '\0') {
                in += strspn(in, "/");
                size_t n = strcspn(in, "/");
                if (n == 2 && in[0] == '.' && in[1] == '.') {
                        while (out > path && *--out != '/')
                                ;
                } else if (n > 0 && !(n == 1 && in[0] == '.')) {
                        *out++ = '/';
                        memmove(out, in, n);
                        out += n;
                }
                in += n;
        }
        if (out == path)
                *out++ = '/';
        *out = '\0';
}

int path_absolute(const char *path, char **ret) {
        _cleanup_free_ char *base = NULL;
        char *full;

        if (path[0] == '\0')
                return -EINVAL;
        if (path[0] != '/') {
                int r = base_folder(&path, &base);
                if (r < 0)
                        return r;
        }
        full = base ? path_join(base, path) : strdup(path);
        if (!full)
                return -ENOMEM;
        path_clean(full);
        *ret = full;
        return 0;
}

int path_of_program_dir(char **ret) {
        char target[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", target, sizeof(target));

        if (n < 0)
                return errno_neg();
        if ((size_t) n == sizeof(target))
                return -ENAMETOOLONG;
        const char *slash = memrchr(target, '/', (size_t) n);
        if (!slash)
                return -ENOENT;
        char *dir = strndup(target, slash == target ? 1 : (size_t) (slash - target));
        if (!dir)
                return -ENOMEM;
        *ret = dir;
        return 0;
}
