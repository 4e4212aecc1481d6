/* SPDX-License-Identifier: MIT */

/* How did a process end that is not our child?
 *
 * After a keeper's death its agents are children of whoever reaps above us, and waitid() refuses
 * them. Two sources remain. PIDFD_GET_INFO with EXIT (Linux 6.15) gives the status through a pidfd
 * opened while the process lived, as soon as it was reaped by whoever. Before that it is a zombie,
 * and field 52 of /proc/PID/stat has the status, if we may see it. The kernel prints 0 there for
 * those who may not: field 35 (wchan), which the kernel hides by the same rule and sets to 1 for a
 * process that is not running, tells the two apart. Guessing is forbidden: what cannot be known is
 * UNKNOWN.
 *
 * The pid may be a new process's by the time its stat is read. The start time settles that. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "keeper/keeper-internal.h"

/* <linux/pidfd.h> of this distribution is older than the kernels it meets. */
struct pidfd_info_v0 {
        uint64_t mask;
        uint64_t cgroupid;
        uint32_t pid, tgid, ppid;
        uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
        int32_t exit_code;
};
#define PIDFD_GET_INFO_V0   _IOWR(0xFF, 11, struct pidfd_info_v0)
#define PIDFD_INFO_EXIT_BIT (UINT64_C(1) << 3)

static void from_status(int status, KeeperExitSource source, KeeperExit *ret) {
        *ret = (KeeperExit){
                .code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                .signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                .core = WIFSIGNALED(status) && WCOREDUMP(status),
                .source = source,
        };
}

static bool from_pidfd(int pidfd, KeeperExit *ret) {
        struct pidfd_info_v0 info = { .mask = PIDFD_INFO_EXIT_BIT };

        if (ioctl(pidfd, PIDFD_GET_INFO_V0, &info) < 0 || !(info.mask & PIDFD_INFO_EXIT_BIT))
                return false;
        from_status(info.exit_code, KEEPER_EXIT_PIDFD, ret);
        return true;
}

/* The digits that begin here; what is not a number, or negative, is 0. */
static uint64_t leading_number(const char *p) {
        uint64_t n = 0;

        for (; *p >= '0' && *p <= '9'; p++)
                n = n * 10 + (uint64_t) (*p - '0');
        return n;
}

int keeper_proc_stat_parse(const char *text, KeeperProcStat *ret) {
        KeeperProcStat stat = {};
        unsigned field = 3;
        const char *p;

        /* The name (field 2) may hold anything, parentheses and spaces too: the last one ends it.
         */
        p = strrchr(text, ')');
        if (!p || p[1] != ' ' || p[2] == '\0')
                return -EBADMSG;
        stat.state = p[2];
        for (p = strchr(p + 2, ' '); p; p = strchr(p + 1, ' ')) {
                field++;
                if (field == 22)
                        stat.start_time = leading_number(p + 1);
                else if (field == 35)
                        stat.readable = leading_number(p + 1) != 0;
                else if (field == 52)
                        stat.exit_status = (int) leading_number(p + 1);
        }
        if (field < 52)
                return -EBADMSG;
        *ret = stat;
        return 0;
}

int keeper_proc_stat(pid_t pid, KeeperProcStat *ret) {
        _cleanup_close_ int fd = -EBADF;
        char path[32], text[2048];
        ssize_t n;

        (void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ESRCH : errno_neg();
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return errno_neg();
        text[n] = '\0';
        return keeper_proc_stat_parse(text, ret);
}

int keeper_exit_of(int pidfd, pid_t pid, uint64_t start_time, bool reaped, KeeperExit *ret) {
        KeeperProcStat stat;

        if (from_pidfd(pidfd, ret))
                return 0;
        if (!reaped && keeper_proc_stat(pid, &stat) >= 0 && stat.start_time == start_time) {
                if (stat.state != 'Z' || (stat.exit_status == 0 && !stat.readable))
                        return -EAGAIN;
                from_status(stat.exit_status, KEEPER_EXIT_ZOMBIE, ret);
                return 0;
        }
        /* Reaped between the two looks. */
        if (from_pidfd(pidfd, ret))
                return 0;
        *ret = (KeeperExit){ .code = -1, .source = KEEPER_EXIT_UNKNOWN };
        return 0;
}
