/* SPDX-License-Identifier: MIT */

/* PIDFD_GET_INFO, and poll(). The kernel answers what it can and says by a mask what that was: an
 * older one fails with ENOTTY or leaves the bit out, and both mean "not known here". The structure
 * and the numbers are defined here, because the headers of Debian 12 are older than they are; its
 * first version is used, which every kernel that has the call understands. */

#include "base/pidfd.h"

#include <poll.h>
#include <sys/ioctl.h>

/* struct pidfd_info of linux/pidfd.h in its first version. */
typedef struct PidfdInfo {
        uint64_t mask;
        uint64_t cgroup_id;
        uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
        int32_t wait_status;
} PidfdInfo;

static_assert(sizeof(PidfdInfo) == 64, "the size is part of the ioctl number");

#define INFO_GET      _IOWR(0xFF, 11, PidfdInfo)
#define INFO_CGROUPID (UINT64_C(1) << 2)
#define INFO_EXIT     (UINT64_C(1) << 3)

bool pidfd_has_exited(int pidfd) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, 0) > 0 && (p.revents & (POLLIN | POLLHUP)) != 0;
}

/* Asks for EXIT in any case: without it a process that was reaped is ESRCH. */
static int get(int pidfd, uint64_t wanted, PidfdInfo *ret) {
        *ret = (PidfdInfo){ .mask = wanted | INFO_EXIT };
        return ioctl(pidfd, INFO_GET, ret) < 0 || !(ret->mask & wanted) ? -ENODATA : 0;
}

int pidfd_wait_status(int pidfd, int *ret) {
        PidfdInfo info;

        int r = get(pidfd, INFO_EXIT, &info);
        if (r >= 0)
                *ret = info.wait_status;
        return r;
}

int pidfd_cgroup_id(int pidfd, uint64_t *ret) {
        PidfdInfo info;

        int r = get(pidfd, INFO_CGROUPID, &info);
        if (r >= 0)
                *ret = info.cgroup_id;
        return r;
}
