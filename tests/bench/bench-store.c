/* SPDX-License-Identifier: MIT */

/* The store's writer beside raw SQLite, in one run: rows of 300 bytes, ascending keys, full sync.
 *
 * Per commit size both insert the same rows into a fresh database each round, in turns, because the
 * disk drifts by more than what is measured; the ratio of the medians is what counts. Raw SQLite is
 * one thread that prepares once, binds, steps and commits, with the store's pragmas and its WAL
 * limit. The store gets one transaction per commit (group_max = 1) from a client on an event loop
 * that keeps its queue filled: what is measured is the way of a transaction through the store, not
 * the sharing of syncs. That is the second table: clients that each wait for their own commit.
 *
 * usage: bench-store [--json] [--rounds=N] [FOLDER]     (default: /var/tmp)
 *        bench-store --raw=ROWS [FOLDER]     raw SQLite alone, ROWS a commit: one number */

#include <fcntl.h>
#include <getopt.h>
#include <sqlite3.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"
#include "store/store.h"

#define ROW_BYTES     300
#define QUEUED        64
#define ROUNDS_MAX    99
#define WAL_MAX_BYTES ((uint64_t) 16 << 20)
#define FRAME_BYTES   (24 + 4096)
#define CREATE        "CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB NOT NULL);"
#define INSERT        "INSERT INTO rows (id, body) VALUES (?1, ?2)"

static const StoreMigration migrations[] = { { 1, CREATE } };
static const StoreStatement statements[] = { { "INSERT", INSERT, 2, 0 } };
static const StoreSchema schema = { "bench", migrations, 1, statements, 1 };

static const struct {
        int rows_per_commit;
        int n_commits;
} sizes[] = { { 1, 4000 }, { 10, 3000 }, { 100, 1500 }, { 1000, 250 } };

static const int clients_of[] = { 1, 8, 64, 512 };

static const char *folder = "/var/tmp";
static char row[ROW_BYTES];

static _Noreturn void die(const char *what, const char *why) {
        (void) fprintf(stderr, "bench-store: %s: %s\n", what, why);
        exit(EXIT_FAILURE);
}

static void remove_database(const char *path) {
        static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };

        ARRAY_FOREACH(suffix, suffixes) {
                _cleanup_free_ char *name = str_printf("%s%s", path, *suffix);

                if (name)
                        (void) unlink(name);
        }
}

/* ---- raw SQLite ---- */

static int on_wal(void *userdata, sqlite3 *db, const char *name, int n_frames) {
        if ((uint64_t) n_frames * FRAME_BYTES > WAL_MAX_BYTES)
                (void) sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        return SQLITE_OK;
}

static void step(sqlite3 *db, sqlite3_stmt *stmt) {
        if (sqlite3_step(stmt) != SQLITE_DONE)
                die("SQLite", sqlite3_errmsg(db));
        (void) sqlite3_reset(stmt);
}

static sqlite3 *raw_open(const char *path) {
        static const char pragmas[] =
                "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                "PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;"
                "PRAGMA cell_size_check = ON;" CREATE;
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
        sqlite3 *db = NULL;

        if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK ||
            sqlite3_exec(db, pragmas, NULL, NULL, NULL) != SQLITE_OK)
                die(path, sqlite3_errmsg(db));
        (void) sqlite3_wal_hook(db, on_wal, NULL);
        return db;
}

/* Rows per second. */
static double bench_raw(const char *path, int rows_per_commit, int n_commits) {
        sqlite3_stmt *begin = NULL, *insert = NULL, *commit = NULL;
        sqlite3 *db = raw_open(path);
        usec_t start;
        int64_t id = 0;

        (void) sqlite3_prepare_v3(db, "BEGIN IMMEDIATE", -1, SQLITE_PREPARE_PERSISTENT, &begin, NULL);
        (void) sqlite3_prepare_v3(db, INSERT, -1, SQLITE_PREPARE_PERSISTENT, &insert, NULL);
        (void) sqlite3_prepare_v3(db, "COMMIT", -1, SQLITE_PREPARE_PERSISTENT, &commit, NULL);
        start = clock_monotonic();
        for (int i = 0; i < n_commits; i++) {
                step(db, begin);
                for (int k = 0; k < rows_per_commit; k++) {
                        (void) sqlite3_bind_int64(insert, 1, ++id);
                        (void) sqlite3_bind_blob(insert, 2, row, ROW_BYTES, SQLITE_STATIC);
                        step(db, insert);
                }
                step(db, commit);
        }
        start = clock_monotonic() - start;
        (void) sqlite3_finalize(begin);
        (void) sqlite3_finalize(insert);
        (void) sqlite3_finalize(commit);
        (void) sqlite3_close(db);
        return (double) id * 1e6 / (double) start;
}

/* ---- the store ---- */

typedef struct Client {
        Store *store;
        int rows_per_txn;
        int n_left;    /* transactions to submit */
        int n_waiting; /* submitted, not delivered */
        int64_t id;
} Client;

static void on_done(int r, uint64_t commit, void *userdata);

static void submit(Client *c) {
        StoreTxn *t = store_txn_new(c->store);
        int r;

        for (int k = 0; k < c->rows_per_txn; k++)
                STORE_ADD(t, 0, STORE_INT(++c->id), STORE_BLOB(row, ROW_BYTES));
        r = store_submit(c->store, t, on_done, c);
        if (r < 0)
                die("store_submit", strerror(-r));
        c->n_left--;
        c->n_waiting++;
}

