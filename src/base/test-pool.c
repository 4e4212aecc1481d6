/* SPDX-License-Identifier: MIT */

/* The promises of base/pool.h, with real threads: order within a key, done() on the loop thread
 * only, bounds, and nothing lost when the pool is freed. Run under TSan as well. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "base/pool.h"

/* needs what stands above */
#include <cmocka.h>

typedef struct Fixture {
        sd_event *event;
        Pool *pool;
} Fixture;

static void fixture_make(Fixture *f, unsigned threads, size_t jobs) {
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(pool_new(&f->pool, f->event, threads, jobs), 0);
}

static void fixture_drop(Fixture *f) {
        f->pool = pool_free(f->pool);
        sd_event_unref(f->event);
}

typedef struct Task {
        Fixture *fixture;
        pthread_t loop;
        unsigned number;
        unsigned *n_done; /* loop thread only */
        unsigned *order;  /* of work(), one key */
        unsigned *n_order;
        atomic_uint *running; /* in work() now */
        atomic_uint *running_max;
        pthread_barrier_t *barrier;
} Task;

static void task_work(void *job) {
        Task *t = job;

        assert(!pthread_equal(t->loop, pthread_self()));
        if (t->barrier)
                (void) pthread_barrier_wait(t->barrier);
        unsigned now = atomic_fetch_add(t->running, 1) + 1;
        unsigned most = atomic_load(t->running_max);
        while (now > most && !atomic_compare_exchange_weak(t->running_max, &most, now))
                ;
        if (t->order)
                t->order[(*t->n_order)++] = t->number;
        (void) atomic_fetch_sub(t->running, 1);
}

static void task_done(void *job) {
        const Task *t = job;

        assert_true(pthread_equal(t->loop, pthread_self()));
        (*t->n_done)++;
}

static void run_until(Fixture *f, const unsigned *n, unsigned wanted) {
        while (*n < wanted)
                assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
}

static void test_jobs_of_one_key_run_one_after_the_other_in_order(void **state) {
        enum { N = 500 };
        Fixture f = {};
        Task tasks[N];
        unsigned n_done = 0, order[N], n_order = 0;
        atomic_uint running = 0, running_max = 0;

        fixture_make(&f, 4, N);
        for (unsigned i = 0; i < N; i++) {
                tasks[i] = (Task){ &f,       pthread_self(), i,   &n_done, order, &n_order,
                                   &running, &running_max,   NULL };
                assert_int_equal(pool_submit(f.pool, 7, task_work, task_done, &tasks[i]), 0);
        }
        run_until(&f, &n_done, N);
        assert_int_equal(n_order, N);
        for (unsigned i = 0; i < N; i++)
                assert_int_equal(order[i], i);
        assert_int_equal(atomic_load(&running_max), 1);
        fixture_drop(&f);
}

static void test_jobs_of_different_keys_run_at_the_same_time(void **state) {
        enum { N = 4 };
        Fixture f = {};
        Task tasks[N];
        unsigned n_done = 0;
        atomic_uint running = 0, running_max = 0;
        pthread_barrier_t barrier;

        /* each job waits for all others inside work(): would hang if they did not overlap */
        assert_int_equal(pthread_barrier_init(&barrier, NULL, N), 0);
        fixture_make(&f, N, N);
        for (unsigned i = 0; i < N; i++) {
                tasks[i] = (Task){ &f,       pthread_self(), i,       &n_done, NULL, NULL,
                                   &running, &running_max,   &barrier };
                assert_int_equal(pool_submit(f.pool, i + 1, task_work, task_done, &tasks[i]), 0);
        }
        run_until(&f, &n_done, N);
        assert_int_equal(pool_threads(f.pool), N);
        fixture_drop(&f);
        (void) pthread_barrier_destroy(&barrier);
}

static void wait_at_barrier(void *job) {
        (void) pthread_barrier_wait(job);
}

static void count_work(void *job) {
        (void) atomic_fetch_add((atomic_uint *) job, 1);
}

static void test_a_full_pool_refuses_and_calls_nothing(void **state) {
        Fixture f = {};
        pthread_barrier_t barrier;
        atomic_uint refused = 0, taken = 0;

        assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
        fixture_make(&f, 1, 2);
        assert_int_equal(pool_submit(f.pool, 0, wait_at_barrier, NULL, &barrier), 0);
        /* the only thread has taken the job or will; then two more may wait, a third one never */
        int r = 0;
        unsigned n = 0;
        while ((r = pool_submit(f.pool, 0, count_work, NULL, &taken)) == 0)
                n++;
        assert_int_equal(r, -EAGAIN);
        assert_in_range(n, 1, 2);
        while (n < 2)
                if (pool_submit(f.pool, 0, count_work, NULL, &taken) == 0)
                        n++;
        assert_int_equal(pool_submit(f.pool, 0, count_work, NULL, &refused), -EAGAIN);
        (void) pthread_barrier_wait(&barrier);
        fixture_drop(&f);
        assert_int_equal(atomic_load(&taken), 2);
        assert_int_equal(atomic_load(&refused), 0);
        (void) pthread_barrier_destroy(&barrier);
}

typedef struct Chain {
        Pool *pool;
        unsigned left, n_done;
} Chain;

static void chain_work(void *job) {}

static void chain_done(void *job) {
        Chain *c = job;

        c->n_done++;
        if (c->left-- > 0)
                assert_int_equal(pool_submit(c->pool, 1, chain_work, chain_done, c), 0);
}

static void test_free_finishes_jobs_that_done_submits(void **state) {
        Fixture f = {};
        Chain c = { .left = 20 };

        fixture_make(&f, 2, 4);
        c.pool = f.pool;
        assert_int_equal(pool_submit(f.pool, 1, chain_work, chain_done, &c), 0);
        fixture_drop(&f);
        assert_int_equal(c.n_done, 21);
}

static void test_idle_threads_leave_and_come_back(void **state) {
        Fixture f = {};
        Chain c = {};

        fixture_make(&f, 2, 4);
        c.pool = f.pool;
        pool_set_idle(f.pool, 0);
        for (unsigned round = 1; round <= 20; round++) {
                c.left = 0;
                assert_int_equal(pool_submit(f.pool, 0, chain_work, chain_done, &c), 0);
                run_until(&f, &c.n_done, round);
                while (pool_threads(f.pool) > 0)
                        ;
        }
        fixture_drop(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_jobs_of_one_key_run_one_after_the_other_in_order),
                cmocka_unit_test(test_jobs_of_different_keys_run_at_the_same_time),
                cmocka_unit_test(test_a_full_pool_refuses_and_calls_nothing),
                cmocka_unit_test(test_free_finishes_jobs_that_done_submits),
                cmocka_unit_test(test_idle_threads_leave_and_come_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
