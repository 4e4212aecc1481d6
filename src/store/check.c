/* SPDX-License-Identifier: MIT */

/* Is this file a database of ours, sound and not too new?
 *
 * Asked before anything is written, so that a file that is refused is left as it was. What is
 * looked at: the first bytes (a text file named by mistake must not be called corrupt by SQLite
 * after it wrote beside it), that the file is as long as its header says and that the schema can be
 * parsed (SQLite does both at its first read), whose it is, and its version.
 *
 * Reading every page (PRAGMA quick_check) takes 1.3 ms a MiB with a warm cache, so it is done only
 * after the last user did not close the database, which is when a power cut or a broken disk may
 * have left its mark, and only for small files: a start must take milliseconds, also after a crash.
 * In a big one SQLite's own checks of each page as it is read (cell_size_check) find damage, and
 * `agentd fsck` does. */

#include <fcntl.h>
#include <sys/stat.h>

#include "base/str.h"
#include "store/store-internal.h"

#define QUICK_CHECK_MAX_BYTES ((off_t) 16 << 20)
#define MAGIC                 "SQLite format 3" /* and the NUL byte: 16 bytes */

static int create(const char *path, char **ret_message) {
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        int r;

        if (fd >= 0)
                return 0;
        r = errno_neg();
        return store_fail(ret_message, r, "cannot create %s: %s", path, strerror(-r));
}

static bool journal_exists(const char *path, const char *suffix) {
        _cleanup_free_ char *journal = str_printf("%s%s", path, suffix);
        struct stat st;

        return !journal || (stat(journal, &st) == 0 && st.st_size > 0);
}

/* A power cut may leave a file that has its size and not its bytes yet. SQLite puts it right by the
 * journal, which was synced before. */
static bool is_cut_short(const char *path, const char head[static sizeof(MAGIC)]) {
        static const char nothing[sizeof(MAGIC)];

        return memcmp(head, nothing, sizeof(nothing)) == 0 &&
               (journal_exists(path, "-journal") || journal_exists(path, "-wal"));
}

int store_check_file(const char *path, bool *ret_unclean, char **ret_message) {
        _cleanup_close_ int fd = -EBADF;
        char head[sizeof(MAGIC)] = {};
        struct stat st;
        int r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 && errno == ENOENT) {
                r = create(path, ret_message);
                if (r == 0)
                        *ret_unclean = false;
                return r;
        }
        if (fd < 0 || fstat(fd, &st) < 0) {
                r = errno_neg();
                return store_fail(ret_message, r, "cannot open %s: %s", path, strerror(-r));
        }
        if (!S_ISREG(st.st_mode))
                return store_fail(ret_message, -EUCLEAN, "%s is not a regular file", path);
        *ret_unclean = journal_exists(path, "-wal");
        ssize_t n = pread(fd, head, sizeof(head), 0);
        if (n < 0) {
                r = errno_neg();
                return store_fail(ret_message, r, "cannot read %s: %s", path, strerror(-r));
        }
        if (n == 0 || (n == (ssize_t) sizeof(head) && memcmp(head, MAGIC, sizeof(MAGIC)) == 0))
                return 0;
        if (!is_cut_short(path, head))
                return store_fail(ret_message, -EUCLEAN, "%s is not a database", path);
        *ret_unclean = true;
        return 0;
}

static int corrupt(const char *path, int r, char **ret_message) {
        return r == -EUCLEAN ? store_fail(ret_message, r, "%s is corrupt", path)
                             : store_fail(ret_message, r, "cannot read %s: %s", path, strerror(-r));
}

/* Whether store_meta names this schema; a program's two databases must not be mixed up. */
static int check_schema_name(StoreConnection *c, const char *path, char **ret_message) {
        _cleanup_free_ char *sql = NULL;
        int64_t same;
        int r;

        sql = str_printf("SELECT schema = '%s' FROM store_meta", c->schema->name);
        if (!sql)
                return -ENOMEM;
        r = connection_int(c, sql, &same);
        if (r < 0)
                return corrupt(path, r, ret_message);
        if (!same)
                return store_fail(ret_message, -EMEDIUMTYPE,
                                  "%s is not the database \"%s\" but another one of agentd", path,
                                  c->schema->name);
        return 0;
}

static int check_pages(StoreConnection *c, const char *path, char **ret_message) {
        sqlite3_stmt *stmt = NULL;
        int code, r;

        r = connection_prepare(c, "PRAGMA quick_check(1)", &stmt);
        if (r < 0)
                return corrupt(path, r, ret_message);
        code = sqlite3_step(stmt);
        if (code != SQLITE_ROW)
                r = corrupt(path, store_sqlite_error(c->db, code), ret_message);
        else if (!streq_ptr((const char *) sqlite3_column_text(stmt, 0), "ok"))
                r = store_fail(ret_message, -EUCLEAN, "%s is corrupt: %s", path,
                               (const char *) sqlite3_column_text(stmt, 0));
        (void) sqlite3_finalize(stmt);
        return r;
}

static int check_owner(StoreConnection *c, const char *path, int64_t *ret_version, char **ret_message) {
        int64_t application, version, n_tables;
        int r;

        r = connection_int(c, "PRAGMA application_id", &application);
        if (r >= 0)
                r = connection_int(c, "PRAGMA user_version", &version);
        if (r >= 0)
                r = connection_int(c, "SELECT COUNT(*) FROM sqlite_schema", &n_tables);
        if (r < 0)
                return corrupt(path, r, ret_message);
        if (application == 0 && version == 0 && n_tables == 0) {
                *ret_version = 0;
                return 0;
        }
        if (application != STORE_APPLICATION_ID)
                return store_fail(ret_message, -EMEDIUMTYPE, "%s belongs to another program", path);
        r = check_schema_name(c, path, ret_message);
        if (r == 0)
                *ret_version = version;
        return r;
}

int store_check_database(StoreConnection *c,
                         const char *path,
                         bool unclean,
                         unsigned *ret_version,
                         char **ret_message) {
        unsigned newest = c->schema->migrations[c->schema->n_migrations - 1].version;
        int64_t version = 0;
        struct stat st;
        int r;

        r = check_owner(c, path, &version, ret_message);
        if (r < 0)
                return r;
        if (version < 0 || version > (int64_t) newest)
                return store_fail(ret_message, -EOVERFLOW,
                                  "%s has schema version %lld, but this agentd knows only versions "
                                  "up to %u: use the newer agentd that wrote it",
                                  path, (long long) version, newest);
        if (unclean && stat(path, &st) == 0 && st.st_size <= QUICK_CHECK_MAX_BYTES) {
                r = check_pages(c, path, ret_message);
                if (r < 0)
                        return r;
        }
        *ret_version = (unsigned) version;
        return 0;
}
