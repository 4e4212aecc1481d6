/* SPDX-License-Identifier: MIT */

/* The files of an import, and the order in which they change names.
 *
 * PATH.import exists only when it is complete and synced, so it is the mark of success: whoever
 * finds it does the rest, as often as needed. The rest: the original's journals get out of the way
 * (a rollback journal of the old file beside the new one would be rolled back into it), the
 * original gets its second name by a hard link, and one rename puts the new database in its place.
 * Where there are no hard links two renames do, and PATH.import is there as long as PATH is not.
 *
 * A database that was left with a journal cannot be read without writing to it, so then a copy is
 * read; else the original itself is, by a connection that cannot write. The locks that SQLite takes
 * are asked for once, as SQLite would, because the old program may still run. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "import/import-internal.h"

static const char *const suffixes[] = { "-journal", "-wal", "-shm" };

int import_files_init(ImportFiles *f, const char *path) {
        *f = (ImportFiles){ .path = strdup(path) };
        f->original = str_printf("%s.original", path);
        f->part = str_printf("%s.import.part", path);
        f->done = str_printf("%s.import", path);
        f->copy = str_printf("%s.import.copy", path);
        f->report = str_printf("%s.import-report", path);
        return f->path && f->original && f->part && f->done && f->copy && f->report ? 0 : -ENOMEM;
}

void import_files_done(ImportFiles *f) {
        free(f->path);
        free(f->original);
        free(f->part);
        free(f->done);
        free(f->copy);
        free(f->report);
}

static int sync_folder_of(const char *path) {
        _cleanup_free_ char *folder = strdup(path);
        char *slash = folder ? strrchr(folder, '/') : NULL;

        if (!folder)
                return -ENOMEM;
        if (slash)
                slash[slash == folder ? 1 : 0] = '\0';
        _cleanup_close_ int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 || fsync(fd) < 0 ? errno_neg() : 0;
}

int import_files_probe(const ImportFiles *f) {
        _cleanup_close_ int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        unsigned char head[STORE_HEAD_SIZE];
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return errno == ENOENT ? 0 : errno_neg();
        return S_ISREG(st.st_mode) && pread(fd, head, sizeof(head), 0) == (ssize_t) sizeof(head) &&
               store_file_is_foreign(head);
}

bool import_files_is_locked(const ImportFiles *f) {
        _cleanup_free_ char *lock = str_printf("%s.lock", f->path), *message = NULL;
        _cleanup_close_ int fd = -EBADF;

        return lock && access(lock, F_OK) == 0 && store_lock_file(f->path, &fd, &message) == -EBUSY;
}

void import_files_clean(const ImportFiles *f) {
        static const char *const ours[] = { "", "-journal", "-wal", "-shm", ".lock" };
        const char *const files[] = { f->part, f->copy };

        for (size_t i = 0; i < ELEMENTSOF(files) * ELEMENTSOF(ours); i++) {
                _cleanup_free_ char *path =
                        str_printf("%s%s", files[i / ELEMENTSOF(ours)], ours[i % ELEMENTSOF(ours)]);
                if (path)
                        (void) unlink(path);
        }
}

/* ---- before ---- */

static int say(char **ret_message, int r, char *message) {
        free(*ret_message);
        *ret_message = message;
        return r;
}

/* SQLite's lock bytes are at 1 GiB; who holds none of them is in no transaction. */
static int check_unused(const ImportFiles *f, char **ret_message) {
        struct flock lock = {
                .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000000, .l_len = 512
        };
        _cleanup_close_ int fd = open(f->path, O_RDWR | O_CLOEXEC | O_NOCTTY);

        if (fd < 0)
                return errno == EROFS || errno == EACCES ? 0 : errno_neg();
        if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
                return 0;
        if (errno != EAGAIN && errno != EACCES)
                return errno_neg();
        return say(ret_message, -EBUSY,
                   str_printf("%s is a database of the original AgentRuntime and is in use: stop that "
                              "program, then start agentd again",
                              f->path));
}

static bool exists(const char *path) {
        return access(path, F_OK) == 0;
}

static int copy_file(const char *from, const char *to) {
        _cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_close_ int out =
                open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        ssize_t n = 0;

        if (in < 0 || out < 0)
                return errno_neg();
        do
                n = sendfile(out, in, NULL, (size_t) 1 << 30);
        while (n > 0);
        return n < 0 ? errno_neg() : 0;
}

/* The journals first: the copy of a database is worth nothing without them. */
static int copy_with_journals(ImportFiles *f) {
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                _cleanup_free_ char *from = str_printf("%s%s", f->path, suffixes[i]);
                _cleanup_free_ char *to = str_printf("%s%s", f->copy, suffixes[i]);
                if (!from || !to)
                        return -ENOMEM;
                if (streq(suffixes[i], "-shm") || !exists(from))
                        continue;
                f->is_copied = true;
                int r = copy_file(from, to);
                if (r < 0)
                        return r;
        }
        return f->is_copied ? copy_file(f->path, f->copy) : 0;
}

int import_files_prepare(ImportFiles *f, char **ret_message) {
        if (exists(f->original))
                return say(ret_message, -EEXIST,
                           str_printf("%s is to be imported, but %s is there already: move that away",
                                      f->path, f->original));
        int r = check_unused(f, ret_message);
        return r < 0 ? r : copy_with_journals(f);
}

/* ---- after ---- */

int import_files_complete(const ImportFiles *f) {
        _cleanup_free_ char *wal = str_printf("%s-wal", f->part);
        struct stat st;

        if (!wal)
                return -ENOMEM;
        if (stat(wal, &st) == 0 && st.st_size > 0)
                return -EIO; /* it was not closed as it should be */
        if (rename(f->part, f->done) < 0)
                return errno_neg();
        return sync_folder_of(f->path);
}

static int keep_journals(const ImportFiles *f) {
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                _cleanup_free_ char *from = str_printf("%s%s", f->path, suffixes[i]);
                _cleanup_free_ char *to = str_printf("%s%s", f->original, suffixes[i]);
                if (!from || !to)
                        return -ENOMEM;
                if (rename(from, to) < 0 && errno != ENOENT)
                        return errno_neg();
        }
        return sync_folder_of(f->path);
}

/* Linked by an earlier attempt, or there because path is gone already: that is as it should be. */
static int keep_original(const ImportFiles *f) {
        struct stat a, b;

        if (stat(f->path, &a) < 0)
                return errno == ENOENT && exists(f->original) ? 0 : errno_neg();
        if (stat(f->original, &b) == 0)
                return a.st_dev == b.st_dev && a.st_ino == b.st_ino ? 0 : -EEXIST;
        if (link(f->path, f->original) < 0 && rename(f->path, f->original) < 0)
                return errno_neg();
        return sync_folder_of(f->path);
}

int import_files_finish(const ImportFiles *f, char **ret_message) {
        if (!exists(f->done))
                return 0;
        int r = keep_journals(f);
        if (r == 0)
                r = keep_original(f);
        if (r == 0 && rename(f->done, f->path) < 0)
                r = errno_neg();
        if (r == 0)
                r = sync_folder_of(f->path);
        if (r < 0)
                return say(ret_message, r,
                           str_printf("%s was imported as %s, which cannot take its place: %s",
                                      f->path, f->done, strerror(-r)));
        import_files_clean(f);
        return 1;
}
