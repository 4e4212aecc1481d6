/* SPDX-License-Identifier: MIT */

/* Every write, sync and truncation of a life of the store fails once: what was acknowledged is there
 * afterwards, what was refused is not, and neither a reader nor the next process sees a half. */

#include <fcntl.h>
#include <sqlite3.h>

#include "base/fs.h"
#include "base/str.h"
#include "store/test-items.h"
#include "store/test-vfs.h"

#define ITEMS        12
#define SMALL_LOG    ((uint64_t) 24 << 10) /* a checkpoint every few commits */
#define SECOND_OF(i) ((i) + 1000)

/* What happened to each pair of rows. */
typedef struct Model {
        bool acknowledged[ITEMS + 1];
        size_t n_refused;
} Model;

static int write_pair(Store *s, int64_t id, Results *results) {
        _cleanup_free_ char *bytes = calloc(1, 6000);
        StoreTxn *t = store_txn_new(s);

        assert_non_null(bytes);
        STORE_ADD(t, ITEM_INSERT, STORE_INT(id), STORE_INT(id), STORE_TEXT("first"));
        STORE_ADD(t, ITEM_INSERT, STORE_INT(SECOND_OF(id)), STORE_INT(-id), STORE_BLOB(bytes, 6000));
        return store_submit(s, t, on_result, results);
}

static void write_all(Store *s, Model *m) {
        for (int64_t id = 1; id <= ITEMS; id++) {
                Results results = {};

                assert_int_equal(write_pair(s, id, &results), 0);
                assert_int_equal(store_flush(s), 0);
                assert_true(results.r[0] <= 0);
                m->acknowledged[id] = results.r[0] == 0;
                m->n_refused += results.r[0] != 0;
        }
}

static void check_model(Store *s, const Model *m) {
        StoreReader *r = store_reader(s);

        for (int64_t id = 1; id <= ITEMS; id++) {
                const int64_t rows[] = { id, SECOND_OF(id) };

                ARRAY_FOREACH(row, rows) {
                        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

                        assert_int_equal(STORE_QUERY(r, &c, ITEM_GET, STORE_INT(*row)), 0);
                        int there = store_next(c);
                        if (there != m->acknowledged[id])
                                fail_msg("row %lld: %s", (long long) *row,
                                         there ? "was refused and is there"
                                               : "was acknowledged and is lost");
                }
        }
}

static void name_copy(Folder *copy, const Folder *f, const char *name) {
        _cleanup_free_ char *path = path_join(f->path, name);

        assert_true(path && strlen(path) < sizeof(copy->db));
        memcpy(copy->db, path, strlen(path) + 1);
}

static void put_copy(const char *from, const char *to, const char *ending) {
        _cleanup_free_ char *source = str_printf("%s%s", from, ending);
        _cleanup_free_ char *target = str_printf("%s%s", to, ending);
        _cleanup_free_ char *data = NULL;
        size_t n = 0;

        assert_true(source && target);
        data = read_all(source, &n);
        int fd = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0 && fd_write_all(fd, data, n) == 0);
        (void) fd_close(fd);
}

/* A copy of the files as they are is what a process finds that comes after a kill -9. */
static void check_successor(const Folder *f, const Model *m) {
        Folder copy = *f;

        name_copy(&copy, f, "copy");
        put_copy(f->db, copy.db, "");
        put_copy(f->db, copy.db, "-wal");
        Store *s = open_items(&copy, NULL);
        check_model(s, m);
        store_free(s);
}

static Store *open_fresh(const Folder *f) {
        static const char *const endings[] = { "", "-wal", "-shm" };

        ARRAY_FOREACH(ending, endings) {
                _cleanup_free_ char *path = str_printf("%s%s", f->db, *ending);
                (void) unlink(path);
        }
        return open_items(f, &(StoreOptions){ .wal_max_bytes = SMALL_LOG });
}

/* One life in which calls from..upto of some kinds fail; how many there were. */
static uint64_t one_life(const Folder *f, const Trouble *t, size_t *n_refused) {
        Store *s = open_fresh(f);
        Model m = {};

        trouble_set(t);
        write_all(s, &m);
        uint64_t calls = trouble_calls();
        check_model(s, &m);
        trouble_set(NULL);
        check_successor(f, &m);
        for (int64_t id = 1; id <= ITEMS; id++) {
                Results results = {};

                if (m.acknowledged[id])
                        continue;
                assert_int_equal(write_pair(s, id, &results), 0);
                assert_int_equal(store_flush(s), 0);
                assert_int_equal(results.r[0], 0);
                m.acknowledged[id] = true;
        }
        check_model(s, &m);
        check_successor(f, &m);
        store_free(s);
        if (n_refused)
                *n_refused += m.n_refused;
        return calls;
}

