/* SPDX-License-Identifier: MIT */

/* A new keeper for a dead one. Beside tools for a client (api/tool.c) it is the only program that
 * the daemon starts.
 *
 * posix_spawn(): the daemon is large and has threads; a fork would copy page tables for 11 ms and
 * may do nothing but exec anyway. Descriptors are first moved above all targets and then down, so
 * that no dup2() overwrites one that is still needed; their originals are CLOEXEC.
 *
 * The new keeper is our child, so it is also ours to reap, by pidfd. It starts in a session of its
 * own: it must outlive us. A keeper that keeps dying is retried ever more slowly, but for ever:
 * without one no agent can be started, and somebody may be repairing the machine. */

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/str.h"
#include "sup/sup-internal.h"

#define DELAY_FIRST_USEC (100 * USEC_PER_MSEC)
#define SHORT_LIFE_USEC  (5 * USEC_PER_SEC)
#define FIRST_FD         3
#ifndef BACKOFF_MAX_USEC /* shorter in a build with -Dfail_calls=true */
#        define BACKOFF_MAX_USEC (5 * USEC_PER_SEC)
#endif

typedef struct Inherited {
        int *fds; /* copies above all targets; become FIRST_FD… */
        size_t n;
} Inherited;

static void inherited_done(Inherited *i) {
        for (size_t k = 0; k < i->n; k++)
                fd_close(i->fds[k]);
        free(i->fds);
}

static int inherited_add(Inherited *i, int fd, size_t total) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD + (int) total);
        if (copy < 0)
                return errno_neg();
        i->fds[i->n++] = copy;
        return 0;
}

/* The listening sockets, then the link, then the daemon's pidfd. */
static int inherited_init(Inherited *i, const SupManager *m, int link, int self) {
        size_t total = m->n_listen_fds + 2;
        int r = 0;

        i->fds = calloc(total, sizeof(int));
        if (!i->fds)
                return -ENOMEM;
        for (size_t k = 0; r >= 0 && k < m->n_listen_fds; k++)
                r = inherited_add(i, m->listen_fds[k], total);
        if (r >= 0)
                r = inherited_add(i, link, total);
        return r < 0 ? r : inherited_add(i, self, total);
}

static int make_argv(const SupManager *m, char ***ret) {
        _cleanup_strv_ char **argv = NULL;
        size_t n = m->n_listen_fds;
        unsigned max = m->link.max_runs > 0 ? m->link.max_runs : m->max_runs;

        int r = strv_extend(&argv, m->keeper_path);
        if (r >= 0)
                r = strv_extendf(&argv, "--runtime=%s", m->runtime_dir);
        if (r >= 0)
                r = strv_extendf(&argv, "--max-runs=%u", max);
        if (r >= 0)
                r = strv_extendf(&argv, "--listen-fds=%zu", n);
        if (r >= 0)
                r = strv_extendf(&argv, "--adopt-fd=%zu", FIRST_FD + n);
        if (r >= 0)
                r = strv_extendf(&argv, "--daemon-pidfd=%zu", FIRST_FD + n + 1);
        if (r >= 0 && m->exec_path)
                r = strv_extendf(&argv, "--exec=%s", m->exec_path);
        if (r >= 0)
                r = strv_extendf(&argv, "--daemon=%s", m->daemon_argv[0]);
        if (r >= 0)
                r = strv_extend(&argv, "--");
        for (char **a = m->daemon_argv + 1; r >= 0 && *a; a++)
                r = strv_extend(&argv, *a);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(argv);
        return 0;
}

static int set_attributes(posix_spawnattr_t *attr) {
        sigset_t none, all;

        sigemptyset(&none);
        sigfillset(&all);
        int r = posix_spawnattr_setsigmask(attr, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attr, &all);
        if (r == 0)
                r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                           POSIX_SPAWN_SETSID);
        return -r;
}

static int spawn_with(const SupManager *m, const Inherited *i, char **argv, pid_t *ret) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;

        int r = -posix_spawn_file_actions_init(&actions);
        if (r < 0)
                return r;
        r = -posix_spawnattr_init(&attr);
        if (r < 0) {
                (void) posix_spawn_file_actions_destroy(&actions);
                return r;
        }
        r = set_attributes(&attr);
        for (size_t k = 0; r == 0 && k < i->n; k++)
                r = -posix_spawn_file_actions_adddup2(&actions, i->fds[k], FIRST_FD + (int) k);
        if (r == 0)
                r = -posix_spawn(ret, m->keeper_path, &actions, &attr, argv, environ);
        (void) posix_spawnattr_destroy(&attr);
        (void) posix_spawn_file_actions_destroy(&actions);
        return r;
}

