/* SPDX-License-Identifier: MIT */

/* Read connections and their cursors.
 *
 * A cursor is part of its reader, one per statement, so a query allocates nothing and parses nothing; a
 * statement that is queried again while it is open gets a cursor of its own that is freed with it.
 * Values are bound, not copied: a query does not outlive its caller's data. The connection is read-only,
 * so a statement that writes is refused by SQLite and not by a rule of ours. */

#include "store/store-internal.h"

#define READER_MAGIC 0x52444552u /* "REDR" */
#define CURSOR_MAGIC 0x43555253u /* "SRUC" */

struct StoreCursor {
        uint32_t magic;
        bool open;
        bool at_row, at_end;
        bool is_extra; /* nested: owns its statement and itself */
        StoreReader *reader;
        sqlite3_stmt *stmt;
};

struct StoreReader {
        uint32_t magic;
        unsigned snapshot_depth;
        unsigned n_open;
        StoreConnection connection;
        sqlite3_stmt *begin, *end, *touch;
        StoreCursor cursors[]; /* by statement */
};

int reader_open(StoreReader **ret, const char *path, const StoreSchema *schema, size_t cache_bytes) {
        _cleanup_(store_reader_freep) StoreReader *reader = NULL;
        StoreConnection *c;
        int r;

        reader = calloc(1, sizeof(*reader) + schema->n_statements * sizeof(StoreCursor));
        if (!reader)
                return -ENOMEM;
        reader->magic = READER_MAGIC;
        c = &reader->connection;
        r = connection_open(c, path, schema, STORE_CONNECTION_READER, cache_bytes);
        if (r == 0)
                r = connection_prepare(c, "BEGIN", &reader->begin);
        if (r == 0)
                r = connection_prepare(c, "ROLLBACK", &reader->end);
        if (r == 0)
                r = connection_prepare(c, "SELECT 1 FROM sqlite_schema LIMIT 1", &reader->touch);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(reader);
        return 0;
}

StoreConnection *reader_connection(StoreReader *r) {
        OBJ_CHECK(r, READER_MAGIC);
        return &r->connection;
}

StoreReader *store_reader_free(StoreReader *r) {
        if (!r)
                return NULL;
        OBJ_CHECK(r, READER_MAGIC);
        assert(r->n_open == 0);
        (void) sqlite3_finalize(r->begin);
        (void) sqlite3_finalize(r->end);
        (void) sqlite3_finalize(r->touch);
        connection_close(&r->connection, false);
        r->magic = 0;
        free(r);
        return NULL;
}

int store_read_begin(StoreReader *r) {
        int k;

        OBJ_CHECK(r, READER_MAGIC);
        if (r->snapshot_depth == 0) {
                k = connection_run(&r->connection, r->begin);
                if (k < 0)
                        return k;
                /* BEGIN alone takes no snapshot yet; the first read does. */
                k = connection_run(&r->connection, r->touch);
                if (k < 0) {
                        (void) connection_run(&r->connection, r->end);
                        return k;
                }
        }
        r->snapshot_depth++;
        return 0;
}

void store_read_end(StoreReader *r) {
        OBJ_CHECK(r, READER_MAGIC);
        assert(r->snapshot_depth > 0);
        if (--r->snapshot_depth == 0)
                (void) connection_run(&r->connection, r->end);
}

static int extra_cursor(StoreReader *r, StoreCursor **ret, unsigned statement) {
        StoreCursor *c = calloc(1, sizeof(*c));
        int k;

        if (!c)
                return -ENOMEM;
        k = connection_prepare(&r->connection, r->connection.schema->statements[statement].sql,
                               &c->stmt);
        if (k < 0) {
                free(c);
                return k;
        }
        c->is_extra = true;
        *ret = c;
        return 0;
}

