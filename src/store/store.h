/* SPDX-License-Identifier: MIT */
#pragma once

/* The store: typed transactions in, completions out.
 *
 * What may be said to a database is declared once, as data: a StoreSchema has the numbered migrations and
 * one row per statement (its text and the types of its parameters). A transaction is a list of
 * (statement, values), copied at once, handed to the database's one writer thread. That thread takes all
 * that is queued, runs it in the order of submission, commits it as ONE database transaction with a full
 * sync, and only then are the completions delivered, on the loop thread, in the order of submission, with
 * the commit's number. So: no reply before its commit, and 64 clients share a sync.
 *
 * A transaction is all or nothing also within its group: when one of its statements fails or an expectation
 * is not met, it alone is undone, the others of the group commit.
 *
 * When a commit fails (full disk, I/O error), everything in the group AND everything submitted before
 * that failure was delivered fails with the same error, because it may build on what was lost; then
 * on_failed() is called once, on the loop thread, after the failed completions, so that the
 * owner of objects in memory reads them again. After it the store accepts writes as before.
 *
 * Reads: store_query() on the loop thread's own read connection, or on a StoreReader that a pool thread
 * owns. Both see committed snapshots only. Readers never checkpoint the WAL.
 *
 * URL: a path, or `memory:` (SQLite's shared in-memory VFS: the same code without a disk, for tests).
 * `postgres://` is refused with a message as long as that backend is not built. */

#include <systemd/sd-event.h>

#include "base/json.h"

typedef struct Store Store;
typedef struct StoreTxn StoreTxn;
typedef struct StoreReader StoreReader;
typedef struct StoreCursor StoreCursor;

/* Conditions of a completion (positive results). */
enum {
        STORE_E_CONFLICT = 1, /* an expectation was not met (no row changed) or a constraint refused it */
};

typedef enum StoreType {
        STORE_TYPE_NULL,
        STORE_TYPE_INT,
        STORE_TYPE_TEXT,
        STORE_TYPE_BLOB,
} StoreType;

typedef struct StoreValue {
        StoreType type;
        int64_t i;
        const void *p;
        size_t n;
} StoreValue;

static inline StoreValue STORE_INT(int64_t v) {
        return (StoreValue){ .type = STORE_TYPE_INT, .i = v };
}
/* Ids are positive int64; 0 is stored as NULL. */
static inline StoreValue STORE_ID(uint64_t id) {
        return id ? (StoreValue){ .type = STORE_TYPE_INT, .i = (int64_t) id } : (StoreValue){};
}
/* NULL is stored as NULL. */
static inline StoreValue STORE_TEXT(const char *s) {
        return s ? (StoreValue){ .type = STORE_TYPE_TEXT, .p = s, .n = strlen(s) } : (StoreValue){};
}
static inline StoreValue STORE_TEXT_N(const char *s, size_t n) {
        return s ? (StoreValue){ .type = STORE_TYPE_TEXT, .p = s, .n = n } : (StoreValue){};
}
static inline StoreValue STORE_SPAN(JsonSpan v) {
        return STORE_TEXT_N(v.p, v.n);
}
static inline StoreValue STORE_BLOB(const void *p, size_t n) {
        return p ? (StoreValue){ .type = STORE_TYPE_BLOB, .p = p, .n = n } : (StoreValue){};
}

enum {
        STORE_EXPECT_CHANGE = 1 << 0, /* no row changed: the transaction fails with STORE_E_CONFLICT */
};

typedef struct StoreStatement {
        const char *name; /* for messages */
        const char *sql;  /* parameters ?1 ?2 … */
        unsigned n_params;
        unsigned flags;
} StoreStatement;

typedef struct StoreMigration {
        unsigned version; /* ascending from 1 */
        const char *sql;  /* several statements */
} StoreMigration;

typedef struct StoreSchema {
        const char *name; /* "state", "memory" */
        const StoreMigration *migrations;
        size_t n_migrations;
        const StoreStatement *statements; /* index = the enum of the schema's header */
        size_t n_statements;
} StoreSchema;

typedef struct StoreOptions {
        /* After a failed commit, see above. May be NULL. */
        void (*on_failed)(int error, void *userdata);
        void *userdata;
        size_t cache_bytes;   /* page cache of each connection; 0: 2 MiB */
        size_t queue_max;     /* transactions waiting at most; 0: 65536. Beyond: -EAGAIN at submit */
        uint64_t wal_max_bytes; /* the writer checkpoints the WAL above this; 0: 16 MiB */
} StoreOptions;