static void test_each_call_that_fails_once_loses_nothing_acknowledged(void **state) {
        static const struct {
                int error;
                uint64_t step; /* one kind in full, samples of the others, which take the same way */
        } ways[] = { { EIO, 1 }, { ENOSPC, 4 }, { EROFS, 5 }, { EDQUOT, 7 }, { 0, 3 } };
        uint64_t n = one_life(*state, &(Trouble){ .kinds = TROUBLE_ANY }, NULL), n_lives = 0;
        size_t n_refused = 0;

        assert_true(n > 3 * ITEMS);
        ARRAY_FOREACH(way, ways)
                for (uint64_t k = 1; k <= n; k += way->step, n_lives++)
                        one_life(*state, &(Trouble){ TROUBLE_ANY, k, k, way->error }, &n_refused);
        assert_true(n_refused >= n_lives / 4);
        print_message("%llu calls, failed in %llu lives: %zu writes refused, none came back\n",
                      (unsigned long long) n, (unsigned long long) n_lives, n_refused);
}

static void test_trouble_that_lasts_refuses_all_and_brings_nothing_back(void **state) {
        static const unsigned kinds[] = { TROUBLE_SYNC, TROUBLE_WRITE, TROUBLE_SYNC | TROUBLE_WRITE,
                                          TROUBLE_SYNC | TROUBLE_TRUNCATE };
        size_t n_refused = 0;

        ARRAY_FOREACH(k, kinds)
                for (uint64_t from = 1; from <= 20; from++)
                        one_life(*state, &(Trouble){ *k, from, UINT64_MAX, EIO }, &n_refused);
        assert_true(n_refused >= 80);
}

static void write_as_another_program(const Folder *f) {
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(f->db, &db), SQLITE_OK);
        assert_int_equal(
                sqlite3_exec(db, "INSERT INTO items VALUES (500, 500, NULL)", NULL, NULL, NULL),
                SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_the_cut_spares_what_another_program_committed(void **state) {
        const Folder *f = *state;
        Store *s = open_items(f, NULL); /* a log that is not moved: no sync but the commits' */
        Results results = {};

        assert_int_equal(insert(s, 1, 1, on_result, &results), 0);
        assert_int_equal(store_flush(s), 0);
        write_as_another_program(f);
        trouble_set(&(Trouble){ TROUBLE_SYNC, 1, 1, EIO });
        assert_int_equal(insert(s, 2, 2, on_result, &results), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(trouble_failures(), 1);
        trouble_set(NULL);
        assert_int_equal(results.r[1], -EIO);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 2);
        store_free(s);
        s = open_items(f, NULL);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 2);
        store_free(s);
}

/* What a dead process wrote and had not synced is on disk before anybody builds on it. */
static void test_a_start_syncs_the_log_it_found_and_refuses_when_it_cannot(void **state) {
        _cleanup_free_ char *message = NULL;
        const Folder *f = *state;
        Folder copy = *f;
        Store *s = open_fresh(f);

        assert_int_equal(insert(s, 1, 1, NULL, NULL), 0);
        assert_int_equal(store_flush(s), 0);
        name_copy(&copy, f, "left");
        put_copy(f->db, copy.db, "");
        put_copy(f->db, copy.db, "-wal");
        store_free(s);

        trouble_set(&(Trouble){ TROUBLE_SYNC, 1, UINT64_MAX, EIO });
        assert_int_equal(store_open(&s, NULL, copy.db, &items_schema, NULL, &message), -EIO);
        assert_non_null(strstr(message, "cannot sync"));
        trouble_set(NULL);
        s = open_items(&copy, NULL);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 1);
        store_free(s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)
                T(test_each_call_that_fails_once_loses_nothing_acknowledged),
                T(test_trouble_that_lasts_refuses_all_and_brings_nothing_back),
                T(test_the_cut_spares_what_another_program_committed),
                T(test_a_start_syncs_the_log_it_found_and_refuses_when_it_cannot),
        };
        trouble_install();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