static int take_cursor(StoreReader *r, StoreCursor **ret, unsigned statement) {
        StoreCursor *c = &r->cursors[statement];
        int k;

        if (c->open)
                k = extra_cursor(r, &c, statement);
        else
                k = connection_statement(&r->connection, statement, &c->stmt);
        if (k < 0)
                return k;
        c->magic = CURSOR_MAGIC;
        c->reader = r;
        c->open = true;
        c->at_row = c->at_end = false;
        r->n_open++;
        *ret = c;
        return 0;
}

int store_query(
        StoreReader *r, StoreCursor **ret, unsigned statement, const StoreValue *values, size_t n) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int k;

        OBJ_CHECK(r, READER_MAGIC);
        assert(statement < r->connection.schema->n_statements);
        assert(n == r->connection.schema->statements[statement].n_params);
        k = take_cursor(r, &c, statement);
        for (size_t i = 0; k == 0 && i < n; i++)
                k = statement_bind(c->stmt, (unsigned) i, &values[i]);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(c);
        return 0;
}

int store_next(StoreCursor *c) {
        int code, r;

        OBJ_CHECK(c, CURSOR_MAGIC);
        if (c->at_end)
                return 0; /* SQLite would run the query again */
        errno = 0;
        code = sqlite3_step(c->stmt);
        c->at_row = code == SQLITE_ROW;
        if (c->at_row)
                return 1;
        r = code == SQLITE_DONE ? 0 : store_sqlite_error(c->reader->connection.db, code);
        /* Lets the snapshot go now and not when the cursor is freed. */
        c->at_end = true;
        (void) sqlite3_reset(c->stmt);
        return r;
}

StoreCursor *store_cursor_free(StoreCursor *c) {
        if (!c)
                return NULL;
        OBJ_CHECK(c, CURSOR_MAGIC);
        assert(c->open);
        c->open = false;
        c->at_row = false;
        c->reader->n_open--;
        if (c->is_extra) {
                (void) sqlite3_finalize(c->stmt);
                c->magic = 0;
                free(c);
                return NULL;
        }
        /* The values that were bound are about to disappear. */
        (void) sqlite3_reset(c->stmt);
        (void) sqlite3_clear_bindings(c->stmt);
        return NULL;
}

static sqlite3_stmt *row(StoreCursor *c, unsigned col) {
        OBJ_CHECK(c, CURSOR_MAGIC);
        assert(c->at_row);
        assert((int) col < sqlite3_column_count(c->stmt));
        return c->stmt;
}

bool store_is_null(StoreCursor *c, unsigned col) {
        return sqlite3_column_type(row(c, col), (int) col) == SQLITE_NULL;
}

int64_t store_int(StoreCursor *c, unsigned col) {
        return sqlite3_column_int64(row(c, col), (int) col);
}

uint64_t store_id(StoreCursor *c, unsigned col) {
        return (uint64_t) store_int(c, col);
}

double store_real(StoreCursor *c, unsigned col) {
        return sqlite3_column_double(row(c, col), (int) col);
}

const char *store_text(StoreCursor *c, unsigned col, size_t *ret_n) {
        const unsigned char *text = sqlite3_column_text(row(c, col), (int) col);

        if (ret_n)
                *ret_n = (size_t) sqlite3_column_bytes(c->stmt, (int) col);
        return (const char *) text;
}

const void *store_blob(StoreCursor *c, unsigned col, size_t *ret_n) {
        const void *blob = sqlite3_column_blob(row(c, col), (int) col);

        if (ret_n)
                *ret_n = (size_t) sqlite3_column_bytes(c->stmt, (int) col);
        /* SQLite has no address for an empty blob. */
        if (!blob && sqlite3_column_type(c->stmt, (int) col) == SQLITE_BLOB)
                return "";
        return blob;
}

JsonSpan store_span(StoreCursor *c, unsigned col) {
        JsonSpan v = {};

        v.p = store_text(c, col, &v.n);
        return v;
}

int store_backup(StoreReader *r, const char *path) {
        OBJ_CHECK(r, READER_MAGIC);
        assert(r->snapshot_depth == 0 && r->n_open == 0);
        return store_copy_database(&r->connection, path);
}
