/* SPDX-License-Identifier: MIT */
#pragma once

/* The store: typed transactions in, completions out.
 *
 * What may be said to a database is declared once, as data: a StoreSchema has the numbered
 * migrations and one row per statement (its text and the types of its parameters). A transaction is
 * a list of (statement, values), copied at once, handed to the database's one writer thread. That
 * thread takes all that is queued, runs it in the order of submission, commits it as ONE database
 * transaction with a full sync, and only then are the completions delivered, on the loop thread, in
 * the order of submission, with the commit's number. So: no reply before its commit, and 64 clients
 * share a sync.
 *
 * A transaction is all or nothing also within its group: when one of its statements fails or an
 * expectation is not met, it alone is undone, the others of the group commit.
 *
 * When a commit fails (full disk, I/O error), everything in the group AND everything submitted
 * before that failure was delivered fails with the same error, because it may build on what was
 * lost; then on_failed() is called once, on the loop thread, after the failed completions, so that
 * the owner of objects in memory reads them again. After it the store accepts writes as before.
 *
 * Reads: store_query() on the loop thread's own read connection, or on a StoreReader that a pool
 * thread owns. Both see committed snapshots only. Readers never checkpoint the WAL.
 *
 * Threads: a Store belongs to the loop thread; every function is called there, except
 * store_reader_open() and everything that takes a StoreReader or StoreCursor of one's own.
 *
 * URL: a path, or `memory:` (files in a private folder of a RAM file system, removed at the end:
 * the same code without a disk, for tests). `postgres://` is refused with a message as long as that
 * backend is not built.
 *
 * The program must ignore SIGXFSZ, as every daemon with a file size limit: then a limit that is hit
 * is an error (-EFBIG) like a full disk. */

#include <systemd/sd-event.h>

#include "base/json.h"

typedef struct Store Store;
typedef struct StoreTxn StoreTxn;
typedef struct StoreReader StoreReader;
typedef struct StoreCursor StoreCursor;

/* Conditions of a completion (positive results). */
enum {
        STORE_E_CONFLICT =
                1, /* an expectation was not met (no row changed) or a constraint refused it */
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
        STORE_EXPECT_CHANGE =
                1 << 0, /* no row changed: the transaction fails with STORE_E_CONFLICT */
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
        size_t cache_bytes; /* page cache of each connection; 0: 2 MiB */
        size_t queue_max; /* transactions under way at most; 0: 65536. Beyond: -EAGAIN at submit */
        size_t queue_max_bytes; /* their memory, one that is alone excepted; 0: 128 MiB. Likewise */
        size_t group_max;       /* transactions in a commit at most; 0: all that wait */
        uint64_t wal_max_bytes; /* the writer checkpoints the WAL above this; 0: 16 MiB */
} StoreOptions;

/* Opens or creates, applies missing migrations in one transaction after copying an existing database to
 * PATH.before-vN (N: the new version), and checks the file as far as that is quick (see check.c).
 * event may be NULL: completions then come in store_flush() only. The folder must exist.
 * Errors, each with *ret_message for people (ret_message may be NULL; the caller frees):
 *   -EBUSY           another process has it open: it holds an open file description lock on PATH.lock
 *   -EUCLEAN         corrupt, or not a database at all
 *   -EMEDIUMTYPE     a sound SQLite database, but of another program or another schema
 *   -EOVERFLOW       written by a newer version of this program
 *   -EPROTONOSUPPORT a URL that is not understood
 *   or what the system said. The database is as it was then. */
int store_open(Store **ret,
               sd_event *event,
               const char *url,
               const StoreSchema *schema,
               const StoreOptions *options,
               char **ret_message);
/* Commits everything queued, delivers the completions, stops the thread, truncates the WAL, closes.
 * Not from a completion, and all StoreReaders but the loop thread's must be gone. NULL is fine. */
Store *store_free(Store *s);
DEFINE_CLEANUP(Store *, store_free);

/* ---- writing ---- */

/* NULL: out of memory. It need not be checked: the two functions that follow take NULL, and
 * store_submit() says -ENOMEM. */
StoreTxn *store_txn_new(Store *s);
StoreTxn *store_txn_free(StoreTxn *t);
DEFINE_CLEANUP(StoreTxn *, store_txn_free);
/* Copies the values. Errors stick and are reported by store_submit(). n must equal the statement's. */
void store_txn_add(StoreTxn *t, unsigned statement, const StoreValue *values, size_t n);
#define STORE_ADD(t, statement, ...)                                         \
        store_txn_add((t), (statement), (const StoreValue[]){ __VA_ARGS__ }, \
                      sizeof((const StoreValue[]){ __VA_ARGS__ }) / sizeof(StoreValue))

