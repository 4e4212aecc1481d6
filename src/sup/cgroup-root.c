/* SPDX-License-Identifier: MIT */

/* Finding a place for the runs' cgroups.
 *
 * Where: the folder of our own cgroup in the cgroup2 mount, and in it `agentd-<hash of the runtime
 * folder>`. The hash is there because several daemons, of one user or of several, share that place,
 * and each ends every run-* folder in its own root that it does not know. The daemon is not moved:
 * it stays where whoever started it has put it, so the accounting of its service is right, and
 * since no controller is switched on the kernel allows processes in an inner folder.
 *
 * `There is a cgroup2 mount` says nothing of what works in it: on hybrid systems it has no
 * controllers, in containers it is read-only, for users it is not delegated. So the root is made,
 * and each file that is needed is looked for in it. */

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/str.h"
#include "sup/cgroup-internal.h"
#include "sup/proc-internal.h"

#define PROC_FILE_MAX (1U << 20)
#define HASH_BYTES    8

/* Undoes the \040 of mountinfo in place. */
static void unescape_octal(char *s) {
        char *out = s;
        for (; *s; s++) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
                    s[3] >= '0' && s[3] <= '7') {
                        *out++ = (char) ((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
                        s += 3;
                } else
                        *out++ = *s;
        }
        *out = '\0';
}

/* "36 35 0:31 ROOT MOUNTPOINT options… - cgroup2 …" */
static bool parse_mount(char *line, char **ret_root, char **ret_point) {
        char *dash = strstr(line, " - "), *save = NULL, *field[5] = {};

        if (!dash || !str_startswith(dash, " - cgroup2 "))
                return false;
        *dash = '\0';
        for (size_t i = 0; i < ELEMENTSOF(field); i++) {
                field[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
                if (!field[i])
                        return false;
        }
        unescape_octal(field[3]);
        unescape_octal(field[4]);
        *ret_root = field[3];
        *ret_point = field[4];
        return true;
}

static int find_mount(char **ret_root, char **ret_point) {
        _cleanup_free_ char *text = NULL, *root_copy = NULL, *point_copy = NULL;
        char *save = NULL, *root, *point;

        int r = fs_read_file(AT_FDCWD, "/proc/self/mountinfo", PROC_FILE_MAX, &text, NULL);
        if (r < 0)
                return r;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                if (!parse_mount(line, &root, &point))
                        continue;
                root_copy = strdup(root);
                point_copy = strdup(point);
                if (!root_copy || !point_copy)
                        return -ENOMEM;
                *ret_root = TAKE_PTR(root_copy);
                *ret_point = TAKE_PTR(point_copy);
                return 0;
        }
        return -EOPNOTSUPP;
}

int cgroup_find_of_pid(pid_t pid, char **ret) {
        _cleanup_free_ char *root = NULL, *point = NULL, *path = NULL;
        const char *below;

        int r = find_mount(&root, &point);
        if (r >= 0)
                r = proc_cgroup(pid, &path);
        if (r < 0)
                return r == -ENOENT ? -EOPNOTSUPP : r;
        /* Outside of our cgroup namespace, or not below what is mounted. */
        if (str_startswith(path, "/.."))
                return -EOPNOTSUPP;
        below = streq(root, "/") ? path : str_startswith(path, root);
        if (!below)
                return -EOPNOTSUPP;
        char *folder = str_printf("%s%s", point, streq(below, "/") ? "" : below);
        if (!folder)
                return -ENOMEM;
        *ret = folder;
        return 0;
}

int cgroup_find_own(char **ret) {
        return cgroup_find_of_pid(getpid(), ret);
}

static int default_root(const char *runtime_dir, char **ret) {
        _cleanup_free_ char *own = NULL, *absolute = NULL;
        uint8_t hash[crypto_generichash_BYTES];
        char hex[2 * HASH_BYTES + 1];

        int r = cgroup_find_own(&own);
        if (r >= 0)
                r = path_absolute(runtime_dir, &absolute);
        if (r < 0)
                return r;
        (void) crypto_generichash(hash, sizeof(hash), (const uint8_t *) absolute, strlen(absolute),
                                  NULL, 0);
        hex_encode(hash, HASH_BYTES, hex);
        char *path = str_printf("%s/agentd-%s", own, hex);
        if (!path)
                return -ENOMEM;
        *ret = path;
        return 0;
}

static bool has_file(const Cgroups *c, const char *name, int mode) {
        return faccessat(c->fd, name, mode, 0) == 0;
}

/* The root is never the top of the hierarchy, so all files that a run's folder will have are in it. */
static int probe(Cgroups *c, const char **ret_reason) {
        if (!has_file(c, "cgroup.procs", W_OK) || !has_file(c, "cgroup.events", R_OK)) {
                *ret_reason = "the cgroup folder is not writable, or is not of cgroup v2";
                return -EOPNOTSUPP;
        }
        if (!has_file(c, "cgroup.kill", W_OK)) {
                *ret_reason = "the kernel has no cgroup.kill (Linux 5.14)";
                return -EOPNOTSUPP;
        }
        c->can_freeze = has_file(c, "cgroup.freeze", W_OK);
        return 0;
}

int cgroups_open(Cgroups **ret, const char *root, const char *runtime_dir, const char **ret_reason) {
        _cleanup_(cgroups_freep) Cgroups *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->fd = -EBADF;
        c->found = !root;
        if (root) {
                c->path = strdup(root);
                r = c->path ? 0 : -ENOMEM;
        } else
                r = default_root(runtime_dir, &c->path);
        if (r < 0) {
                *ret_reason = "no cgroup v2 is mounted";
                return r;
        }
        if (mkdir(c->path, 0755) < 0 && errno != EEXIST) {
                *ret_reason = "a cgroup folder cannot be made: it is not delegated to this user";
                return -EOPNOTSUPP;
        }
        c->fd = open(c->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (c->fd < 0)
                return errno_neg();
        r = probe(c, ret_reason);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

Cgroups *cgroups_free(Cgroups *c) {
        if (!c)
                return NULL;
        fd_close(c->fd);
        if (c->found && c->path) /* goes if it is empty */
                (void) rmdir(c->path);
        free(c->path);
        free(c);
        return NULL;
}

int cgroups_enumerate(const Cgroups *c, int (*fn)(uint64_t run, void *userdata), void *userdata) {
        _cleanup_(dir_closep) DIR *d = opendir(c->path);
        int r = 0;

        if (!d)
                return errno_neg();
        for (struct dirent *e; r >= 0 && (e = readdir(d));) {
                const char *id = str_startswith(e->d_name, CGROUP_RUN_PREFIX);
                uint64_t run;
                if (id && id_parse(id, &run) == 0 && run != 0)
                        r = fn(run, userdata);
        }
        return r;
}

int cgroups_count(const Cgroups *c, unsigned *ret) {
        uint64_t n;
        int r = cgroup_read_u64(c->path, "cgroup.stat", "nr_descendants", &n);
        if (r < 0)
                return r;
        *ret = (unsigned) n;
        return 0;
}
