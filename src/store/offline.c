/* SPDX-License-Identifier: MIT */

/* Databases from outside, see offline.h.
 *
 * The copy is made by SQLite's backup calls from a connection that is in a read transaction: then they
 * never start over, which makes them useless on a busy database otherwise (copy.c), and the copy is of
 * the moment at which the transaction began. VACUUM INTO cannot be used here: it wants no transaction. */

#include "store/offline.h"

#include <fcntl.h>

#include "base/str.h"
#include "store/store-internal.h"

#define PIECE_PAGES 1024

static const StoreSchema no_schema = { .name = "none", .n_statements = 0 };

int store_lock_file(const char *path, int *ret_fd, char **ret_message) {
        return store_lock(path, ret_fd, ret_message);
}

static int copy_pages(sqlite3 *to, sqlite3 *from) {
        sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
        int code;

        if (!b)
                return store_sqlite_error(to, sqlite3_errcode(to));
        do
                code = sqlite3_backup_step(b, PIECE_PAGES);
        while (code == SQLITE_OK);
        (void) sqlite3_backup_finish(b);
        return code == SQLITE_DONE ? 0 : store_sqlite_error(to, code);
}

int store_copy_snapshot(StoreReader *r, const char *path) {
        _cleanup_close_ int fd =
                open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        StoreConnection to = {};

        if (fd < 0)
                return errno_neg();
        int k = connection_open(&to, path, &no_schema, STORE_CONNECTION_RAM_WRITER, 0);
        if (k < 0)
                return k;
        k = copy_pages(to.db, reader_connection(r)->db);
        connection_close(&to, true);
        if (k > 0)
                k = -EIO;
        return k == 0 && fsync(fd) < 0 ? errno_neg() : k;
}

static int edit(StoreConnection *c, const char *sql) {
        _cleanup_free_ char *all = str_printf("BEGIN IMMEDIATE; %s; COMMIT", sql);
        int r = all ? connection_exec(c, all) : -ENOMEM;

        return r > 0 ? -EUCLEAN : r;
}

int store_edit(const char *path, const char *sql) {
        StoreConnection c = {};
        int r = connection_open(&c, path, &no_schema, STORE_CONNECTION_WRITER, 0);

        if (r < 0)
                return r;
        r = edit(&c, sql);
        connection_close(&c, true);
        return r;
}
