/* SPDX-License-Identifier: MIT */

/* What happens when the disk refuses: by SQLite's own limit of pages (SQLITE_FULL at a statement)
 * and by the kernel's limit of file sizes (a write of the WAL that fails in the commit). */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "store/test-items.h"

typedef struct Watch {
        Store *store;
        Results results;
        size_t n_failed;
        size_t results_at_failure;
        int resubmit_result; /* what store_submit() said inside a completion that failed */
        int64_t count_at_failure;
} Watch;

static void on_failed(int error, void *userdata) {
        Watch *w = userdata;

        assert_true(error < 0);
        w->n_failed++;
        w->results_at_failure = w->results.n;
        w->count_at_failure = query_int(store_reader(w->store), ITEM_COUNT);
}

static void on_watched(int r, uint64_t commit, void *userdata) {
        Watch *w = userdata;

        on_result(r, commit, &w->results);
        if (r < 0)
                w->resubmit_result = insert(w->store, 9999, 9999, on_watched, w);
}

static Store *open_watched(const Folder *f, Watch *w) {
        *w = (Watch){};
        w->store = open_items(f, &(StoreOptions){ .on_failed = on_failed, .userdata = w });
        return w->store;
}

static void limit_files(rlim_t soft) {
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = MIN(soft, limit.rlim_max);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void limit_to_wal(Store *s) {
        StoreStats stats;

        store_stats(s, &stats);
        limit_files((rlim_t) MAX(stats.wal_bytes, stats.db_bytes));
}

static void test_a_full_database_fails_everything_that_was_submitted(void **state) {
        Watch w;
        Store *s = open_watched(*state, &w);
        StoreTxn *t;

        assert_int_equal(insert(s, 1, 1, on_watched, &w), 0);
        assert_int_equal(store_flush(s), 0);
        t = store_txn_new(s);
        STORE_ADD(t, ITEM_PAGES_LIMIT);
        assert_int_equal(store_submit(s, t, NULL, NULL), 0);
        assert_int_equal(store_flush(s), 0);

        assert_int_equal(insert_bytes(s, 2, 100000, on_watched, &w), 0);
        for (int i = 3; i <= 50; i++)
                assert_int_equal(insert(s, i, i, on_watched, &w), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(w.results.n, 50);
        for (size_t i = 1; i < 50; i++) {
                assert_int_equal(w.results.r[i], -ENOSPC);
                assert_int_equal(w.results.commit[i], 0);
        }
        assert_int_equal(w.n_failed, 1);
        assert_int_equal(w.results_at_failure, 50);
        assert_int_equal(w.count_at_failure, 1);
        assert_int_equal(w.resubmit_result, -ENOSPC);
        store_free(s);
}

static void test_writes_work_again_when_there_is_space(void **state) {
        Watch w;
        Store *s = open_watched(*state, &w);
        StoreTxn *t;

        t = store_txn_new(s);
        STORE_ADD(t, ITEM_PAGES_LIMIT);
        assert_int_equal(store_submit(s, t, NULL, NULL), 0);
        assert_int_equal(insert_bytes(s, 1, 100000, on_watched, &w), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(w.results.r[0], -ENOSPC);
        t = store_txn_new(s);
        STORE_ADD(t, ITEM_PAGES_NOLIMIT);
        assert_int_equal(store_submit(s, t, NULL, NULL), 0);
        assert_int_equal(insert_bytes(s, 1, 100000, on_watched, &w), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(w.results.r[1], 0);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 1);
        store_free(s);
}

static void test_a_commit_that_cannot_be_written_fails_and_recovers(void **state) {
        Watch w;
        Store *s = open_watched(*state, &w);
        StoreStats stats;

        assert_int_equal(insert(s, 1, 1, on_watched, &w), 0);
        assert_int_equal(store_flush(s), 0);
        limit_to_wal(s);
        for (int i = 2; i <= 20; i++)
                assert_int_equal(insert(s, i, i, on_watched, &w), 0);
        assert_int_equal(store_flush(s), 0);
        limit_files(RLIM_INFINITY);
        for (size_t i = 1; i < 20; i++)
                assert_int_equal(w.results.r[i], -EFBIG);
        assert_int_equal(w.n_failed, 1);
        assert_int_equal(w.count_at_failure, 1);
        store_stats(s, &stats);
        assert_int_equal(stats.failures, 1);

        assert_int_equal(insert(s, 2, 2, on_watched, &w), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(w.results.r[20], 0);
        assert_true(w.results.commit[20] > w.results.commit[0]);
        store_free(s);
        s = open_items(*state, NULL);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 2);
        store_free(s);
}

static void test_reads_go_on_while_writes_fail(void **state) {
        Watch w;
        Store *s = open_watched(*state, &w);

        for (int i = 1; i <= 10; i++)
                assert_int_equal(insert(s, i, i, on_watched, &w), 0);
        assert_int_equal(store_flush(s), 0);
        limit_to_wal(s);
        for (int round = 0; round < 5; round++) {
                assert_int_equal(insert_bytes(s, 100, 50000, on_watched, &w), 0);
                assert_int_equal(store_flush(s), 0);
                assert_int_equal(w.results.r[w.results.n - 1], -EFBIG);
                assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 10);
        }
        limit_files(RLIM_INFINITY);
        assert_int_equal(w.n_failed, 5);
        store_free(s);
}

static void test_a_barrier_fails_with_what_it_stands_behind(void **state) {
        Watch w;
        Store *s = open_watched(*state, &w);

        assert_int_equal(insert(s, 1, 1, NULL, NULL), 0);
        assert_int_equal(store_flush(s), 0);
        limit_to_wal(s);
        assert_int_equal(insert(s, 2, 2, on_watched, &w), 0);
        assert_int_equal(store_barrier(s, on_watched, &w), 0);
        assert_int_equal(store_flush(s), 0);
        limit_files(RLIM_INFINITY);
        assert_int_equal(w.results.n, 2);
        assert_int_equal(w.results.r[1], -EFBIG);
        store_free(s);
}

/* A file system of 2 MiB of our own at the test's folder; false where that is not allowed. */
static bool mount_small(const Folder *f) {
        return unshare(CLONE_NEWNS) == 0 && mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("tmpfs", f->path, "tmpfs", 0, "size=2m,mode=0700") == 0;
}

static void test_a_full_disk_loses_nothing_and_recovers_without_a_restart(void **state) {
        _cleanup_free_ char *ballast = NULL;
        const Folder *f = *state;
        int64_t id = 0;
        Store *s;
        Watch w;
        int fd;

        if (!mount_small(f))
                skip();
        ballast = path_join(f->path, "ballast");
        fd = open(ballast, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0 && posix_fallocate(fd, 0, 800 << 10) == 0);
        (void) fd_close(fd);
        s = open_watched(f, &w);
        for (id = 0; w.n_failed == 0 && id < 1000; id++) {
                assert_int_equal(insert_bytes(s, id + 1, 5000, on_watched, &w), 0);
                assert_int_equal(store_flush(s), 0);
        }
        assert_int_equal(w.results.r[w.results.n - 1], -ENOSPC);
        assert_int_equal(w.count_at_failure, id - 1);

        assert_int_equal(unlink(ballast), 0);
        assert_int_equal(insert_bytes(s, id, 5000, on_watched, &w), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(w.results.r[w.results.n - 1], 0);
        store_free(s);
        s = open_items(f, NULL);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), id);
        store_free(s);
        assert_int_equal(umount(f->path), 0);
}

/* Limits of a test that failed must not reach the next one. */
static int teardown(void **state) {
        limit_files(RLIM_INFINITY);
        return folder_teardown(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_a_full_database_fails_everything_that_was_submitted),
                TEST(test_writes_work_again_when_there_is_space),
                TEST(test_a_commit_that_cannot_be_written_fails_and_recovers),
                TEST(test_reads_go_on_while_writes_fail),
                TEST(test_a_full_disk_loses_nothing_and_recovers_without_a_restart),
                TEST(test_a_barrier_fails_with_what_it_stands_behind),
        };

        (void) signal(SIGXFSZ, SIG_IGN);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
