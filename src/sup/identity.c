/* SPDX-License-Identifier: MIT */

/* Recognising a process again.
 *
 * A pid is a number that comes back: with pid_max 32768 and a thousand forks a second within half a
 * minute, and in containers after every restart. So a pid is only the way to a pidfd; the process
 * behind that is the one we mean if the boot id is the same, the pidfd's inode is the same (unique
 * for a process's life since Linux 6.9; before, all pidfds share one inode and the comparison says
 * nothing) and the start time is the same. What was never recorded is not compared, but something
 * must have been.
 *
 * Start time is read after the pidfd was opened, and the process must still be there after that:
 * then what was read belongs to the pidfd. Rejected: kill(pid, 0), which pm2 and many others use.
 */

#include <signal.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#include "sup/proc-internal.h"

int proc_open(pid_t pid, int *ret_fd, uint64_t *ret_pidfd_id, uint64_t *ret_start_time) {
        _cleanup_close_ int fd = -EBADF;
        ProcStat s;
        struct stat st;

        if (pid <= 0)
                return -ESRCH;
        fd = pidfd_open(pid, 0);
        if (fd < 0)
                return errno_neg();
        if (fstat(fd, &st) < 0)
                return errno_neg();
        int r = proc_stat(pid, &s);
        if (r < 0)
                return r;
        /* Signal 0 reaches zombies too, but not what was reaped: so the stat was of this process. */
        r = proc_signal(fd, 0);
        if (r == -ESRCH)
                return r;
        *ret_fd = TAKE_FD(fd);
        *ret_pidfd_id = st.st_ino;
        *ret_start_time = s.start_time;
        return 0;
}

int proc_open_identity(const SupIdentity *id, const char *boot_id, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t pidfd_id, start_time;

        if (id->pid <= 0 || (id->pidfd_id == 0 && id->start_time == 0))
                return -ESRCH;
        if (id->boot_id[0] != '\0' && !streq(id->boot_id, boot_id))
                return -ESRCH;
        int r = proc_open(id->pid, &fd, &pidfd_id, &start_time);
        if (r < 0)
                return r;
        if (id->pidfd_id != 0 && id->pidfd_id != pidfd_id)
                return -ESRCH;
        if (id->start_time != 0 && id->start_time != start_time)
                return -ESRCH;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int proc_exit_status(int pidfd, pid_t pid, int *ret_wait_status) {
        ProcStat s;

        if (pidfd_wait_status(pidfd, ret_wait_status) >= 0)
                return 0;
        /* Signal 0 fails once it was reaped: if it does not, the zombie that was read is ours. */
        if (proc_stat(pid, &s) == 0 && s.state == 'Z' && s.status_known &&
            proc_signal(pidfd, 0) != -ESRCH) {
                *ret_wait_status = s.wait_status;
                return 0;
        }
        return pidfd_wait_status(pidfd, ret_wait_status);
}

int proc_signal(int pidfd, int signo) {
        return pidfd_send_signal(pidfd, signo, NULL, 0) < 0 ? errno_neg() : 0;
}
