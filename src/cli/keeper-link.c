/* SPDX-License-Identifier: MIT */

/* The keeper seen from outside: its lock and its control socket, as keeper/protocol.h describes them.
 *
 * Whether a keeper lives is asked of its lock, which the kernel drops with the process; the pid in
 * the file is only printed. F_OFD_GETLK takes no lock itself, so that asking never makes a keeper
 * that starts at this moment fail. */

#include "cli/keeper-link.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "keeper/message.h"

#define ANSWER_MSEC 10000

static pid_t read_pid(int fd) {
        char text[24] = "";
        uint64_t pid;

        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
        text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
        return str_to_u64(text, &pid) >= 0 && pid <= INT32_MAX ? (pid_t) pid : 0;
}

static int find_holder(const char *path, pid_t *ret) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
                return 0;
        *ret = read_pid(fd);
        return 1;
}

int keeper_find(const char *runtime_dir, pid_t *ret) {
        _cleanup_free_ char *path = path_join(runtime_dir, "keeper.lock");

        return path ? find_holder(path, ret) : 0;
}

int daemon_find(const char *db, pid_t *ret) {
        _cleanup_free_ char *path = str_printf("%s.lock", db);

        if (!path || access(path, F_OK) < 0)
                return -ENOENT;
        return find_holder(path, ret);
}

bool keeper_has_daemon(pid_t keeper) {
        _cleanup_(dir_closep) DIR *dir = opendir("/proc");
        const struct dirent *e;
        ProcStat stat;
        uint64_t pid;

        while (dir && (e = readdir(dir))) {
                char path[64], comm[32] = "";

                if (str_to_u64(e->d_name, &pid) < 0 || proc_stat((pid_t) pid, &stat) < 0 ||
                    stat.ppid != keeper || stat.state == 'Z')
                        continue;
                (void) snprintf(path, sizeof(path), "/proc/%.20s/comm", e->d_name);
                _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd >= 0 && read(fd, comm, sizeof(comm) - 1) > 0 &&
                    str_startswith(comm, "agentd-daemon"))
                        return true;
        }
        return !dir;
}

static int connect_control(const char *runtime_dir, int *ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int dir = -EBADF, fd = -EBADF;

        dir = open(runtime_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return errno_neg();
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return errno_neg();
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/keeper.sock",
                        dir);
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return errno_neg();
        *ret = TAKE_FD(fd);
        return 0;
}

/* Each word with a NUL behind it, in a file of its own. */
static int write_words(char *const *argv, int *ret) {
        _cleanup_close_ int fd = memfd_create("agentd-command-line", MFD_CLOEXEC);

        if (fd < 0)
                return errno_neg();
        for (; *argv; argv++) {
                int r = fd_write_all(fd, *argv, strlen(*argv) + 1);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_FD(fd);
        return 0;
}

int keeper_start_daemon(const char *runtime_dir, const int *fds, size_t n_fds, char *const *argv) {
        KeeperMsg msg = { .type = KEEPER_START, .start.has_arguments = 1 };
        _cleanup_close_ int fd = -EBADF, words = -EBADF;
        int all[LISTEN_FDS_MAX + 1];
        size_t n = 0;

        assert(n_fds <= LISTEN_FDS_MAX);
        int r = write_words(argv, &words);
        if (r >= 0)
                r = connect_control(runtime_dir, &fd);
        memcpy(all, fds, n_fds * sizeof(int));
        all[n_fds] = words;
        if (r >= 0)
                r = keeper_msg_send(fd, &msg, all, n_fds + 1);
        if (r < 0)
                return r;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, ANSWER_MSEC) <= 0)
                return -ETIMEDOUT;
        r = keeper_msg_recv(fd, &msg, NULL, 0, &n);
        if (r <= 0)
                return r < 0 ? r : -ECONNRESET;
        return msg.type == KEEPER_CONTROL_OK ? 0 : -EBUSY;
}

int process_open(pid_t pid, const char *program) {
        _cleanup_free_ char *comm = NULL, *path = str_printf("/proc/%d/comm", (int) pid);
        _cleanup_close_ int fd = -EBADF;
        size_t n = 0;

        if (!path)
                return -ENOMEM;
        fd = pid > 0 ? pidfd_open(pid, 0) : -1;
        if (fd >= 0 && !program)
                return TAKE_FD(fd);
        if (fd < 0 || fs_read_file(AT_FDCWD, path, 64, &comm, &n) < 0)
                return -ESRCH;
        comm[strcspn(comm, "\n")] = '\0';
        return streq(comm, program) ? TAKE_FD(fd) : -ESRCH;
}

bool process_wait(int pidfd, uint64_t timeout_usec) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        int r;

        do
                r = poll(&p, 1, (int) MIN(timeout_usec / 1000, (uint64_t) INT32_MAX));
        while (r < 0 && errno == EINTR);
        return r > 0;
}
