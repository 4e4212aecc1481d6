/* SPDX-License-Identifier: MIT */

/* Operations on one run's cgroup.
 *
 * cgroup.kill (Linux 5.14) is the only kill that a forking, setsid()ing tree cannot outrun: of 120
 * such trees none escaped, killpg() lost 60 of 60, one pass over cgroup.procs 1 of 180. So a kernel
 * without it counts as having no cgroups at all, and the run keeps a subreaper instead.
 *
 * `populated 0` is not yet the proof of death that a restart needs: a helper that was forked a
 * moment ago may still be on its way into the folder. A folder that was removed takes nobody in:
 * rmdir() is the proof.
 *
 * Files are opened by path and not kept: a descriptor less per run, and the folder can be removed
 * by anybody without anything being held up here. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/str.h"
#include "sup/cgroup-internal.h"
#include "sup/proc-internal.h"

#define ATTRIBUTE_MAX (64U << 10)
#define PROCS_MAX     (4U << 20)
#define DEPTH_MAX     32U

char *cgroup_run_path(const Cgroups *c, uint64_t run) {
        char id[ID_STRING_SIZE];
        return str_printf("%s/" CGROUP_RUN_PREFIX "%s", c->path, id_format(run, id));
}

int cgroup_create(const char *path, uint64_t *ret_id) {
        int r = mkdir(path, 0755) < 0 ? errno_neg() : 0;
        if (r == -ENOENT) /* the root was tidied away while it was empty */
                r = fs_mkdir_p(path, 0755);
        return r < 0 ? r : cgroup_id(path, ret_id);
}

int cgroup_id(const char *path, uint64_t *ret) {
        struct stat st;
        if (stat(path, &st) < 0)
                return errno_neg();
        *ret = st.st_ino;
        return 0;
}

static int write_file(const char *path, const char *file, const char *value) {
        _cleanup_free_ char *p = path_join(path, file);
        return p ? fs_write_attribute(AT_FDCWD, p, value) : -ENOMEM;
}

static int read_file(const char *path, const char *file, size_t max, char **ret) {
        _cleanup_free_ char *p = path_join(path, file);
        return p ? fs_read_file(AT_FDCWD, p, max, ret, NULL) : -ENOMEM;
}

/* A removed cgroup says ENOENT when opened and ENODEV when it went while it was open. */
static bool is_gone(int r) {
        return r == -ENOENT || r == -ENODEV;
}

int cgroup_read_u64(const char *path, const char *file, const char *key, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        char *save = NULL;

        int r = read_file(path, file, ATTRIBUTE_MAX, &text);
        if (r < 0)
                return is_gone(r) ? -ENOENT : r;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                const char *value = line;
                if (key) {
                        value = str_startswith(line, key);
                        if (!value || *value++ != ' ')
                                continue;
                }
                return str_to_u64(value, ret);
        }
        return -ENOENT;
}

static int read_event(const char *path, const char *key) {
        uint64_t value = 0;
        int r = cgroup_read_u64(path, "cgroup.events", key, &value);
        if (r == -ENOENT)
                return 0;
        return r < 0 ? r : value != 0;
}

int cgroup_populated(const char *path) {
        return read_event(path, "populated");
}

int cgroup_frozen(const char *path) {
        return read_event(path, "frozen");
}

int cgroup_freeze(const char *path, bool freeze) {
        return write_file(path, "cgroup.freeze", freeze ? "1" : "0");
}

int cgroup_kill(const char *path) {
        int r = write_file(path, "cgroup.kill", "1");
        return is_gone(r) ? 0 : r;
}

/* Calls fn for each folder right below; a negative result ends the walk. */
static int each_child(const char *path, int (*fn)(const char *child, void *userdata), void *userdata) {
        _cleanup_(dir_closep) DIR *d = opendir(path);
        int r = 0;

        if (!d)
                return is_gone(errno_neg()) ? 0 : errno_neg();
        for (struct dirent *e; r >= 0 && (e = readdir(d));) {
                if (e->d_type != DT_DIR || e->d_name[0] == '.')
                        continue;
                _cleanup_free_ char *child = path_join(path, e->d_name);
                r = child ? fn(child, userdata) : -ENOMEM;
        }
        return r;
}