static int spawn_keeper(const SupManager *m, int link, pid_t *ret) {
        _cleanup_(inherited_done) Inherited inherited = {};
        _cleanup_close_ int self = pidfd_open(getpid(), 0);
        _cleanup_strv_ char **argv = NULL;

        if (self < 0)
                return errno_neg();
        int r = make_argv(m, &argv);
        if (r >= 0)
                r = inherited_init(&inherited, m, link, self);
        return r < 0 ? r : spawn_with(m, &inherited, argv, ret);
}

/* ---- the child ---- */

static int on_child(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        SupManager *m = OBJ_CAST(SupManager, userdata, SUP_MANAGER_MAGIC);
        siginfo_t si = {};

        if (waitid(P_PIDFD, (id_t) fd, &si, WEXITED | WNOHANG) == 0 && si.si_pid == 0)
                return 0;
        m->link.child_source = sd_event_source_disable_unref(m->link.child_source);
        m->link.child_pidfd = fd_close(m->link.child_pidfd);
        return 0;
}

static int watch_child(SupManager *m, pid_t pid) {
        KeeperLink *l = &m->link;

        /* The one before it has closed its link and is gone or about to go. */
        if (l->child_pidfd >= 0)
                (void) waitid(P_PIDFD, (id_t) l->child_pidfd, &(siginfo_t){}, WEXITED | WNOHANG);
        l->child_source = sd_event_source_disable_unref(l->child_source);
        l->child_pidfd = fd_close(l->child_pidfd);
        l->child_pidfd = pidfd_open(pid, 0); /* our child, not reaped: no race */
        if (l->child_pidfd < 0)
                return errno_neg();
        return sd_event_add_io(m->event, &l->child_source, l->child_pidfd, EPOLLIN, on_child, m);
}

static int start_keeper(SupManager *m) {
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
        int pair[2];
        pid_t pid = 0;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return errno_neg();
        ours = pair[0];
        theirs = pair[1];
        int r = spawn_keeper(m, theirs, &pid);
        if (r < 0)
                return r;
        r = watch_child(m, pid);
        if (r < 0)
                log_debug("Cannot watch keeper %d", pid);
        r = link_open(m, ours);
        if (r < 0)
                return r;
        ours = -EBADF;
        m->link.spawned_at = clock_monotonic();
        return 0;
}

static void retry_later(SupManager *m);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        SupManager *m = OBJ_CAST(SupManager, userdata, SUP_MANAGER_MAGIC);

        m->link.is_retrying = false;
        int r = start_keeper(m);
        if (r < 0) {
                (void) log_error(r, "Cannot start the keeper %s", m->keeper_path);
                retry_later(m);
        }
        return 0;
}

static void retry_later(SupManager *m) {
        KeeperLink *l = &m->link;
        usec_t delay = l->delay;

        l->delay = delay == 0 ? DELAY_FIRST_USEC : MIN(2 * delay, BACKOFF_MAX_USEC);
        l->is_retrying = true;
        (void) sd_event_source_set_time_relative(l->retry_source, delay);
        (void) sd_event_source_set_enabled(l->retry_source, SD_EVENT_ONESHOT);
}

int link_init(SupManager *m) {
        int r = sd_event_add_time(m->event, &m->link.retry_source, CLOCK_MONOTONIC, 0, 1, on_retry,
                                  m);

        return r < 0 ? r : sd_event_source_set_enabled(m->link.retry_source, SD_EVENT_OFF);
}

void link_lost(SupManager *m) {
        KeeperLink *l = &m->link;
        size_t cursor = 0;
        void *value;

        link_close(m);
        while (map_next(m->runs, &cursor, NULL, &value)) {
                SupRun *r = OBJ_CAST(SupRun, value, SUP_RUN_MAGIC);
                if (r->state == SUP_RUN_QUEUED)
                        continue;
                r->has_slot = false;
                r->unlinked = !r->leader_gone && r->state != SUP_RUN_ENDED;
                if (r->leader_gone)
                        run_check(r);
        }
        if (m->quitting || l->is_retrying)
                return;
        if (!m->keeper_path || !m->daemon_argv) {
                (void) sd_event_exit(m->event, -ECONNRESET);
                return;
        }
        (void) log_warning(0, "The keeper is gone; starting a new one");
        if (l->spawned_at == 0 || clock_monotonic() - l->spawned_at >= SHORT_LIFE_USEC)
                l->delay = 0;
        retry_later(m);
}

void link_done(SupManager *m) {
        KeeperLink *l = &m->link;

        link_close(m);
        l->retry_source = sd_event_source_disable_unref(l->retry_source);
        l->child_source = sd_event_source_disable_unref(l->child_source);
        l->child_pidfd = fd_close(l->child_pidfd);
}
