/* SPDX-License-Identifier: MIT */

/* Signals to all descendants, without cgroups.
 *
 * The walk reads /proc/PID/task/TID/children. Process groups and sessions were rejected because a
 * program leaves them with one call (a fork chain with setsid escapes killpg always); a scan of all
 * of /proc because it costs every run the price of the whole machine. We are a subreaper, so
 * whoever loses its parent becomes our child: no descendant can leave the tree, and a caller who
 * repeats the walk until waitpid() says ECHILD has ended them all.
 *
 * A number read from /proc may belong to somebody else a moment later. So the process is pinned by
 * a pidfd first, and then asked for its parent: only if the parent is still the one that listed it
 * (or us, after reparenting) does the signal go, through the pidfd. The walk keeps its own bounded
 * stack instead of recursing: a hostile tree may be deep. */

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "exec/exec-internal.h"

#define WALK_MAX 4096U

typedef struct Walk {
        pid_t todo[WALK_MAX]; /* processes whose children are still to be visited */
        unsigned n;
        unsigned signalled;
        int signo;
} Walk;

static void visit(Walk *w, pid_t pid, pid_t parent) {
        _cleanup_close_ int pidfd = -EBADF;
        ProcStat stat;

        pidfd = pidfd_open(pid, 0);
        if (pidfd < 0)
                return;
        if (proc_stat(pid, &stat) < 0 || (stat.ppid != parent && stat.ppid != getpid()))
                return;
        if (w->n < WALK_MAX)
                w->todo[w->n++] = pid;
        if (pidfd_send_signal(pidfd, w->signo, NULL, 0) == 0)
                w->signalled++;
        if (w->signo == SIGTERM) /* a stopped process could not see it */
                (void) pidfd_send_signal(pidfd, SIGCONT, NULL, 0);
}

static void visit_children_of_task(Walk *w, pid_t pid, const char *task) {
        _cleanup_free_ char *text = NULL, *path = NULL;
        char *state = NULL;

        path = str_printf("/proc/%d/task/%s/children", (int) pid, task);
        if (!path || fs_read_file(AT_FDCWD, path, 1U << 20, &text, NULL) < 0)
                return;
        for (char *word = strtok_r(text, " \n", &state); word; word = strtok_r(NULL, " \n", &state)) {
                int64_t child;

                if (str_to_i64(word, &child) >= 0)
                        visit(w, (pid_t) child, pid);
        }
}

static void visit_children(Walk *w, pid_t pid) {
        char path[64];
        _cleanup_(dir_closep) DIR *dir = NULL;

        (void) snprintf(path, sizeof(path), "/proc/%d/task", (int) pid);
        dir = opendir(path);
        if (!dir)
                return;
        for (struct dirent *e = readdir(dir); e; e = readdir(dir))
                if (e->d_name[0] != '.')
                        visit_children_of_task(w, pid, e->d_name);
}

unsigned exec_signal_descendants(int signo) {
        Walk w = { .todo = { getpid() }, .n = 1, .signo = signo };

        while (w.n > 0)
                visit_children(&w, w.todo[--w.n]);
        return w.signalled;
}