static int remove_depth(const char *path, unsigned depth);

static int remove_child(const char *child, void *userdata) {
        unsigned *depth = userdata;
        return *depth == 0 ? -ELOOP : remove_depth(child, *depth - 1);
}

static int remove_depth(const char *path, unsigned depth) {
        if (rmdir(path) == 0)
                return 0;
        int r = errno_neg();
        if (is_gone(r))
                return 0;
        if (r != -EBUSY && r != -ENOTEMPTY)
                return r;
        r = each_child(path, remove_child, &depth);
        if (r < 0)
                return r;
        if (rmdir(path) == 0)
                return 0;
        r = errno_neg();
        return is_gone(r) ? 0 : r;
}

int cgroup_remove(const char *path) {
        return remove_depth(path, DEPTH_MAX);
}

typedef struct PidList {
        pid_t except;
        pid_t *pids;
        unsigned max, n, depth;
} PidList;

static int collect(const char *path, void *userdata) {
        _cleanup_free_ char *text = NULL;
        PidList *l = userdata;
        char *save = NULL;

        int r = read_file(path, "cgroup.procs", PROCS_MAX, &text);
        if (r < 0)
                return is_gone(r) ? 0 : r;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                uint64_t n;
                if (str_to_u64(line, &n) < 0)
                        continue;
                pid_t pid = (pid_t) n;
                if (pid <= 0 || pid == l->except || proc_is_zombie(pid))
                        continue;
                if (l->n < l->max)
                        l->pids[l->n] = pid;
                l->n++;
        }
        if (l->depth == 0)
                return 0;
        l->depth--;
        r = each_child(path, collect, l);
        l->depth++;
        return r;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): written to through the list */
int cgroup_pids(const char *path, pid_t except, pid_t *pids, unsigned max) {
        PidList l = { .except = except, .pids = pids, .max = max, .depth = DEPTH_MAX };
        int r = collect(path, &l);
        return r < 0 ? r : (int) l.n;
}

typedef struct Search {
        uint64_t id;
        unsigned depth;
        bool found;
} Search;

static int search(const char *path, void *userdata) {
        Search *s = userdata;
        uint64_t id;

        int r = cgroup_id(path, &id);
        if (r < 0 || s->found || s->depth == 0)
                return is_gone(r) ? 0 : r;
        if (id == s->id) {
                s->found = true;
                return 0;
        }
        s->depth--;
        r = each_child(path, search, s);
        s->depth++;
        return r;
}

int cgroup_contains(const char *path, uint64_t id) {
        Search s = { .id = id, .depth = DEPTH_MAX };
        int r = each_child(path, search, &s);
        return r < 0 ? r : s.found;
}

int cgroup_watch(const char *path,
                 sd_event *event,
                 sd_event_source **ret,
                 sd_event_inotify_handler_t fn,
                 void *userdata) {
        _cleanup_free_ char *p = path_join(path, "cgroup.events");
        return p ? sd_event_add_inotify(event, ret, p, IN_MODIFY, fn, userdata) : -ENOMEM;
}

/* The end of the first run-* component, or NULL. */
static const char *find_run(const char *path, uint64_t *ret_run) {
        for (const char *p = path; (p = strstr(p, "/" CGROUP_RUN_PREFIX));) {
                char id[ID_STRING_SIZE];

                p += strlen("/" CGROUP_RUN_PREFIX);
                size_t n = strcspn(p, "/\n");
                if (n != ID_STRING_SIZE - 1)
                        continue;
                memcpy(id, p, n);
                id[n] = '\0';
                if (id_parse(id, ret_run) == 0)
                        return p + n;
        }
        return NULL;
}

uint64_t cgroup_run_of_path(const char *path) {
        uint64_t run;
        return find_run(path, &run) ? run : 0;
}

int cgroup_cut_to_run(char *path) {
        uint64_t run;
        const char *end = find_run(path, &run);
        if (!end)
                return -ENOENT;
        path[end - path] = '\0';
        return 0;
}
