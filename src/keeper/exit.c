/* SPDX-License-Identifier: MIT */

/* How did a process end that is not our child?
 *
 * After a keeper's death its agents are children of whoever reaps above us, and waitid() refuses
 * them. Two sources remain. PIDFD_GET_INFO with EXIT (Linux 6.15) gives the status through a pidfd
 * opened while the process lived, as soon as it was reaped by whoever. Before that it is a zombie,
 * and field 52 of /proc/PID/stat has the status, if we may see it (base/proc.c). Guessing is
 * forbidden: what cannot be known is UNKNOWN.
 *
 * The pid may be a new process's by the time its stat is read. The start time settles that. */

#include <sys/wait.h>

#include "base/pidfd.h"
#include "base/proc.h"
#include "keeper/keeper-internal.h"

static void from_status(int status, KeeperExitSource source, KeeperExit *ret) {
        *ret = (KeeperExit){
                .code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                .signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                .core = WIFSIGNALED(status) && WCOREDUMP(status),
                .source = source,
        };
}

static bool from_pidfd(int pidfd, KeeperExit *ret) {
        int status;

        if (pidfd_wait_status(pidfd, &status) < 0)
                return false;
        from_status(status, KEEPER_EXIT_PIDFD, ret);
        return true;
}

int keeper_exit_of(int pidfd, pid_t pid, uint64_t start_time, bool reaped, KeeperExit *ret) {
        ProcStat stat;

        if (from_pidfd(pidfd, ret))
                return 0;
        if (!reaped && proc_stat(pid, &stat) >= 0 && stat.start_time == start_time) {
                if (stat.state != 'Z' || !stat.status_known)
                        return -EAGAIN;
                from_status(stat.wait_status, KEEPER_EXIT_ZOMBIE, ret);
                return 0;
        }
        /* Reaped between the two looks. */
        if (from_pidfd(pidfd, ret))
                return 0;
        *ret = (KeeperExit){ .code = -1, .source = KEEPER_EXIT_UNKNOWN };
        return 0;
}