static void on_done(int r, uint64_t commit, void *userdata) {
        Client *c = userdata;

        if (r != 0)
                die("commit", strerror(-r));
        c->n_waiting--;
        if (c->n_left > 0)
                submit(c);
}

typedef struct Result {
        double rows_per_sec;
        double rows_per_commit;
} Result;

static Result bench_store(
        const char *path, int rows_per_txn, int n_txns, int n_queued, size_t group_max) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        StoreOptions options = { .group_max = group_max, .wal_max_bytes = WAL_MAX_BYTES };
        Client c = { .rows_per_txn = rows_per_txn, .n_left = n_txns };
        char *message = NULL;
        StoreStats stats;
        usec_t start;

        if (sd_event_new(&event) < 0)
                die("sd_event_new", "failed");
        if (store_open(&c.store, event, path, &schema, &options, &message) < 0)
                die(path, message);
        start = clock_monotonic();
        for (int i = 0; i < n_queued && c.n_left > 0; i++)
                submit(&c);
        while (c.n_waiting > 0)
                if (sd_event_run(event, UINT64_MAX) < 0)
                        die("sd_event_run", "failed");
        start = clock_monotonic() - start;
        store_stats(c.store, &stats);
        store_free(c.store);
        return (Result){ (double) c.id * 1e6 / (double) start,
                         (double) c.id / (double) MAX(stats.commits, (uint64_t) 1) };
}

/* ---- rounds and output ---- */

typedef struct Series {
        int n;
        double v[ROUNDS_MAX];
} Series;

static int compare(const void *a, const void *b) {
        const double *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static void add(Series *s, double v) {
        s->v[s->n++] = v;
        qsort(s->v, (size_t) s->n, sizeof(s->v[0]), compare);
}

static double median(const Series *s) {
        return s->v[s->n / 2];
}

static void bench_sizes(const char *path, int rounds, bool json) {
        if (!json)
                (void) printf("one transaction per commit        raw SQLite rows/s (min median max)"
                              "     store rows/s (min median max)     ratio\n");
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                int rows = sizes[i].rows_per_commit, n = sizes[i].n_commits;
                Series raw = {}, ours = {};

                for (int k = 0; k < rounds; k++) {
                        remove_database(path);
                        add(&raw, bench_raw(path, rows, n));
                        remove_database(path);
                        add(&ours, bench_store(path, rows, n, QUEUED, 1).rows_per_sec);
                }
                (void) printf(json ? "%s{\"rows_per_commit\":%d,\"raw\":[%.0f,%.0f,%.0f],"
                                     "\"store\":[%.0f,%.0f,%.0f],\"ratio\":%.3f}"
                                   : "%s%4d rows  %28.0f %10.0f %10.0f %14.0f %10.0f %10.0f %9.2f\n",
                              json && i ? "," : "", rows, raw.v[0], median(&raw), raw.v[rounds - 1],
                              ours.v[0], median(&ours), ours.v[rounds - 1],
                              median(&ours) / median(&raw));
                (void) fflush(stdout);
        }
}

static void bench_clients(const char *path, int rounds, bool json) {
        if (!json)
                (void) printf(
                        "\nclients, a row each, one after the other     rows/s    rows/commit\n");
        for (size_t i = 0; i < ELEMENTSOF(clients_of); i++) {
                int n = clients_of[i];
                Series speed = {}, share = {};

                for (int k = 0; k < rounds; k++) {
                        Result r;

                        remove_database(path);
                        r = bench_store(path, 1, 2000 + n * 300, n, 0);
                        add(&speed, r.rows_per_sec);
                        add(&share, r.rows_per_commit);
                }
                (void) printf(json ? "%s{\"clients\":%d,\"rows_per_sec\":%.0f,"
                                     "\"rows_per_commit\":%.1f}"
                                   : "%s%4d %46.0f %14.1f\n",
                              json && i ? "," : "", n, median(&speed), median(&share));
        }
}

int main(int argc, char **argv) {
        static const struct option options[] = { { "json", no_argument, NULL, 'j' },
                                                 { "rounds", required_argument, NULL, 'r' },
                                                 { "raw", required_argument, NULL, 'w' },
                                                 {} };
        _cleanup_free_ char *private = NULL, *path = NULL;
        uint64_t rounds = 5, raw = 0;
        bool json = false;

        for (int o; (o = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                if (o == 'j')
                        json = true;
                else if ((o != 'r' || str_to_u64(optarg, &rounds) < 0) &&
                         (o != 'w' || str_to_u64(optarg, &raw) < 0 || raw < 1 || raw > 100000))
                        die("usage", "bench-store [--json] [--rounds=N] [--raw=ROWS] [FOLDER]");
        if (optind < argc)
                folder = argv[optind];
        rounds = MAX(MIN(rounds, (uint64_t) ROUNDS_MAX), (uint64_t) 1);
        private = str_printf("%s/bench-store-XXXXXX", folder);
        if (!private || !mkdtemp(private))
                die(folder, strerror(errno));
        path = path_join(private, "db");
        if (!path)
                die(folder, strerror(ENOMEM));
        if (raw > 0) {
                (void) printf("%.0f\n", bench_raw(path, (int) raw, (int) (200000 / raw)));
                return fs_remove_tree(AT_FDCWD, private) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        }
        (void) printf(json ? "{\"bench\":\"store\",\"row_bytes\":300,\"sizes\":[" : "");
        bench_sizes(path, (int) rounds, json);
        (void) printf(json ? "],\"clients\":[" : "");
        bench_clients(path, (int) rounds, json);
        (void) printf(json ? "]}\n" : "");
        return fs_remove_tree(AT_FDCWD, private) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
