/* SPDX-License-Identifier: MIT */

/* kill -9 at random moments: what was acknowledged is there, and nothing is there twice or half.
 *
 * A child opens the store and writes pairs of rows from 16 clients at once; each completion writes
 * the pair's number to a pipe. The parent lets it acknowledge a random number of pairs, waits a
 * random number of microseconds more, so that the kill falls into any part of a commit or
 * checkpoint, and kills it. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fs.h"
#include "store/test-items.h"

#define ROUNDS         30
#define CLIENTS        16
#define PAIRS_MAX      4000
#define SECOND_OF_PAIR 1000000

typedef struct Writing {
        Store *store;
        int pipe;
        int64_t next;
} Writing;

typedef struct Pair {
        Writing *writing;
        int64_t number;
} Pair;

static void write_pair(Pair *p);

static void on_pair(int r, uint64_t commit, void *userdata) {
        Pair *p = userdata;
        int64_t number = p->number;

        if (r != 0 || fd_write_all(p->writing->pipe, &number, sizeof(number)) < 0)
                _exit(EXIT_FAILURE);
        write_pair(p);
}

static void write_pair(Pair *p) {
        Store *s = p->writing->store;
        StoreTxn *t;
        int64_t i;

        if (p->writing->next >= PAIRS_MAX * (ROUNDS + 1))
                return;
        i = p->number = p->writing->next++;
        t = store_txn_new(s);
        STORE_ADD(t, ITEM_INSERT, STORE_INT(i), STORE_INT(i), STORE_TEXT("first"));
        STORE_ADD(t, ITEM_INSERT, STORE_INT(i + SECOND_OF_PAIR), STORE_INT(-i),
                  STORE_TEXT("second, longer than the first, to fill pages a little faster"));
        if (store_submit(s, t, on_pair, p) < 0)
                _exit(EXIT_FAILURE);
}

static _Noreturn void child(const Folder *f, int pipe, int64_t first) {
        Writing w = { .pipe = pipe, .next = first };
        Pair pairs[CLIENTS];

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (store_open(&w.store, NULL, f->db, &items_schema,
                       &(StoreOptions){ .wal_max_bytes = 128 << 10 }, NULL) < 0)
                _exit(EXIT_FAILURE);
        for (int i = 0; i < CLIENTS; i++) {
                pairs[i] = (Pair){ .writing = &w };
                write_pair(&pairs[i]);
        }
        (void) store_flush(w.store);
        for (;;)
                (void) pause();
}

static void nap(long nsec) {
        (void) nanosleep(&(struct timespec){ .tv_nsec = nsec }, NULL);
}

/* Runs a child, kills it after about n acknowledgements, and marks what it acknowledged. */
static void run_and_kill(const Folder *f, int64_t first, int n, bool *acknowledged) {
        int fds[2], status;
        int64_t number;
        pid_t pid;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) fd_close(fds[0]);
                child(f, fds[1], first);
        }
        (void) fd_close(fds[1]);
        for (int i = 0; i < n; i++) {
                assert_int_equal(fd_read_exact(fds[0], &number, sizeof(number)), 0);
                acknowledged[number] = true;
        }
        nap(random() % 3000000);
        assert_int_equal(kill(pid, SIGKILL), 0);
        while (read(fds[0], &number, sizeof(number)) == (ssize_t) sizeof(number))
                acknowledged[number] = true;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        (void) fd_close(fds[0]);
}

/* All that was acknowledged is there; pairs are whole. Returns the number after the last. */
static int64_t check(const Folder *f, const bool *acknowledged, int64_t end) {
        Store *s = open_items(f, NULL);
        StoreReader *r = store_reader(s);
        int64_t next = 1;

        assert_int_equal(store_read_begin(r), 0);
        for (int64_t i = 1; i < end; i++) {
                StoreCursor *first = NULL, *second = NULL;
                int there;

                assert_int_equal(STORE_QUERY(r, &first, ITEM_GET, STORE_INT(i)), 0);
                there = store_next(first);
                if (acknowledged[i] && there != 1)
                        fail_msg("pair %lld was acknowledged and is lost", (long long) i);
                assert_int_equal(STORE_QUERY(r, &second, ITEM_GET, STORE_INT(i + SECOND_OF_PAIR)), 0);
                assert_int_equal(store_next(second), there);
                if (there == 1)
                        next = i + 1;
                store_cursor_free(first);
                store_cursor_free(second);
        }
        assert_int_equal(query_int(r, ITEM_SUM), 0);
        store_read_end(r);
        store_free(s);
        return next;
}

static void test_nothing_acknowledged_is_lost_by_kill_9(void **state) {
        _cleanup_free_ bool *acknowledged = calloc((size_t) PAIRS_MAX * (ROUNDS + 2), 1);
        int64_t next = 1;
        size_t n = 0;

        assert_non_null(acknowledged);
        srandom((unsigned) time(NULL));
        for (int round = 0; round < ROUNDS; round++) {
                run_and_kill(*state, next, 1 + (int) (random() % 300), acknowledged);
                next = check(*state, acknowledged, next + PAIRS_MAX);
        }
        for (int64_t i = 1; i < next; i++)
                n += acknowledged[i];
        assert_true(n >= ROUNDS);
        print_message("%d kills, %zu pairs acknowledged, none lost\n", ROUNDS, n);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_nothing_acknowledged_is_lost_by_kill_9,
                                                folder_setup, folder_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