/* r: 0, STORE_E_CONFLICT or negative errno (-ENOSPC, -EIO, -EROFS…). commit: the number of the
 * commit; 0 unless r is 0. Numbers go up by one per commit; after a restart they go on above all
 * earlier ones and may leave some out. */
typedef void (*StoreDoneFn)(int r, uint64_t commit, void *userdata);

/* Takes the transaction over in every case. Returns 0 (the completion will come, never before this
 * call returns), or there will be no completion: -ENOMEM, -E2BIG (a value or the whole above 1 GB),
 * -EAGAIN (queue full), or the error of a failed commit while the completions of what it lost are
 * being delivered. done may be NULL. */
int store_submit(Store *s, StoreTxn *txn, StoreDoneFn done, void *userdata);
/* A completion behind everything submitted so far; costs no sync of its own. Errors as store_submit(). */
int store_barrier(Store *s, StoreDoneFn done, void *userdata);
/* Waits on the calling (loop) thread until all that is queued was committed and delivered: for
 * start-up, shutdown and tests. Not from a completion. 0, or what poll(2) said. */
int store_flush(Store *s);

/* The number of the last commit that was delivered; before the first one, a number above all
 * commits of earlier lives of the database. */
uint64_t store_last_commit(const Store *s);
typedef struct StoreStats {
        uint64_t transactions; /* committed */
        uint64_t commits, failures;
        uint64_t queued;  /* submitted and not yet delivered */
        usec_t sync_usec; /* time spent in commits */
        uint64_t db_bytes, wal_bytes;
} StoreStats;
void store_stats(const Store *s, StoreStats *ret);

/* ---- reading ---- */

/* A read connection of one's own, for a pool thread; may be called there. It must be freed before
 * the store and be used by one thread at a time. */
int store_reader_open(StoreReader **ret, Store *s);
StoreReader *store_reader_free(StoreReader *r);
DEFINE_CLEANUP(StoreReader *, store_reader_free);
StoreReader *store_reader(Store *s); /* the loop thread's; owned by the store */

/* One snapshot for several queries: between begin and end. Nesting is counted. Without it a query sees
 * what was committed when it started, but while any cursor of the same reader is open, all its queries
 * share that one's snapshot. An old snapshot keeps the WAL from being reused: no waiting inside. */
int store_read_begin(StoreReader *r);
void store_read_end(StoreReader *r);

/* Starts a query. Text and blobs are not copied: they must live until the cursor is freed. The same
 * statement may be queried again while a cursor of it is open (that one costs a parse of its text). */
int store_query(
        StoreReader *r, StoreCursor **ret, unsigned statement, const StoreValue *values, size_t n);
#define STORE_QUERY(r, ret, statement, ...)                                       \
        store_query((r), (ret), (statement), (const StoreValue[]){ __VA_ARGS__ }, \
                    sizeof((const StoreValue[]){ __VA_ARGS__ }) / sizeof(StoreValue))
/* 1: a row; 0: no more (and from then on); negative errno. */
int store_next(StoreCursor *c);
StoreCursor *store_cursor_free(StoreCursor *c);
DEFINE_CLEANUP(StoreCursor *, store_cursor_free);

/* Columns of the current row, from 0; pointers live until the next store_next(), and text is
 * followed by a NUL byte. An empty text or blob is not NULL. */
bool store_is_null(StoreCursor *c, unsigned col);
int64_t store_int(StoreCursor *c, unsigned col);                     /* NULL: 0 */
uint64_t store_id(StoreCursor *c, unsigned col);                     /* NULL: 0 */
double store_real(StoreCursor *c, unsigned col);                     /* NULL: 0 */
const char *store_text(StoreCursor *c, unsigned col, size_t *ret_n); /* NULL: NULL; ret_n may be NULL */
const void *store_blob(StoreCursor *c, unsigned col, size_t *ret_n);
JsonSpan store_span(StoreCursor *c, unsigned col);

/* Writes a consistent copy of the whole database to a file of mode 0600 (replacing one of that
 * name) while writing goes on. Takes as long as reading it all: for a reader of a pool thread,
 * outside store_read_begin() and without an open cursor. */
int store_backup(StoreReader *r, const char *path);

/* ---- databases of other programs ---- */

/* The first bytes of a file: a SQLite database that no agentd wrote? Without opening it, because
 * that may change it. */
#define STORE_HEAD_SIZE 100
bool store_file_is_foreign(const unsigned char head[static STORE_HEAD_SIZE]);
/* A reader of a database of another program, which schema's statements describe. is_copy: it is the
 * caller's own copy and may be written, to finish what its program left half done; else it must
 * have no journal and no WAL beside it. -EUCLEAN: damaged. */
int store_foreign_open(StoreReader **ret, const char *path, const StoreSchema *schema, bool is_copy);