/* Opens or creates, applies missing migrations in one transaction after copying the database to
 * PATH.before-vN, checks the file's integrity quickly (header, schema, quick sanity; not a full scan).
 * Errors with *ret_message for people (may be NULL; caller frees):
 *   -EUCLEAN corrupt, -ENOTUNIQ… no: -EBUSY another daemon has it open (a lock file PATH.lock held with
 *   an open file description lock for the store's life), -EOVERFLOW written by a newer program, -EPROTONOSUPPORT
 *   unknown URL, or what the system said. Nothing is changed then. */
int store_open(Store **ret,
               sd_event *event,
               const char *url,
               const StoreSchema *schema,
               const StoreOptions *options,
               char **ret_message);
/* Commits everything queued, delivers the completions, stops the thread, truncates the WAL, closes. */
Store *store_free(Store *s);
DEFINE_CLEANUP(Store *, store_free);

/* ---- writing ---- */

StoreTxn *store_txn_new(Store *s); /* NULL: out of memory */
StoreTxn *store_txn_free(StoreTxn *t);
DEFINE_CLEANUP(StoreTxn *, store_txn_free);
/* Copies the values. Errors stick and are reported by store_submit(). n must equal the statement's. */
void store_txn_add(StoreTxn *t, unsigned statement, const StoreValue *values, size_t n);
#define STORE_ADD(t, statement, ...)                                                                 \
        store_txn_add((t), (statement), (const StoreValue[]){ __VA_ARGS__ },                         \
                      sizeof((const StoreValue[]){ __VA_ARGS__ }) / sizeof(StoreValue))

/* r: 0, STORE_E_CONFLICT or negative errno (-ENOSPC, -EIO, -EROFS…). commit: number of the commit, ascending
 * by one per group, durable; 0 on failure. */
typedef void (*StoreDoneFn)(int r, uint64_t commit, void *userdata);

/* Takes the transaction over in every case. Returns 0 (the completion will come, never before this call
 * returns), or -ENOMEM or -EAGAIN (queue full) and there will be no completion. done may be NULL. */
int store_submit(Store *s, StoreTxn *t, StoreDoneFn done, void *userdata);
/* A completion behind everything submitted so far; costs no sync when nothing is queued. */
int store_barrier(Store *s, StoreDoneFn done, void *userdata);
/* Waits on the calling (loop) thread until all that is queued was committed and delivered: for start-up,
 * shutdown and tests. */
int store_flush(Store *s);

uint64_t store_last_commit(const Store *s);
typedef struct StoreStats {
        uint64_t transactions, commits, failures;
        uint64_t queued;   /* now */
        usec_t sync_usec;  /* time spent in commits */
        uint64_t db_bytes, wal_bytes;
} StoreStats;
void store_stats(const Store *s, StoreStats *ret);

/* ---- reading ---- */

/* A read connection for a pool thread; the one that store_query() uses is opened by store_open(). */
int store_reader_open(StoreReader **ret, Store *s);
StoreReader *store_reader_free(StoreReader *r);
DEFINE_CLEANUP(StoreReader *, store_reader_free);
StoreReader *store_reader(Store *s); /* the loop thread's; owned by the store */

/* One snapshot for several queries: between begin and end. Nesting is counted. */
int store_read_begin(StoreReader *r);
void store_read_end(StoreReader *r);

/* Starts a query; the values are copied or bound until the cursor is freed (they must live that long).
 * A statement has one cursor at a time per reader unless it is nested: then a second one is prepared. */
int store_query(StoreReader *r, StoreCursor **ret, unsigned statement, const StoreValue *values, size_t n);
#define STORE_QUERY(r, ret, statement, ...)                                                          \
        store_query((r), (ret), (statement), (const StoreValue[]){ __VA_ARGS__ },                    \
                    sizeof((const StoreValue[]){ __VA_ARGS__ }) / sizeof(StoreValue))
/* 1: a row; 0: no more; negative errno. */
int store_next(StoreCursor *c);
StoreCursor *store_cursor_free(StoreCursor *c);
DEFINE_CLEANUP(StoreCursor *, store_cursor_free);

/* Columns of the current row, from 0; pointers live until the next store_next(). */
bool store_is_null(StoreCursor *c, unsigned col);
int64_t store_int(StoreCursor *c, unsigned col); /* NULL: 0 */
uint64_t store_id(StoreCursor *c, unsigned col); /* NULL: 0 */
const char *store_text(StoreCursor *c, unsigned col, size_t *ret_n); /* NULL: NULL; ret_n may be NULL */
const void *store_blob(StoreCursor *c, unsigned col, size_t *ret_n);
JsonSpan store_span(StoreCursor *c, unsigned col);
