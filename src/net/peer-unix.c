/* SPDX-License-Identifier: MIT */

/* The process at the other end of a unix socket. SO_PEERCRED is what it was when it connected,
 * which no later exec or setuid changes. Its cgroup is asked through a pidfd:
 *
 *   SO_PEERPIDFD (Linux 6.5) is the very process that connected, even if it has ended meanwhile;
 *   before that a pidfd is made from the number, which may in theory mean another process by now: a
 *   connection is identified at accept, so a whole turn of the pid space would have to fit between
 *   connect and accept.
 *
 *   PIDFD_GET_INFO (6.13) gives the cgroup's id, of a process that has ended too (6.15). Before
 * that /proc/PID/cgroup is read, and the process must still be alive afterwards, so that the number
 *   meant it while we read.
 */

#include <linux/magic.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/pidfd.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/peer-internal.h"

#ifndef SO_PEERPIDFD
#        define SO_PEERPIDFD 77
#endif

static int open_pidfd(int fd, pid_t pid) {
        int pidfd = -1;
        socklen_t n = sizeof(pidfd);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &n) >= 0)
                return pidfd;
        return errno == ENOPROTOOPT ? pidfd_open(pid, 0) : -1;
}

static const char *cgroup_root(void) {
        static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
        struct statfs s;

        ARRAY_FOREACH(place, places)
                if (statfs(*place, &s) >= 0 && s.f_type == CGROUP2_SUPER_MAGIC)
                        return *place;
        return NULL;
}

/* The id of a cgroup is the inode number of its folder. */
static bool cgroup_from_proc(pid_t pid, uint64_t *ret) {
        _cleanup_free_ char *path = NULL, *folder = NULL;
        const char *root = cgroup_root();
        struct stat st;

        if (!root || proc_cgroup(pid, &path) < 0)
                return false;
        folder = str_printf("%s%s", root, path);
        if (!folder || stat(folder, &st) < 0)
                return false;
        *ret = st.st_ino;
        return true;
}

static bool cgroup_of(int pidfd, pid_t pid, uint64_t *ret) {
        uint64_t id;

        if (pidfd_cgroup_id(pidfd, ret) >= 0)
                return true;
        if (!cgroup_from_proc(pid, &id) || pidfd_has_exited(pidfd))
                return false;
        *ret = id;
        return true;
}

void peer_ask_credentials(int fd, Peer *ret) {
        struct ucred cred;
        socklen_t n = sizeof(cred);

        ret->kind = PEER_UNIX;
        (void) snprintf(ret->address, sizeof(ret->address), "unix");
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0 || cred.uid == (uid_t) -1)
                return;
        ret->uid = cred.uid;
        ret->flags |= PEER_HAS_UID;

        /* 0: it is in a pid namespace that we cannot see. */
        if (cred.pid <= 0)
                return;
        ret->pid = cred.pid;
        _cleanup_close_ int pidfd = open_pidfd(fd, cred.pid);
        if (pidfd >= 0 && cgroup_of(pidfd, cred.pid, &ret->cgroup_id))
                ret->flags |= PEER_HAS_CGROUP;
}
