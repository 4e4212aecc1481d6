/* SPDX-License-Identifier: MIT */

/* One file or link into the store, while its owner may be writing to it.
 *
 * Size and times are taken before and after reading; when they differ the file is read once more,
 * and what is read then stands: a log that grows all the time has to be recorded at some length.
 * Small files are read into memory, larger ones streamed, so memory is bounded whatever the size
 * limit. mmap() was rejected: a file that shrinks meanwhile would kill the daemon with SIGBUS.
 *
 * Whether a file may be taken for unchanged next time is git's racy rule: if its ctime is not older
 * than the moment before we read it, by more than the clock's grain, a later write could leave the
 * same times. ctime alone decides, for programs can set mtime. */

#include <fcntl.h>
#include <time.h>

#include "session/workspace-internal.h"

#define NSEC_PER_SEC INT64_C(1000000000)
/* The kernel stamps files with the last tick, up to 10 ms old. */
#define GRAIN_NSEC INT64_C(20000000)
/* For file systems that keep whole or even seconds. */
#define GRAIN_COARSE_NSEC (2 * NSEC_PER_SEC)

#define MEMORY_SIZE_MAX ((uint64_t) 1 << 20)
#define STREAM_STEP     ((size_t) 256 << 10)

static int64_t to_nsec(struct timespec t) {
        return (int64_t) t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

void workspace_entry_set_stat(WorkspaceEntry *e, const struct stat *st) {
        e->size_bytes = (uint64_t) st->st_size;
        e->inode = st->st_ino;
        e->mtime_ns = to_nsec(st->st_mtim);
        e->ctime_ns = to_nsec(st->st_ctim);
}

bool workspace_entry_same_stat(const WorkspaceEntry *a, const WorkspaceEntry *b) {
        return a->size_bytes == b->size_bytes && a->inode == b->inode &&
               a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

static int64_t now_nsec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        return to_nsec(now);
}

static bool is_racy(const WorkspaceEntry *e, int64_t read_at_nsec) {
        bool coarse = e->ctime_ns % NSEC_PER_SEC == 0;

        return e->ctime_ns + (coarse ? GRAIN_COARSE_NSEC : GRAIN_NSEC) >= read_at_nsec;
}

int workspace_read_condition(int error) {
        switch (error) {
        case ENOENT:
        case ELOOP:
        case ENOTDIR:
        case ENXIO:
        case ESTALE:
                return WORKSPACE_READ_GONE;
        case EACCES:
        case EPERM:
        case EIO:
                return WORKSPACE_READ_UNREADABLE;
        default:
                return error > 0 ? -error : -EIO;
        }
}

/* At most n bytes; fewer at the end of the file. */
static ssize_t read_up_to(int fd, char *data, size_t n) {
        size_t have = 0;

        while (have < n) {
                ssize_t k = read(fd, data + have, n - have);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return errno_neg();
                if (k == 0)
                        break;
                have += (size_t) k;
        }
        return (ssize_t) have;
}

static int store_from_memory(const WorkspaceReader *rd, int fd, WorkspaceEntry *e) {
        size_t n = (size_t) e->size_bytes;
        _cleanup_free_ char *data = malloc(n + 1);

        if (!data)
                return -ENOMEM;
        ssize_t k = read_up_to(fd, data, n);
        if (k < 0)
                return workspace_read_condition((int) -k);
        int r = rd->module->write(rd->store, WORKSPACE_OBJECT_BLOB, data, (size_t) k, e->oid);
        e->size_bytes = (uint64_t) k;
        return r;
}

static int copy_to_stream(const WorkspaceReader *rd, int fd, WorkspaceStream *w, uint64_t left) {
        _cleanup_free_ char *data = malloc(STREAM_STEP);

        if (!data)
                return -ENOMEM;
        while (left > 0) {
                ssize_t k = read_up_to(fd, data, MIN((size_t) left, STREAM_STEP));
                if (k < 0)
                        return workspace_read_condition((int) -k);
                if (k == 0)
                        return WORKSPACE_READ_CHANGING;
                int r = rd->module->stream_write(w, data, (size_t) k);
                if (r < 0)
                        return r;
                left -= (uint64_t) k;
        }
        return 0;
}

static int store_by_stream(const WorkspaceReader *rd, int fd, WorkspaceEntry *e) {
        WorkspaceStream *w;
        int r = rd->module->stream_new(rd->store, e->size_bytes, &w);

        if (r < 0)
                return r;
        r = copy_to_stream(rd, fd, w, e->size_bytes);
        if (r == 0)
                return rd->module->stream_finish(w, e->oid);
        (void) rd->module->stream_drop(w);
        return r;
}

/* 0 and e filled from what is open now, with *ret_steady whether it stood still. */
static int read_once(
        const WorkspaceReader *rd, int fd, uint64_t size_max, WorkspaceEntry *e, bool *ret_steady) {
        int64_t read_at_nsec = now_nsec();
        WorkspaceEntry after;
        struct stat st;

        if (lseek(fd, 0, SEEK_SET) < 0 || fstat(fd, &st) < 0)
                return workspace_read_condition(errno);
        if (!S_ISREG(st.st_mode))
                return WORKSPACE_READ_GONE;
        workspace_entry_set_stat(e, &st);
        if (e->size_bytes > size_max)
                return WORKSPACE_READ_TOO_LARGE;

        uint64_t size_before = e->size_bytes;
        int r = size_before <= MEMORY_SIZE_MAX ? store_from_memory(rd, fd, e)
                                               : store_by_stream(rd, fd, e);
        if (r != 0)
                return r;
        if (fstat(fd, &st) < 0)
                return workspace_read_condition(errno);
        after = *e;
        workspace_entry_set_stat(&after, &st);
        *ret_steady = e->size_bytes == size_before && workspace_entry_same_stat(e, &after);
        e->racy = !*ret_steady || is_racy(e, read_at_nsec);
        return 0;
}

int workspace_read_file(const WorkspaceReader *rd,
                        int dir_fd,
                        const char *name,
                        uint64_t size_max,
                        WorkspaceEntry *e) {
        bool steady = false;
        int r = 0;

        /* O_NONBLOCK: it may be a FIFO by now */
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return workspace_read_condition(errno);
        for (unsigned attempt = 0; attempt < 2 && !steady; attempt++) {
                r = read_once(rd, fd, size_max, e, &steady);
                if (r != 0 && r != WORKSPACE_READ_CHANGING)
                        return r;
        }
        return r;
}

int workspace_read_link(const WorkspaceReader *rd, int dir_fd, const char *name, WorkspaceEntry *e) {
        int64_t read_at_nsec = now_nsec();
        char target[4096];
        ssize_t n = readlinkat(dir_fd, name, target, sizeof(target));

        if (n < 0)
                return errno == EINVAL ? (int) WORKSPACE_READ_GONE : workspace_read_condition(errno);
        e->racy = is_racy(e, read_at_nsec);
        return rd->module->write(rd->store, WORKSPACE_OBJECT_BLOB, target, (size_t) n, e->oid);
}
