/* SPDX-License-Identifier: MIT */

/* Bringing a database up to date.
 *
 * All missing migrations run in one transaction together with the new version number, so a crash
 * leaves the old version or the new one. A database that has something in it is copied first, to
 * PATH.before-vN (copy.c), so a migration of a large database needs its size again as free space,
 * and says so by failing before anything was changed.
 *
 * store_meta is the store's own table: which schema this is, and the ceiling of the commit numbers
 * (writer.c). */

#include <stdio.h>

#include "base/str.h"
#include "store/store-internal.h"

static int back_up(StoreConnection *c, const char *path, unsigned version, char **ret_message) {
        _cleanup_free_ char *name = str_printf("%s.before-v%u", path, version);
        int r;

        if (!name)
                return -ENOMEM;
        r = store_copy_database(c, name);
        if (r == 0)
                return 0;
        return store_fail(ret_message, r, "cannot copy %s to %s before its migration: %s", path,
                          name, strerror(-r));
}

static int make_meta(StoreConnection *c) {
        _cleanup_free_ char *sql = str_printf(
                "PRAGMA application_id = %d;"
                "CREATE TABLE store_meta ("
                "id INTEGER PRIMARY KEY CHECK (id = 1), schema TEXT NOT NULL, commits INTEGER NOT NULL);"
                "INSERT INTO store_meta (id, schema, commits) VALUES (1, '%s', 0);",
                STORE_APPLICATION_ID, c->schema->name);

        return sql ? connection_exec(c, sql) : -ENOMEM;
}

static int apply(StoreConnection *c, unsigned version) {
        int r = version == 0 ? make_meta(c) : 0;

        for (size_t i = 0; r == 0 && i < c->schema->n_migrations; i++) {
                const StoreMigration *m = &c->schema->migrations[i];
                char pragma[64];

                if (m->version <= version)
                        continue;
                r = connection_exec(c, m->sql);
                if (r != 0)
                        break;
                (void) snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %u", m->version);
                r = connection_exec(c, pragma);
        }
        return r;
}

static int use_wal(StoreConnection *c, const char *path, char **ret_message) {
        sqlite3_stmt *stmt = NULL;
        bool is_wal;
        int code, r;

        r = connection_prepare(c, "PRAGMA journal_mode = WAL", &stmt);
        if (r < 0)
                return store_fail(ret_message, r, "cannot open %s: %s", path, strerror(-r));
        code = sqlite3_step(stmt);
        is_wal = code == SQLITE_ROW && streq_ptr((const char *) sqlite3_column_text(stmt, 0), "wal");
        if (code != SQLITE_ROW)
                r = store_sqlite_error(c->db, code);
        (void) sqlite3_finalize(stmt);
        if (r < 0)
                return store_fail(ret_message, r, "cannot write %s: %s", path, strerror(-r));
        if (!is_wal)
                return store_fail(ret_message, -EOPNOTSUPP,
                                  "the file system of %s cannot hold a database (no shared memory)",
                                  path);
        return 0;
}

int store_migrate(StoreConnection *c, const char *path, unsigned version, char **ret_message) {
        unsigned newest = c->schema->migrations[c->schema->n_migrations - 1].version;
        int r;

        r = use_wal(c, path, ret_message);
        if (r < 0 || version == newest)
                return r;
        if (version > 0) {
                r = back_up(c, path, newest, ret_message);
                if (r < 0)
                        return r;
        }
        r = connection_exec(c, "BEGIN IMMEDIATE");
        if (r == 0)
                r = apply(c, version);
        if (r == 0)
                r = connection_exec(c, "COMMIT");
        if (r == 0 && version == 0)
                r = store_sync_folder_of(path);
        if (r == 0)
                return 0;
        /* A migration that meets a constraint is broken, not a condition of the caller's. */
        r = r > 0 ? -EINVAL : r;
        (void) store_fail(ret_message, r, "cannot bring %s from version %u to %u: %s", path,
                          version, newest, sqlite3_errmsg(c->db));
        (void) connection_exec(c, "ROLLBACK");
        return r;
}
