/* SPDX-License-Identifier: MIT */

/* Putting a backup in its place. All of it goes to a folder beside first (.restore.part, on the
 * same file system), is compared with the manifest and synced; only then is anything of the place
 * touched, by renames, the databases last. Whoever restores the wrong file loses nothing: with
 * force what was there is moved away as a whole, not removed.
 *
 * Runs that were alive in the backup are given the name of no boot. Their processes may even live,
 * if the backup is put elsewhere on its own machine; they belong to the daemon there. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "backup/backup-internal.h"
#include "backup/backup.h"
#include "base/fs.h"
#include "base/str.h"
#include "store/offline.h"
#include "store/schema-memory.h"
#include "store/schema-state.h"

/* What a backup may bring, and what of the old data must not lie beside it; the databases last. */
static const char *const parts[] = {
        "bodies",        "workspaces",    "logs",      "state.db-wal", "state.db-shm",
        "memory.db-wal", "memory.db-shm", "memory.db", "state.db",
};

int backup_sync_folder_of(const char *path) {
        _cleanup_free_ char *folder = strdup(path);
        char *slash = folder ? strrchr(folder, '/') : NULL;

        if (!folder)
                return -ENOMEM;
        if (slash)
                slash[slash == folder ? 1 : 0] = '\0';
        _cleanup_close_ int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 || fsync(fd) < 0 ? errno_neg() : 0;
}

static unsigned newest(const StoreSchema *s) {
        return s->migrations[s->n_migrations - 1].version;
}

static int explain(const char *path, int r, char **ret_message) {
        const char *why = r == -EMEDIUMTYPE ? "it is no backup of agentd"
                          : r == -EBADMSG   ? "it is damaged or was cut short; nothing was changed"
                          : r == -EOVERFLOW ? "a newer agentd made it; use that one"
                                            : strerror(-r);

        return backup_say(ret_message, r, str_printf("cannot use %s: %s", path, why));
}

static int read_checked(const char *path, int dir_fd, BackupResult *ret, char **ret_message) {
        _cleanup_(backup_check_freep) BackupCheck *c = NULL;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return explain(path, errno_neg(), ret_message);
        int r = backup_check_new(&c);
        if (r >= 0)
                r = backup_check_read(c, fd, dir_fd);
        if (r >= 0)
                r = backup_check_manifest(c, newest(&state_schema), newest(&memory_schema));
        if (r < 0)
                return explain(path, r, ret_message);
        backup_check_totals(c, &ret->files, &ret->bytes);
        ret->size = (uint64_t) st.st_size;
        return 0;
}

int backup_verify(const char *path, BackupResult *ret, char **ret_message) {
        return read_checked(path, -EBADF, ret, ret_message);
}

/* ---- the place ---- */

