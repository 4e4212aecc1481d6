/* SPDX-License-Identifier: MIT */

/* The writer thread: takes all that waits, commits it once, hands the results back.
 *
 * A full sync costs as much as a hundred rows, and while it runs the next group gathers by itself:
 * so there is no timer that waits for a group to grow, one client alone pays no delay, and many
 * share.
 *
 * Within a group each transaction is undone alone when it fails. One statement undoes itself in
 * SQLite; only several statements among other transactions need a savepoint. When nothing of a
 * group succeeded it is rolled back without a sync.
 *
 * Commit numbers must go up across restarts. Writing the number with each commit would dirty a page
 * more every time (one row per commit: a fifth slower), so a block of numbers is reserved with the
 * first commit that needs it; a restart goes on above the block.
 *
 * After a failed commit its remains are taken out of the log (wal.c) before anybody hears of it,
 * and the thread rests until the loop has told everyone concerned: what waits may build on what was
 * lost.
 *
 * The WAL is checkpointed here, after the results are on their way, when it has grown past its
 * limit: nobody who waits for a commit waits for that. PASSIVE never waits for readers; while one
 * keeps an old snapshot the WAL grows, and is tried again when it has grown by its limit once more.
 * When it starts over, journal_size_limit cuts the file back. */

#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "base/str.h"
#include "store/store-internal.h"

#define WRITER_MAGIC    0x52545257u /* "WRTR" */
#define RESERVE_COMMITS 65536
#define WAL_FRAME_BYTES (24 + 4096)

static const char *const control_sql[_WRITER_CONTROL_MAX] = {
        [WRITER_BEGIN] = "BEGIN IMMEDIATE",
        [WRITER_COMMIT] = "COMMIT",
        [WRITER_ROLLBACK] = "ROLLBACK",
        [WRITER_SAVEPOINT] = "SAVEPOINT t",
        [WRITER_RELEASE] = "RELEASE t",
        [WRITER_UNDO] = "ROLLBACK TO t",
        [WRITER_RESERVE] = "UPDATE store_meta SET commits = ?1",
};

/* ---- on the writer's thread ---- */

static int control(Writer *w, WriterControl what) {
        int r = connection_run(&w->connection, w->control[what]);

        return r > 0 ? -EIO : r;
}

static int run_operation(Writer *w, const TxnOperation *op) {
        StoreConnection *c = &w->connection;
        sqlite3_stmt *stmt;
        int r;

        r = connection_statement(c, op->statement, &stmt);
        for (unsigned i = 0; r == 0 && i < op->n_values; i++) {
                StoreValue v = txn_value(op, i);
                r = statement_bind(stmt, i, &v);
        }
        if (r == 0)
                r = connection_run(c, stmt);
        if (r == 0 && (c->schema->statements[op->statement].flags & STORE_EXPECT_CHANGE) &&
            sqlite3_changes64(c->db) == 0)
                return STORE_E_CONFLICT;
        return r;
}

/* What a transaction did wrong itself. Anything else befalls the whole group, and SQLite may
 * already have rolled it back. */
static bool is_own_fault(Writer *w, int r) {
        return (r == STORE_E_CONFLICT || r == -E2BIG || r == -EINVAL) &&
               !sqlite3_get_autocommit(w->connection.db);
}

/* 0 also when the transaction alone failed: its result says so. */
static int run_txn(Writer *w, StoreTxn *t, bool is_alone) {
        bool guarded = !is_alone && t->n_operations > 1;
        TxnCursor cursor = { .txn = t };
        const TxnOperation *op;
        int r = 0;

        if (guarded)
                r = control(w, WRITER_SAVEPOINT);
        while (r == 0 && (op = txn_next(&cursor)))
                r = run_operation(w, op);
        if (r != 0 && !is_own_fault(w, r))
                return r;
        t->result = r;
        if (guarded && r != 0)
                r = control(w, WRITER_UNDO);
        if (guarded && r >= 0)
                r = control(w, WRITER_RELEASE);
        return MIN(r, 0);
}

