/* SPDX-License-Identifier: MIT */

/* Runs that an earlier keeper began.
 *
 * The daemon opens the pidfd and names the process by the identity it recorded; both are compared
 * here once more, because to adopt a stranger that has the same number would mean to signal it
 * later. What does not match is reported as gone, how is not known. From there on an adopted run
 * differs from our own children in one thing: its end is seen through the pidfd in the epoll
 * instead of SIGCHLD. Where the kernel has no room for that (fs.epoll.max_user_watches, memory) it
 * is tried again until it has: nobody else would ever see the end. */

#include <sys/stat.h>

#include "base/log.h"
#include "base/proc.h"
#include "keeper/keeper-internal.h"

static bool is_the_one(const KeeperMsg *m, int pidfd) {
        ProcStat stat;
        struct stat st;

        if (fstat(pidfd, &st) < 0 || st.st_ino != m->adopt.pidfd_id)
                return false;
        /* Gone altogether is no contradiction: then the pidfd knows how it ended. */
        return proc_stat(m->adopt.pid, &stat) < 0 || stat.start_time == m->adopt.start_time;
}

static int watch_leader(Keeper *k, KeeperRun *r) {
        int ret = keeper_watch(k->epoll, r->pidfd, EPOLLIN,
                               keeper_run_key(k, r, KEEPER_SOURCE_LEADER));

        r->leader_watched = ret >= 0;
        k->behind |= ret < 0;
        return ret;
}

void keeper_run_adopt(Keeper *k, KeeperRun *r, const KeeperMsg *m, int pidfd) {
        int ret;

        r->pidfd = pidfd;
        r->slot.pid = m->adopt.pid;
        r->slot.pidfd_id = m->adopt.pidfd_id;
        r->slot.start_time = m->adopt.start_time;
        r->slot.state = KEEPER_RUN_ALIVE; /* whether exec had happened died with the old keeper */

        if (!is_the_one(m, pidfd)) {
                (void) log_warning(0, "run %016lx: process %d is not the one to adopt",
                                   (unsigned long) r->slot.run, (int) r->slot.pid);
                r->pidfd = fd_close(r->pidfd); /* never to be signalled */
                keeper_run_exited(k, r, -1, 0, false, KEEPER_EXIT_UNKNOWN);
                return;
        }
        ret = watch_leader(k, r);
        if (ret < 0)
                (void) log_error(ret,
                                 "run %016lx cannot be watched; this is tried again every second",
                                 (unsigned long) r->slot.run);
}

void keeper_leaders_retry(Keeper *k) {
        for (unsigned i = 0; i < k->high; i++) {
                KeeperRun *r = &k->runs[i];

                if (!r->used || r->child || r->leader_watched || r->pidfd < 0 ||
                    r->slot.state != KEEPER_RUN_ALIVE)
                        continue;
                if (watch_leader(k, r) >= 0)
                        log_info("run %016lx is watched now", (unsigned long) r->slot.run);
        }
}

void keeper_run_leader_gone(Keeper *k, KeeperRun *r, bool hangup) {
        KeeperExit how;

        if (keeper_run_has_ended(r))
                return;
        if (keeper_exit_of(r->pidfd, r->slot.pid, r->slot.start_time, hangup, &how) == -EAGAIN) {
                /* Only the hang-up that follows the reaping can tell more; it needs no event bit. */
                (void) keeper_watch(k->epoll, r->pidfd, 0,
                                    keeper_run_key(k, r, KEEPER_SOURCE_LEADER));
                return;
        }
        keeper_run_exited(k, r, how.code, how.signo, how.core, how.source);
}
