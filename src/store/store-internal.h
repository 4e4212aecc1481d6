/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of the store share. One file per part:
 *   error.c       SQLite's error codes as ours
 *   connection.c  a connection with its settings and its prepared statements
 *   lock.c        PATH.lock
 *   ram.c         the folder behind `memory:`
 *   check.c       is this file ours, sound and not too new
 *   copy.c        a copy of a database in use
 *   migrate.c     bringing an older one up to date
 *   txn.c         building a transaction
 *   wal.c         the log's end after a failed commit
 *   writer.c      the writer thread: groups, commits, WAL
 *   reader.c      read connections and cursors
 *   store.c       the loop's side: opening, submitting, delivering */

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "base/obj.h"
#include "store/store.h"

/* ---- error.c ---- */

/* The errno (negative) or STORE_E_CONFLICT for SQLite's result code; never 0. db may be NULL. errno
 * must have been 0 before the call that failed, and still be what it left. */
int store_sqlite_error(sqlite3 *db, int code);
/* Frees an old text, prints a new one into *ret_message (may be NULL), returns r. */
int store_fail(char **ret_message, int r, const char *format, ...) _printf_(3, 4);

/* ---- connection.c ---- */

typedef struct StoreConnection {
        sqlite3 *db;
        const StoreSchema *schema;
        sqlite3_stmt **statements; /* by number; prepared when first used */
} StoreConnection;

typedef enum StoreConnectionKind {
        STORE_CONNECTION_WRITER,
        STORE_CONNECTION_RAM_WRITER, /* nothing is synced: its files do not outlive the process */
        STORE_CONNECTION_READER,
} StoreConnectionKind;

int connection_open(StoreConnection *c,
                    const char *path,
                    const StoreSchema *schema,
                    StoreConnectionKind kind,
                    size_t cache_bytes);
/* The last connection of a database checkpoints and removes the WAL only if it is told to. */
void connection_close(StoreConnection *c, bool checkpoint);
/* The prepared statement; it is reset and stays the connection's. */
int connection_statement(StoreConnection *c, unsigned statement, sqlite3_stmt **ret);
/* Prepared for the connection's life; the caller finalizes. */
int connection_prepare(StoreConnection *c, const char *sql, sqlite3_stmt **ret);
/* Steps to the end, ignoring rows, and resets. 0, STORE_E_CONFLICT or an error. */
int connection_run(StoreConnection *c, sqlite3_stmt *stmt);
/* Several statements of text. */
int connection_exec(StoreConnection *c, const char *sql);
/* The first column of the first row as an integer; 0 when there is no row. */
int connection_int(StoreConnection *c, const char *sql, int64_t *ret);
/* i from 0. Text and blobs must live until the statement is reset. */
int statement_bind(sqlite3_stmt *stmt, unsigned i, const StoreValue *v);

/* ---- lock.c ---- */

/* -EBUSY: held by another. *ret_fd is the lock. */
int store_lock(const char *path, int *ret_fd, char **ret_message);

/* ---- ram.c ---- */

/* A fresh private folder; removed with fs_remove_tree(). */
int store_ram_folder(char **ret);

/* ---- check.c ---- */

#define STORE_APPLICATION_ID 0x41676474 /* "Agtd": PRAGMA application_id, where file(1) looks */

/* Before SQLite sees it: creates a missing file with mode 0600, refuses what is no database.
 * *ret_unclean: the last user did not close it. */
int store_check_file(const char *path, bool *ret_unclean, char **ret_message);
/* The rest, through a connection. *ret_version: of the schema, 0 for a fresh file. */
int store_check_database(StoreConnection *c,
                         const char *path,
                         bool unclean,
                         unsigned *ret_version,
                         char **ret_message);

/* ---- copy.c ---- */

/* Mode 0600, synced; replaces an older file of that name. The connection must be in no transaction. */
int store_copy_database(StoreConnection *c, const char *path);
int store_sync_folder_of(const char *path);

/* ---- migrate.c ---- */

