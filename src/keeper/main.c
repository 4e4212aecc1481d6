/* SPDX-License-Identifier: MIT */

/* agentd-keeper: the parent of the daemon and of every agent.
 *
 * It exists so that the daemon may die. It forks (being small, cheaply and safely), reaps, moves
 * output to files, holds the listening sockets, and starts the daemon again. It knows nothing of
 * sessions, HTTP or the store, and takes no decision that the daemon could take. All memory and
 * descriptors that it needs for itself are taken here, before the loop: afterwards nothing is
 * allocated, so nothing can fail for want of memory but fork and the kernel's own objects. */

#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "keeper/keeper-internal.h"

#define FDS_PER_RUN 7 /* pidfd, status pipe, two FIFOs, two logs, index */
#define FDS_OWN     128

/* The hard limit is ours; children get the soft one back (programs with select() rely on it). */
static void raise_limits(Keeper *k) {
        struct rlimit limit;
        rlim_t room;

        if (getrlimit(RLIMIT_NOFILE, &k->nofile) < 0)
                return;
        limit = k->nofile;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                limit = k->nofile;
        room = limit.rlim_cur > FDS_OWN + FDS_PER_RUN ? (limit.rlim_cur - FDS_OWN) / FDS_PER_RUN : 1;
        if (room < k->max_runs) {
                (void) log_warning(0, "RLIMIT_NOFILE allows for %lu runs instead of %u",
                                   (unsigned long) room, k->max_runs);
                k->max_runs = (unsigned) room;
        }
}

/* Allowed to root only; others stay where they are. */
static void leave_oom_killer(Keeper *k) {
        _cleanup_free_ char *before = NULL;
        size_t n = 0;

        if (fs_read_file(AT_FDCWD, "/proc/self/oom_score_adj", 32, &before, &n) < 0)
                return;
        if (fs_write_attribute(AT_FDCWD, "/proc/self/oom_score_adj", "-900") < 0)
                return;
        (void) snprintf(k->oom_score_adj, sizeof(k->oom_score_adj), "%s", before);
}

static int open_descriptors(Keeper *k) {
        int r;

        k->epoll = epoll_create1(EPOLL_CLOEXEC);
        k->outputs = epoll_create1(EPOLL_CLOEXEC);
        k->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (k->epoll < 0 || k->outputs < 0 || k->null < 0)
                return log_error(errno, "cannot begin");
        k->exec = open(k->options.exec_path, O_PATH | O_CLOEXEC);
        if (k->exec < 0)
                return log_error(errno, "cannot open %s", k->options.exec_path);
        r = keeper_watch(k->epoll, k->outputs, EPOLLIN,
                         (KeeperKey){ .source = KEEPER_SOURCE_OUTPUTS });
        if (r >= 0)
                r = keeper_signals_open(k);
        return r < 0 ? log_error(r, "cannot begin") : 0;
}

static int take_listening(Keeper *k) {
        for (unsigned i = 0; i < k->options.n_listen; i++) {
                k->listen[i] = 3 + (int) i;
                if (fcntl(k->listen[i], F_GETFD) < 0)
                        return log_error(errno, "listening socket %d is not there", k->listen[i]);
        }
        k->n_listen = k->options.n_listen;
        if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
                return log_error(errno, "cannot mark the descriptors");
        return 0;
}

static int begin(Keeper *k) {
        int r;

        r = take_listening(k);
        if (r < 0)
                return r;
        r = keeper_runtime_lock(k);
        if (r < 0)
                return r;
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return log_error(errno, "cannot become a subreaper");
        leave_oom_killer(k);
        raise_limits(k);
        k->runs = calloc(k->max_runs, sizeof(KeeperRun));
        if (!k->runs)
                return log_error(-ENOMEM, "no room for %u runs", k->max_runs);
        r = open_descriptors(k);
        if (r < 0)
                return r;
        r = keeper_control_open(k);
        if (r < 0)
                return log_error(r, "no control socket in %s", k->options.runtime_dir);
        r = keeper_daemon_init(k);
        if (r < 0)
                return log_error(r, "no room for the daemon's arguments");
        keeper_watchdog_init(k);
        return 0;
}

/* An agent that lives keeps its FIFOs, and what is in them, for the next keeper. */
static void drain_last(Keeper *k, KeeperRun *r) {
        if (r->used && keeper_run_has_ended(r))
                keeper_output_give_up(k, r);
        else if (r->used)
                keeper_output_drain(k, r);
}

static int run(Keeper *k) {
        int r;

        r = begin(k);
        if (r < 0)
                return r;
        if (k->options.adopt_fd < 0) {
                keeper_exits_load(k);
                keeper_daemon_start(k);
        } else {
                r = keeper_daemon_adopt(k, k->options.daemon_pidfd);
                if (r < 0)
                        return log_error(r, "cannot join the daemon");
        }
        keeper_link_flush(k);
        r = keeper_loop(k);
        for (unsigned i = 0; i < k->high; i++)
                drain_last(k, &k->runs[i]);
        keeper_exits_save(k);
        keeper_control_close(k);
        return k->gave_up ? -ECANCELED : r;
}

int main(int argc, char *argv[]) {
        static Keeper keeper;
        Keeper *k = &keeper;
        int r;

        log_open("keeper", LOG_LEVEL_INFO);
        (void) prctl(PR_SET_DUMPABLE, 0); /* agents of the same user may not read our environment */
        r = keeper_options_parse(&k->options, argc, argv);
        if (r != 0)
                return r < 0 ? 2 : EXIT_SUCCESS;
        k->started_usec = clock_realtime();
        k->max_runs = k->options.max_runs;
        k->term_at = k->daemon.start_at = k->daemon.kill_at = USEC_INFINITY;
        k->link.fd = k->daemon.pidfd = k->control_listen = -EBADF;
        for (unsigned i = 0; i < KEEPER_CONTROL_MAX; i++)
                k->control[i] = -EBADF;
        /* The kernel takes back the rest: the process ends here. */
        return run(k) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