static int commit(Writer *w) {
        uint64_t number = w->last_commit + 1;
        bool reserve = number > w->reserved;
        usec_t start;
        int r = 0;

        if (reserve) {
                StoreValue ceiling = STORE_INT((int64_t) (number + RESERVE_COMMITS));

                r = statement_bind(w->control[WRITER_RESERVE], 0, &ceiling);
                if (r == 0)
                        r = control(w, WRITER_RESERVE);
        }
        start = clock_monotonic();
        if (r == 0)
                r = control(w, WRITER_COMMIT);
        if (r < 0)
                return r;
        w->commit_usec += clock_monotonic() - start;
        w->n_commits++;
        w->last_commit = number;
        if (reserve)
                w->reserved = number + RESERVE_COMMITS;
        return 0;
}

static size_t count_writes(const TxnList *group) {
        size_t n = 0;

        for (const StoreTxn *t = group->head; t; t = t->next)
                n += t->n_operations > 0;
        return n;
}

/* Should this fail as well, the next commit that succeeds writes over what is left. */
static void forget_commit(Writer *w) {
        int r;

        if (!sqlite3_get_autocommit(w->connection.db))
                (void) control(w, WRITER_ROLLBACK);
        r = control(w, WRITER_BEGIN);
        if (r == 0)
                r = wal_cut(&w->connection);
        if (!sqlite3_get_autocommit(w->connection.db))
                (void) control(w, WRITER_ROLLBACK);
        if (r < 0)
                log_debug("Cannot cut the log of %s: %s", w->connection.schema->name, strerror(-r));
}

/* Runs the transactions and commits what succeeded. */
static int write_group(Writer *w, TxnList *group, size_t n_writes) {
        size_t n_failed = 0;
        int r;

        r = control(w, WRITER_BEGIN);
        for (StoreTxn *t = group->head; r == 0 && t; t = t->next) {
                if (t->n_operations == 0)
                        continue;
                r = run_txn(w, t, n_writes == 1);
                n_failed += t->result != 0;
        }
        if (r == 0)
                r = n_failed < n_writes ? commit(w) : control(w, WRITER_ROLLBACK);
        if (r == 0) {
                w->n_transactions += n_writes - n_failed;
                return 0;
        }
        forget_commit(w);
        w->n_failures++;
        return r;
}

static int run_group(Writer *w, TxnList *group) {
        size_t n_writes = count_writes(group);
        int r = n_writes > 0 ? write_group(w, group, n_writes) : 0;

        for (StoreTxn *t = group->head; t; t = t->next) {
                if (r < 0) {
                        t->result = r;
                        t->lost = true;
                } else if (t->result == 0)
                        t->commit = w->last_commit;
        }
        return r;
}

static int on_wal(void *userdata, sqlite3 *db, const char *name, int n_frames) {
        Writer *w = OBJ_CAST(Writer, userdata, WRITER_MAGIC);

        w->wal_bytes = (uint64_t) n_frames * WAL_FRAME_BYTES;
        return SQLITE_OK;
}

static void checkpoint(Writer *w, bool now) {
        int n_frames = 0, n_done = 0, code;

        if (w->wal_bytes < w->checkpoint_at && !now)
                return;
        code = sqlite3_wal_checkpoint_v2(w->connection.db, NULL, SQLITE_CHECKPOINT_PASSIVE,
                                         &n_frames, &n_done);
        /* Complete: the next commit starts the WAL over. Else nothing is lost, it only stays long. */
        if (code == SQLITE_OK && n_done == n_frames)
                w->checkpoint_at = w->wal_max_bytes;
        else
                w->checkpoint_at = w->wal_bytes + w->wal_max_bytes;
}

/* False: stop. */
static bool take_group(Writer *w, TxnList *group) {
        bool go_on;

        txn_list_init(group);
        (void) pthread_mutex_lock(&w->mutex);
        while (!w->stopping && (w->failed != 0 || !w->queue.head)) {
                w->sleeping = true;
                (void) pthread_cond_wait(&w->wake, &w->mutex);
                w->sleeping = false;
        }
        go_on = !w->stopping;
        if (go_on && w->group_max == 0)
                txn_list_splice(group, &w->queue);
        for (size_t i = 0; go_on && i < w->group_max && w->queue.head; i++)
                txn_list_append(group, txn_list_pop(&w->queue));
        (void) pthread_mutex_unlock(&w->mutex);
        return go_on;
}

static void post_group(Writer *w, TxnList *group, int r) {
        bool is_first;

        (void) pthread_mutex_lock(&w->mutex);
        is_first = !w->done.head;
        txn_list_splice(&w->done, group);
        w->failed = r;
        (void) pthread_mutex_unlock(&w->mutex);
        if (is_first)
                (void) eventfd_write(w->event_fd, 1);
}

