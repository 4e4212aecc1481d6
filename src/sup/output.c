/* SPDX-License-Identifier: MIT */

/* Output of a run: two FIFOs in the runtime folder that the agent holds open read-write, and three
 * files in the log folder that the keeper splices to.
 *
 * Bytes are in the FIFO or in the file, never in a process. But a FIFO's bytes die with its last
 * opener: if the keeper dies and the agent right after it, nobody would be left. So the daemon
 * keeps the read ends open as well, without reading: two descriptors a run, and the bytes outlive
 * both. Only when there is no keeper for a run that has ended does the daemon move them itself,
 * with the index records that the keeper would have written, and takes nothing that it cannot write.
 *
 * Opened O_RDONLY | O_NONBLOCK: that never waits for a writer. The keeper gets descriptors and not
 * paths, so its table needs no strings. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/str.h"
#include "sup/sup-internal.h"

#define BLOCK (64U << 10)

int output_init(RunOutput *o, const SupManager *m, uint64_t session, uint64_t run) {
        static const char *const fifos[] = { "out", "err" };
        static const char *const logs[] = { "out", "err", "idx" };
        char run_id[ID_STRING_SIZE], session_id[ID_STRING_SIZE];

        id_format(run, run_id);
        id_format(session, session_id);
        o->folder = str_printf("%s/runs/%s", m->runtime_dir, run_id);
        for (size_t i = 0; o->folder && i < ELEMENTSOF(fifos); i++)
                if (!(o->fifo[i] = path_join(o->folder, fifos[i])))
                        return -ENOMEM;
        for (size_t i = 0; session != 0 && i < ELEMENTSOF(logs); i++)
                if (!(o->log[i] = str_printf("%s/%s/%s.%s", m->log_dir, session_id, run_id, logs[i])))
                        return -ENOMEM;
        return o->folder ? 0 : -ENOMEM;
}

void output_done(RunOutput *o) {
        free(o->folder);
        for (size_t i = 0; i < ELEMENTSOF(o->fifo); i++) {
                free(o->fifo[i]);
                fd_close(o->fd[i]);
        }
        for (size_t i = 0; i < ELEMENTSOF(o->log); i++)
                free(o->log[i]);
        *o = RUN_OUTPUT_INIT;
}

static int open_fifo(const char *path, bool create, int *ret) {
        if (create && mkfifo(path, 0600) < 0 && errno != EEXIST)
                return errno_neg();
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return errno_neg();
        *ret = fd;
        return 0;
}

/* RUNTIME/runs/RUN. A cleaner of temporary folders may have taken all of it while we ran; it is
 * made again, but not in a folder that somebody else put in the place of ours meanwhile. */
static int make_folder(const char *folder) {
        _cleanup_free_ char *runtime = strdup(folder);
        struct stat st;

        if (mkdir(folder, 0700) >= 0 || errno == EEXIST)
                return 0;
        if (errno != ENOENT)
                return errno_neg();
        for (size_t i = 0; runtime && i < 2; i++)
                *strrchr(runtime, '/') = '\0';
        if (!runtime)
                return -ENOMEM;
        if (lstat(runtime, &st) >= 0 && st.st_uid != geteuid())
                return -EPERM;
        return fs_mkdir_p(folder, 0700);
}

int output_open(RunOutput *o, bool create) {
        int made = create ? make_folder(o->folder) : 0;
        if (made < 0)
                return made;
        for (size_t i = 0; i < ELEMENTSOF(o->fifo); i++) {
                if (o->fd[i] >= 0)
                        continue;
                int r = open_fifo(o->fifo[i], create, &o->fd[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int open_log(const char *path, int flags, int *ret) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
        if (fd < 0 && errno == ENOENT) {
                _cleanup_free_ char *folder = strndup(path, (size_t) (strrchr(path, '/') - path));
                int r = folder ? fs_mkdir_p(folder, 0700) : -ENOMEM;
                if (r < 0)
                        return r;
                fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
        }
        if (fd < 0)
                return errno_neg();
        *ret = fd;
        return 0;
}

/* The index is appended to; the others are spliced to at an offset, which O_APPEND forbids. */
static int open_logs(const RunOutput *o, int fds[static 3]) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < 3; i++)
                r = o->log[i] ? open_log(o->log[i], i == 2 ? O_APPEND : 0, &fds[i]) : -ENOENT;
        for (size_t i = 0; r < 0 && i < 3; i++)
                fds[i] = fd_close(fds[i]);
        return r;
}

int output_fds(const RunOutput *o, int fds[static _KEEPER_FD_MAX]) {
        for (size_t i = KEEPER_FD_OUT; i < _KEEPER_FD_MAX; i++)
                fds[i] = -EBADF;
        if (o->fd[0] < 0 || o->fd[1] < 0)
                return -EBADF;
        int r = open_logs(o, &fds[KEEPER_FD_OUT_LOG]);
        if (r < 0)
                return r;
        for (size_t i = 0; i < 2; i++) {
                fds[KEEPER_FD_OUT + i] = fcntl(o->fd[i], F_DUPFD_CLOEXEC, 3);
                if (fds[KEEPER_FD_OUT + i] < 0)
                        r = errno_neg();
        }
        for (size_t i = KEEPER_FD_OUT; r < 0 && i < _KEEPER_FD_MAX; i++)
                fds[i] = fd_close(fds[i]);
        return r;
}

size_t output_left(const RunOutput *o) {
        size_t left = 0;

        for (size_t i = 0; i < ELEMENTSOF(o->fd); i++) {
                int n = 0;
                if (o->fd[i] >= 0 && ioctl(o->fd[i], FIONREAD, &n) == 0 && n > 0)
                        left += (size_t) n;
        }
        return left;
}

static int put_record(int index, off_t end, uint64_t bit) {
        KeeperIndexRecord record = { .time_usec = clock_realtime(), .end = (uint64_t) end | bit };

        return fd_write_all(index, &record, sizeof(record));
}

/* One stream: FIFO to the end of the log. As in the keeper by splice(), which takes nothing from
 * the FIFO that it has not written. The record is written even if nothing was moved now: the last
 * try, or a keeper that died, may have left one out. */
static int drain_stream(int fifo, int log, int index, uint64_t bit) {
        loff_t end = lseek(log, 0, SEEK_END);
        ssize_t n;

        if (end < 0)
                return errno_neg();
        do
                n = splice(fifo, NULL, log, &end, BLOCK, SPLICE_F_NONBLOCK);
        while (n > 0 || (n < 0 && errno == EINTR));
        int r = n == 0 || errno == EAGAIN ? 0 : errno_neg();
        int e = end > 0 ? put_record(index, end, bit) : 0;
        return r < 0 ? r : e;
}

int output_drain(const RunOutput *o) {
        int logs[3] = { -EBADF, -EBADF, -EBADF };
        int r = open_logs(o, logs);

        for (size_t i = 0; r >= 0 && i < 2; i++)
                if (o->fd[i] >= 0)
                        r = drain_stream(o->fd[i], logs[i], logs[2],
                                         i == 0 ? 0 : KEEPER_INDEX_STREAM_ERR);
        for (size_t i = 0; i < 3; i++)
                fd_close(logs[i]);
        return r;
}

void output_remove(RunOutput *o) {
        if (o->folder)
                (void) fs_remove_tree(AT_FDCWD, o->folder);
}