static int has_data(int dir_fd) {
        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                if (faccessat(dir_fd, parts[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                        return 1;
        return 0;
}

/* Away with what is there, whole. */
static int move_away(const char *dir, int dir_fd, char **ret_old) {
        struct tm tm;
        char stamp[32];
        time_t now = (time_t) (clock_realtime() / USEC_PER_SEC);

        (void) gmtime_r(&now, &tm);
        (void) strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
        _cleanup_free_ char *old = str_printf("%s.before-restore-%s", dir, stamp);
        if (!old)
                return -ENOMEM;
        if (mkdir(old, 0700) < 0)
                return errno_neg();
        _cleanup_close_ int old_fd = open(old, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (old_fd < 0)
                return errno_neg();
        for (size_t i = ELEMENTSOF(parts); i-- > 0;)
                if (renameat(dir_fd, parts[i], old_fd, parts[i]) < 0 && errno != ENOENT)
                        return errno_neg();
        *ret_old = TAKE_PTR(old);
        return fsync(old_fd) < 0 ? errno_neg() : 0;
}

static int move_in(int part_fd, int dir_fd) {
        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                if (renameat(part_fd, parts[i], dir_fd, parts[i]) < 0 && errno != ENOENT)
                        return errno_neg();
        return fsync(dir_fd) < 0 ? errno_neg() : 0;
}

static int forget_processes(const char *part) {
        _cleanup_free_ char *state = path_join(part, "state.db");

        return state ? store_edit(state, "UPDATE runs SET boot_id = 'restored', pid = NULL, "
                                         "pidfd_id = NULL, start_time = NULL WHERE state < 3")
                     : -ENOMEM;
}

/* As if each had been stopped: 3 is RUN_ENDED and SESSION_STOPPED, 6 SUP_RESULT_LOST, 1 and 2 are
 * SESSION_RUNNING and PAUSED, 12 SUBSTATE_EXITED. What these rooms call them is on disk for
 * good. A record without a process stays as it was. */
static int stop_sessions(const char *part) {
        _cleanup_free_ char *state = path_join(part, "state.db");
        long long now = (long long) clock_realtime();
        _cleanup_free_ char *sql = str_printf(
                "UPDATE runs SET state = 3, token_hash = NULL, ended_at = %lld, result = 6, "
                "reason = 'it was running when the backup was made' WHERE state < 3;"
                "UPDATE sessions SET status = 3, substate = 12, restart_at = NULL, stopped_at = %lld, "
                "reason = 'restored from a backup without being started' "
                "WHERE status IN (1, 2) AND run IS NOT NULL",
                now, now);

        return state && sql ? store_edit(state, sql) : -ENOMEM;
}

static int fill_part(
        const char *path, const char *part, unsigned flags, BackupResult *ret, char **ret_message) {
        int r = fs_remove_tree(AT_FDCWD, part);

        if (r >= 0 && mkdir(part, 0700) < 0)
                r = errno_neg();
        if (r < 0)
                return r;
        _cleanup_close_ int fd = open(part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno_neg();
        r = read_checked(path, fd, ret, ret_message);
        if (r >= 0)
                r = flags & RESTORE_STOPPED ? stop_sessions(part) : forget_processes(part);
        return r >= 0 && syncfs(fd) < 0 ? errno_neg() : r;
}

static int put_in_place(const char *part, const char *dir, int dir_fd, bool force, char **ret_old) {
        _cleanup_close_ int fd = open(part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = fd < 0 ? errno_neg() : 0;

        if (r >= 0 && force && has_data(dir_fd))
                r = move_away(dir, dir_fd, ret_old);
        return r < 0 ? r : move_in(fd, dir_fd);
}

static int check_place(const char *dir, int dir_fd, bool force, int *ret_lock, char **ret_message) {
        _cleanup_free_ char *state = path_join(dir, "state.db");
        int r = state ? store_lock_file(state, ret_lock, ret_message) : -ENOMEM;

        if (r == -EBUSY)
                return backup_say(ret_message, r,
                                  str_printf("a daemon runs on %s: stop it first (agentd stop)", dir));
        if (r >= 0 && !force && has_data(dir_fd))
                return backup_say(ret_message, -ENOTEMPTY,
                                  str_printf("%s has data already: name another folder with --to, or "
                                             "--force to move it away",
                                             dir));
        return r;
}

/* The folder that was made for a backup which could not be used. */
static void remove_new(const char *dir, int dir_fd) {
        if (dir_fd >= 0)
                (void) unlinkat(dir_fd, "state.db.lock", 0);
        (void) rmdir(dir);
}

int backup_restore(const char *path,
                   const char *dir,
                   unsigned flags,
                   BackupResult *ret,
                   char **ret_old,
                   char **ret_message) {
        _cleanup_free_ char *part = path_join(dir, ".restore.part");
        _cleanup_close_ int lock = -EBADF, dir_fd = -EBADF;
        bool force = flags & RESTORE_FORCE, is_new = access(dir, F_OK) < 0;
        int r = part ? fs_mkdir_p(dir, 0700) : -ENOMEM;

        if (r >= 0)
                dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (r >= 0 && dir_fd < 0)
                r = errno_neg();
        if (r >= 0)
                r = check_place(dir, dir_fd, force, &lock, ret_message);
        if (r >= 0)
                r = fill_part(path, part, flags, ret, ret_message);
        if (r >= 0)
                r = put_in_place(part, dir, dir_fd, force, ret_old);
        if (part)
                (void) fs_remove_tree(AT_FDCWD, part);
        if (r < 0 && is_new)
                remove_new(dir, dir_fd);
        if (r < 0 && !*ret_message)
                return backup_say(ret_message, r,
                                  str_printf("cannot restore to %s: %s", dir, strerror(-r)));
        return r;
}