static void *writer_main(void *userdata) {
        Writer *w = OBJ_CAST(Writer, userdata, WRITER_MAGIC);
        TxnList group;

        while (take_group(w, &group)) {
                int r = run_group(w, &group);

                post_group(w, &group, r);
                /* On a full disk a WAL that starts over has room without asking for more. */
                checkpoint(w, r < 0);
        }
        return NULL;
}

/* ---- on the loop's thread ---- */

static int prepare(Writer *w) {
        _cleanup_free_ char *limit = NULL;
        int r;

        for (unsigned i = 0; i < _WRITER_CONTROL_MAX; i++) {
                r = connection_prepare(&w->connection, control_sql[i], &w->control[i]);
                if (r < 0)
                        return r;
        }
        limit = str_printf("PRAGMA journal_size_limit = %llu", (unsigned long long) w->wal_max_bytes);
        if (!limit)
                return -ENOMEM;
        (void) sqlite3_wal_hook(w->connection.db, on_wal, w);
        return connection_exec(&w->connection, limit);
}

static int start_thread(Writer *w) {
        char name[16];
        sigset_t all, old;
        int r;

        /* Signals are the loop's. */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &old);
        r = pthread_create(&w->thread, NULL, writer_main, w);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (r != 0)
                return -r;
        w->running = true;
        (void) snprintf(name, sizeof(name), "store-%s", w->connection.schema->name);
        (void) pthread_setname_np(w->thread, name);
        return 0;
}

int writer_start(Writer *w, uint64_t *ret_last_commit) {
        int64_t ceiling;
        int r;

        w->magic = WRITER_MAGIC;
        w->checkpoint_at = w->wal_max_bytes;
        txn_list_init(&w->queue);
        txn_list_init(&w->done);
        r = connection_int(&w->connection, "SELECT commits FROM store_meta", &ceiling);
        if (r == 0)
                r = prepare(w);
        if (r < 0)
                return r;
        w->last_commit = w->reserved = (uint64_t) ceiling;
        (void) pthread_mutex_init(&w->mutex, NULL);
        (void) pthread_cond_init(&w->wake, NULL);
        r = start_thread(w);
        if (r == 0)
                *ret_last_commit = (uint64_t) ceiling;
        return r;
}

void writer_submit(Writer *w, StoreTxn *t) {
        bool wake;

        (void) pthread_mutex_lock(&w->mutex);
        txn_list_append(&w->queue, t);
        wake = w->sleeping && w->failed == 0;
        (void) pthread_mutex_unlock(&w->mutex);
        if (wake)
                (void) pthread_cond_signal(&w->wake);
}

void writer_take_done(Writer *w, TxnList *done, int *ret_failed) {
        txn_list_init(done);
        (void) pthread_mutex_lock(&w->mutex);
        txn_list_splice(done, &w->done);
        *ret_failed = w->failed;
        (void) pthread_mutex_unlock(&w->mutex);
}

void writer_take_queue(Writer *w, TxnList *queue) {
        txn_list_init(queue);
        (void) pthread_mutex_lock(&w->mutex);
        assert(w->failed != 0);
        txn_list_splice(queue, &w->queue);
        (void) pthread_mutex_unlock(&w->mutex);
}

void writer_resume(Writer *w) {
        (void) pthread_mutex_lock(&w->mutex);
        w->failed = 0;
        (void) pthread_mutex_unlock(&w->mutex);
        (void) pthread_cond_signal(&w->wake);
}

void writer_stop(Writer *w) {
        if (w->running) {
                (void) pthread_mutex_lock(&w->mutex);
                assert(!w->queue.head && !w->done.head);
                w->stopping = true;
                (void) pthread_mutex_unlock(&w->mutex);
                (void) pthread_cond_signal(&w->wake);
                (void) pthread_join(w->thread, NULL);
                w->running = false;
                (void) pthread_cond_destroy(&w->wake);
                (void) pthread_mutex_destroy(&w->mutex);
        }
        for (unsigned i = 0; i < _WRITER_CONTROL_MAX; i++) {
                (void) sqlite3_finalize(w->control[i]);
                w->control[i] = NULL;
        }
}
