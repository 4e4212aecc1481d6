/* SPDX-License-Identifier: MIT */

/* A SQLite connection with the settings of this program and a cache of prepared statements.
 *
 * Every connection is used by one thread at a time, so SQLite's own mutexes are off (NOMUTEX), and so is
 * its memory accounting, whose one global lock the threads would meet at every allocation. No mmap: an
 * I/O error behind a mapping is a SIGBUS and not an error code. Nobody checkpoints the WAL but the
 * writer, when it chooses; closing a connection does not either unless told to, so that a refused
 * database is left as it was found.
 *
 * Statements are prepared when they are first used: all of them at start would cost a few milliseconds
 * and a quarter of a megabyte per connection for statements that many connections never use. */

#include <limits.h>

#include "base/str.h"
#include "store/store-internal.h"

#define CACHE_BYTES_DEFAULT ((size_t) 2 << 20)
#define BUSY_MSEC           5000 /* somebody else writes: an sqlite3 shell, a backup */

static void configure_library(void) {
        (void) sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
        (void) sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
        /* Undo information of a savepoint stays in memory: no temporary files. */
        (void) sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1);
}

static int set_options(sqlite3 *db) {
        static const struct {
                int option;
                int value;
        } options[] = {
                { SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1 }, { SQLITE_DBCONFIG_DEFENSIVE, 1 },
                { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },   { SQLITE_DBCONFIG_DQS_DML, 0 },
                { SQLITE_DBCONFIG_DQS_DDL, 0 },          { SQLITE_DBCONFIG_ENABLE_FKEY, 0 },
        };

        ARRAY_FOREACH(o, options) {
                int code = sqlite3_db_config(db, o->option, o->value, NULL);
                if (code != SQLITE_OK)
                        return store_sqlite_error(db, code);
        }
        return 0;
}

/* What does not touch the file; the rest is set when the file was checked (migrate.c). */
static int set_pragmas(StoreConnection *c, StoreConnectionKind kind, size_t cache_bytes) {
        _cleanup_free_ char *sql = NULL;

        (void) sqlite3_wal_autocheckpoint(c->db, 0);
        (void) sqlite3_busy_timeout(c->db, BUSY_MSEC);
        sql = str_printf("PRAGMA page_size = 4096;"
                         "PRAGMA cache_size = -%zu;"
                         "PRAGMA temp_store = MEMORY;"
                         "PRAGMA mmap_size = 0;"
                         "PRAGMA cell_size_check = ON;"
                         "PRAGMA synchronous = %s;",
                         MAX((cache_bytes ?: CACHE_BYTES_DEFAULT) / 1024, (size_t) 1),
                         kind == STORE_CONNECTION_WRITER ? "FULL" : "OFF");
        if (!sql)
                return -ENOMEM;
        return connection_exec(c, sql);
}

int connection_open(StoreConnection *c,
                    const char *path,
                    const StoreSchema *schema,
                    StoreConnectionKind kind,
                    size_t cache_bytes) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        int code, r, flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

        (void) pthread_once(&once, configure_library);
        flags |= kind == STORE_CONNECTION_READER ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
        c->schema = schema;
        /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is meant */
        c->statements = calloc(schema->n_statements, sizeof(*c->statements));
        if (!c->statements)
                return -ENOMEM;
        code = sqlite3_open_v2(path, &c->db, flags, NULL);
        if (code != SQLITE_OK) {
                r = store_sqlite_error(c->db, code);
                connection_close(c, false);
                return r;
        }
        r = set_options(c->db);
        if (r >= 0)
                r = set_pragmas(c, kind, cache_bytes);
        if (r < 0)
                connection_close(c, false);
        return r;
}

void connection_close(StoreConnection *c, bool checkpoint) {
        int code;

        for (size_t i = 0; c->statements && i < c->schema->n_statements; i++)
                (void) sqlite3_finalize(c->statements[i]);
        free(TAKE_PTR(c->statements));
        if (!c->db)
                return;
        if (checkpoint)
                (void) sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        code = sqlite3_close(c->db);
        assert(code == SQLITE_OK); /* else a statement was forgotten */
        c->db = NULL;
}

int connection_prepare(StoreConnection *c, const char *sql, sqlite3_stmt **ret) {
        int code = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);

        return code == SQLITE_OK ? 0 : store_sqlite_error(c->db, code);
}

int connection_statement(StoreConnection *c, unsigned statement, sqlite3_stmt **ret) {
        assert(statement < c->schema->n_statements);
        if (!c->statements[statement]) {
                const char *sql = c->schema->statements[statement].sql;
                int r = connection_prepare(c, sql, &c->statements[statement]);
                if (r < 0)
                        return r;
        }
        *ret = c->statements[statement];
        return 0;
}

int connection_run(StoreConnection *c, sqlite3_stmt *stmt) {
        int code, r;

        errno = 0;
        do
                code = sqlite3_step(stmt);
        while (code == SQLITE_ROW);
        r = code == SQLITE_DONE ? 0 : store_sqlite_error(c->db, code);
        (void) sqlite3_reset(stmt); /* may end a transaction, and change errno */
        return r;
}

int connection_exec(StoreConnection *c, const char *sql) {
        int code;

        errno = 0;
        code = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
        return code == SQLITE_OK ? 0 : store_sqlite_error(c->db, code);
}

int connection_int(StoreConnection *c, const char *sql, int64_t *ret) {
        sqlite3_stmt *stmt = NULL;
        int64_t value = 0;
        int code, r;

        r = connection_prepare(c, sql, &stmt);
        if (r < 0)
                return r;
        errno = 0;
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW)
                value = sqlite3_column_int64(stmt, 0);
        else if (code != SQLITE_DONE)
                r = store_sqlite_error(c->db, code);
        (void) sqlite3_finalize(stmt);
        if (r == 0)
                *ret = value;
        return r;
}

int statement_bind(sqlite3_stmt *stmt, unsigned i, const StoreValue *v) {
        int code, k = (int) i + 1;

        switch (v->type) {
        case STORE_TYPE_NULL:
                code = sqlite3_bind_null(stmt, k);
                break;
        case STORE_TYPE_INT:
                code = sqlite3_bind_int64(stmt, k, v->i);
                break;
        case STORE_TYPE_TEXT:
                code = sqlite3_bind_text64(stmt, k, v->p, v->n, SQLITE_STATIC, SQLITE_UTF8);
                break;
        case STORE_TYPE_BLOB:
                code = sqlite3_bind_blob64(stmt, k, v->p, v->n, SQLITE_STATIC);
                break;
        default:
                return -EINVAL;
        }
        return code == SQLITE_OK ? 0 : store_sqlite_error(sqlite3_db_handle(stmt), code);
}
