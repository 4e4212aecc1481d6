/* SPDX-License-Identifier: MIT */

/* Reading /proc.
 *
 * Used where the kernel offers nothing better: figures of a tree without controllers, names for
 * messages, and the tree of a run where there are no cgroups. Walks over /proc are snapshots and a
 * forking tree can slip through one; whoever kills by them repeats until nothing is found.
 *
 * Without cgroups, processes whose subreaper was killed have lost their place in the tree. They are
 * found by what they hold: their standard output is the run's FIFO. */

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"
#include "sup/proc-internal.h"

#define STAT_MAX 4096
#define WALK_MAX 65536

static int read_proc(pid_t pid, const char *file, size_t max, char **ret) {
        char path[64];
        (void) snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
        int r = fs_read_file(AT_FDCWD, path, max, ret, NULL);
        return r == -ENOENT ? -ESRCH : r;
}

bool proc_is_zombie(pid_t pid) {
        ProcStat s;
        return proc_stat(pid, &s) < 0 || s.state == 'Z' || s.state == 'X';
}

uint64_t proc_resident(pid_t pid) {
        _cleanup_free_ char *text = NULL;
        unsigned long long pages;

        /* NOLINTNEXTLINE(cert-err34-c): the kernel wrote it */
        if (read_proc(pid, "statm", STAT_MAX, &text) < 0 || sscanf(text, "%*u %llu", &pages) != 1)
                return 0;
        return pages * (uint64_t) sysconf(_SC_PAGESIZE);
}

int proc_name(pid_t pid, char *buf, size_t size) {
        _cleanup_free_ char *text = NULL;
        int r = read_proc(pid, "comm", STAT_MAX, &text);
        if (r < 0)
                return r;
        text[strcspn(text, "\n")] = '\0';
        for (char *c = text; *c; c++)
                if (!isprint((unsigned char) *c))
                        *c = '?';
        (void) snprintf(buf, size, "%s", text);
        return 0;
}

int proc_each(int (*fn)(pid_t pid, void *userdata), void *userdata) {
        _cleanup_(dir_closep) DIR *d = opendir("/proc");
        int r = 0;

        if (!d)
                return errno_neg();
        for (struct dirent *e; r >= 0 && (e = readdir(d));) {
                uint64_t pid;
                if (isdigit((unsigned char) e->d_name[0]) && str_to_u64(e->d_name, &pid) == 0)
                        r = fn((pid_t) pid, userdata);
        }
        return r;
}

/* ---- descendants ---- */

typedef struct Parents {
        pid_t (*items)[2]; /* pid, parent; sorted by nothing */
        unsigned n;
} Parents;

static int add_parent(pid_t pid, void *userdata) {
        Parents *p = userdata;
        ProcStat s;

        if (p->n >= WALK_MAX || proc_stat(pid, &s) < 0 || s.state == 'Z')
                return 0;
        p->items[p->n][0] = pid;
        p->items[p->n++][1] = s.ppid;
        return 0;
}

/* Moves all children of `parent` to the found part [0, *found). */
static void take_children(Parents *p, pid_t parent, unsigned *found) {
        for (unsigned i = *found; i < p->n; i++) {
                if (p->items[i][1] != parent)
                        continue;
                pid_t pid = p->items[i][0], ppid = p->items[i][1];
                p->items[i][0] = p->items[*found][0];
                p->items[i][1] = p->items[*found][1];
                p->items[*found][0] = pid;
                p->items[(*found)++][1] = ppid;
        }
}

int proc_descendants(pid_t pid, pid_t *pids, unsigned max) {
        _cleanup_free_ pid_t(*items)[2] = calloc(WALK_MAX, sizeof(*items));
        Parents p = { .items = items };
        unsigned found = 0;

        if (!items)
                return -ENOMEM;
        int r = proc_each(add_parent, &p);
        if (r < 0)
                return r;
        take_children(&p, pid, &found);
        for (unsigned i = 0; i < found; i++)
                take_children(&p, items[i][0], &found);
        for (unsigned i = 0; i < found && i < max; i++)
                pids[i] = items[i][0];
        return (int) found;
}

/* ---- holders of a run's FIFOs ---- */

static bool holds(pid_t pid, unsigned fd, const char *folder, size_t n) {
        char path[64], target[PATH_MAX];
        (void) snprintf(path, sizeof(path), "/proc/%d/fd/%u", pid, fd);
        ssize_t len = readlink(path, target, sizeof(target) - 1);
        if (len < 0)
                return false;
        target[len] = '\0';
        return strncmp(target, folder, n) == 0 && target[n] == '/';
}

bool proc_holds(pid_t pid, const char *folder) {
        size_t n = strlen(folder);
        for (unsigned fd = 0; fd <= 2; fd++)
                if (holds(pid, fd, folder, n))
                        return true;
        return false;
}

typedef struct Holders {
        const char *folder;
        pid_t *pids;
        unsigned max, n;
} Holders;

static int add_holder(pid_t pid, void *userdata) {
        Holders *h = userdata;

        if (pid == getpid() || !proc_holds(pid, h->folder))
                return 0;
        if (h->n < h->max)
                h->pids[h->n] = pid;
        h->n++;
        return 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): written to through h */
int proc_holders(const char *folder, pid_t *pids, unsigned max) {
        Holders h = { .folder = folder, .pids = pids, .max = max };
        int r = proc_each(add_holder, &h);
        return r < 0 ? r : (int) h.n;
}