/* From version to the schema's newest, with a copy of the file before it unless version is 0. */
int store_migrate(StoreConnection *c, const char *path, unsigned version, char **ret_message);

/* ---- wal.c ---- */

/* Takes the frames of a commit that failed out of the log; inside a BEGIN IMMEDIATE. After an error
 * they may still be there, until the next commit succeeds. */
int wal_cut(StoreConnection *c);
/* A full sync of the log as it is. */
int wal_sync(StoreConnection *c);

/* ---- txn.c ---- */

typedef struct TxnList {
        StoreTxn *head, **tail;
} TxnList;

struct StoreTxn {
        uint32_t magic;
        int error;  /* while building */
        int result; /* set by the writer */
        bool lost;  /* its commit failed: on_failed() follows */
        unsigned n_operations;
        uint64_t commit;
        const StoreSchema *schema;
        StoreTxn *next;
        StoreDoneFn done;
        void *userdata;
        size_t len, cap;
        char *data; /* inline_data, or memory of its own once it outgrew that */
        _Alignas(8) char inline_data[];
};

/* One statement with its values, as it lies in a transaction's data. */
typedef struct TxnOperation {
        uint32_t statement;
        uint32_t n_values;
        uint64_t size; /* up to the next operation */
} TxnOperation;

typedef struct TxnCursor {
        const StoreTxn *txn;
        size_t offset;
} TxnCursor;

StoreTxn *txn_new(const StoreSchema *schema);
size_t txn_size(const StoreTxn *t);
/* The next operation or NULL. */
const TxnOperation *txn_next(TxnCursor *c);
StoreValue txn_value(const TxnOperation *op, unsigned i);

void txn_list_init(TxnList *l);
void txn_list_append(TxnList *l, StoreTxn *t);
StoreTxn *txn_list_pop(TxnList *l);
/* Moves all of `from` behind `to`. */
void txn_list_splice(TxnList *to, TxnList *from);

/* ---- writer.c ---- */

typedef enum WriterControl {
        WRITER_BEGIN,
        WRITER_COMMIT,
        WRITER_ROLLBACK,
        WRITER_SAVEPOINT,
        WRITER_RELEASE,
        WRITER_UNDO,
        WRITER_RESERVE,
        _WRITER_CONTROL_MAX,
} WriterControl;

typedef struct Writer {
        uint32_t magic;
        StoreConnection connection;
        size_t group_max; /* 0: no limit */
        uint64_t wal_max_bytes;
        int event_fd; /* written when `done` gets its first entry */

        /* The thread's own. */
        sqlite3_stmt *control[_WRITER_CONTROL_MAX];
        uint64_t last_commit;
        uint64_t reserved;      /* numbers up to here may be given out without writing it down */
        uint64_t wal_bytes;     /* in use */
        uint64_t checkpoint_at; /* size at which the WAL is checkpointed next */

        pthread_t thread;
        bool running;

        pthread_mutex_t mutex; /* from here to stopping */
        pthread_cond_t wake;
        TxnList queue, done;
        int failed; /* error of a failed commit; the thread rests until writer_resume() */
        bool sleeping;
        bool stopping;

        _Atomic uint64_t n_transactions, n_commits, n_failures, commit_usec;
} Writer;

/* The connection, the limits and event_fd (the caller's) must be set, the database migrated.
 * *ret_last_commit: above all numbers ever given out. */
int writer_start(Writer *w, uint64_t *ret_last_commit);
void writer_submit(Writer *w, StoreTxn *t);
/* Everything done so far, and the error if the last of it is a commit that failed. */
void writer_take_done(Writer *w, TxnList *done, int *ret_failed);
/* Everything that waits; only while the writer rests after a failure. */
void writer_take_queue(Writer *w, TxnList *queue);
void writer_resume(Writer *w);
/* Nothing may be queued any more. A writer that never started is fine. The connection stays open. */
void writer_stop(Writer *w);

/* ---- reader.c ---- */

StoreConnection *reader_connection(StoreReader *r);
int reader_open(StoreReader **ret, const char *path, const StoreSchema *schema, size_t cache_bytes);
