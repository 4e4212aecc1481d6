/* SPDX-License-Identifier: MIT */

/* The restart policy is a pure function: every policy is called with every result, and the clock is an argument. */

#include <signal.h>

#include "base/test.h"
#include "sup/exit-set.h"
#include "sup/spec-internal.h"

#define NOW (USEC_PER_DAY * 20000)

static SupSpec spec_of(SupRestart restart) {
        _cleanup_(sup_spec_freep) SupSpec *s = NULL;
        assert_int_equal(spec_new(&s), 0);
        SupSpec copy = *s; /* a spec of defaults has no memory of its own */
        copy.restart = restart;
        return copy;
}

static SupAction decide(const SupSpec *spec,
                        SupResult result,
                        SupRestartState *state,
                        usec_t *ret_delay) {
        SupExit exit = { .result = result, .exit_code = 1, .time = NOW };
        usec_t delay = 0;
        return sup_restart_decide(spec, state, &exit, NOW - 1, NOW, 0,
                                  ret_delay ? ret_delay : &delay);
}

static void test_each_policy_restarts_after_its_results_only(void **state) {
        static const bool restarts[_SUP_RESTART_MAX][_SUP_RESULT_MAX] = {
                /* success, exit-code, signal, core-dump, exec, timeout, lost, unknown */
                [SUP_RESTART_NO] = { 0, 0, 0, 0, 0, 0, 0, 0 },
                [SUP_RESTART_ON_SUCCESS] = { 1, 0, 0, 0, 0, 0, 0, 0 },
                [SUP_RESTART_ON_FAILURE] = { 0, 1, 1, 1, 1, 1, 1, 1 },
                [SUP_RESTART_ON_ABNORMAL] = { 0, 0, 1, 1, 0, 1, 1, 1 },
                [SUP_RESTART_ALWAYS] = { 1, 1, 1, 1, 1, 1, 1, 1 },
        };
        for (int policy = 0; policy < _SUP_RESTART_MAX; policy++)
                for (int result = 0; result < _SUP_RESULT_MAX; result++) {
                        SupSpec spec = spec_of((SupRestart) policy);
                        SupRestartState s = {};
                        SupAction otherwise =
                                result == SUP_RESULT_SUCCESS ? SUP_ACTION_STOP : SUP_ACTION_FAIL;
                        assert_int_equal(decide(&spec, (SupResult) result, &s, NULL),
                                         restarts[policy][result] ? SUP_ACTION_RESTART : otherwise);
                }
}

static void test_a_stop_that_was_asked_for_is_never_followed_by_a_restart(void **state) {
        SupSpec spec = spec_of(SUP_RESTART_ALWAYS);
        for (int result = 0; result < _SUP_RESULT_MAX; result++) {
                SupExit exit = { .result = (SupResult) result, .stop_was_asked = true, .time = NOW };
                SupRestartState s = {};
                usec_t delay = 77;
                assert_int_equal(sup_restart_decide(&spec, &s, &exit, 0, NOW, 0, &delay),
                                 SUP_ACTION_STOP);
                assert_int_equal(delay, 77);
        }
}

static void test_excluded_statuses_prevent_a_restart(void **state) {
        SupSpec spec = spec_of(SUP_RESTART_ALWAYS);
        SupRestartState s = {};
        usec_t delay;

        assert_int_equal(sup_exit_set_add(&spec.restart_prevent, "3"), 0);
        assert_int_equal(sup_exit_set_add(&spec.restart_prevent, "SIGSEGV"), 0);
        assert_int_equal(sup_exit_set_add(&spec.restart_prevent, "0"), 0);
        const struct {
                SupExit exit;
                SupAction action;
        } cases[] = {
                { { .result = SUP_RESULT_EXIT_CODE, .exit_code = 3 }, SUP_ACTION_FAIL },
                { { .result = SUP_RESULT_EXIT_CODE, .exit_code = 4 }, SUP_ACTION_RESTART },
                { { .result = SUP_RESULT_SIGNAL, .exit_code = -1, .exit_signal = SIGSEGV },
                  SUP_ACTION_FAIL },
                { { .result = SUP_RESULT_SIGNAL, .exit_code = -1, .exit_signal = SIGBUS },
                  SUP_ACTION_RESTART },
                { { .result = SUP_RESULT_SUCCESS, .exit_code = 0 }, SUP_ACTION_STOP },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_int_equal(sup_restart_decide(&spec, &s, &cases[i].exit, 0, NOW, 0, &delay),
                                 cases[i].action);
}

static void test_delays_grow_from_first_to_longest_in_steps(void **state) {
        SupSpec spec = spec_of(SUP_RESTART_ALWAYS);
        SupRestartState s = {};
        usec_t before = 0, delay;

        spec.start_limit_burst = 0;
        for (unsigned i = 0; i < 20; i++) {
                assert_int_equal(decide(&spec, SUP_RESULT_SIGNAL, &s, &delay), SUP_ACTION_RESTART);
                assert_int_equal(s.restarts, i + 1);
                if (i == 0)
                        assert_int_equal(delay, spec.restart_usec);
                else if (i <= spec.restart_steps)
                        assert_true(delay > before);
                if (i >= spec.restart_steps)
                        assert_int_equal(delay, spec.restart_max_delay_usec);
                before = delay;
        }
        s.restarts = 4; /* half of the steps: the geometric mean of 1 s and 300 s */
        assert_int_equal(decide(&spec, SUP_RESULT_SIGNAL, &s, &delay), SUP_ACTION_RESTART);
        assert_in_range(delay, 17320507, 17320509);
}

static void test_without_steps_delays_do_not_grow(void **state) {
        SupSpec spec = spec_of(SUP_RESTART_ALWAYS);
        SupRestartState s = { .restarts = 50 };
        usec_t delay;
        spec.restart_steps = 0;
        assert_int_equal(decide(&spec, SUP_RESULT_SIGNAL, &s, &delay), SUP_ACTION_RESTART);
        assert_int_equal(delay, spec.restart_usec);
        spec.restart_steps = 8;
        spec.restart_usec = 0;
        assert_int_equal(decide(&spec, SUP_RESULT_SIGNAL, &s, &delay), SUP_ACTION_RESTART);
        assert_int_equal(delay, 0);
}

static void test_jitter_adds_up_to_a_quarter(void **state) {
        SupSpec spec = spec_of(SUP_RESTART_ALWAYS);
        SupExit exit = { .result = SUP_RESULT_SIGNAL, .time = NOW };
        usec_t lowest = USEC_INFINITY, highest = 0;
        uint64_t random = 88172645463325252U;

        for (unsigned i = 0; i < 10000; i++) {
                SupRestartState s = {};
                usec_t delay;
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                assert_int_equal(sup_restart_decide(&spec, &s, &exit, 0, NOW, random, &delay),
                                 SUP_ACTION_RESTART);
                lowest = MIN(lowest, delay);
                highest = MAX(highest, delay);
        }
        assert_in_range(lowest, USEC_PER_SEC, USEC_PER_SEC * 101 / 100);
        assert_in_range(highest, USEC_PER_SEC * 124 / 100, USEC_PER_SEC * 125 / 100);
}

static void test_ten_good_minutes_reset_the_back_off(void **state) {
        SupSpec spec = spec_of(SUP_RESTART_ALWAYS);
        SupExit exit = { .result = SUP_RESULT_SIGNAL, .time = NOW };
        SupRestartState s = { .restarts = 6 };
        usec_t delay;

        usec_t nearly = NOW - 10 * USEC_PER_MINUTE + 1;
        assert_int_equal(sup_restart_decide(&spec, &s, &exit, nearly, NOW, 0, &delay),
                         SUP_ACTION_RESTART);
        assert_int_equal(s.restarts, 7);
        usec_t good = NOW - 10 * USEC_PER_MINUTE;
        assert_int_equal(sup_restart_decide(&spec, &s, &exit, good, NOW, 0, &delay),
                         SUP_ACTION_RESTART);
        assert_int_equal(s.restarts, 1);
        assert_int_equal(delay, spec.restart_usec);
}

static void test_the_start_limit_counts_starts_within_its_window(void **state) {
        SupSpec spec = spec_of(SUP_RESTART_ALWAYS);
        SupExit exit = { .result = SUP_RESULT_SIGNAL, .time = NOW };
        SupRestartState s = {};
        usec_t delay = 0;

        spec.start_limit_burst = 3; /* the first start and two more */
        for (unsigned i = 0; i < 2; i++)
                assert_int_equal(sup_restart_decide(&spec, &s, &exit, NOW, NOW + i, 0, &delay),
                                 SUP_ACTION_RESTART);
        assert_int_equal(sup_restart_decide(&spec, &s, &exit, NOW, NOW + 3, 0, &delay),
                         SUP_ACTION_START_LIMIT);
        usec_t later = NOW + spec.start_limit_interval_usec;
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(sup_restart_decide(&spec, &s, &exit, NOW, later + i, 0, &delay),
                                 SUP_ACTION_RESTART);
        assert_int_equal(sup_restart_decide(&spec, &s, &exit, NOW, later + 4, 0, &delay),
                         SUP_ACTION_START_LIMIT);
}

static void test_a_clock_that_was_set_back_opens_a_new_window(void **state) {
        SupSpec spec = spec_of(SUP_RESTART_ALWAYS);
        SupExit exit = { .result = SUP_RESULT_SIGNAL, .time = 1 };
        SupRestartState s = { .window_start = NOW, .window_count = 10 };
        usec_t delay;
        assert_int_equal(sup_restart_decide(&spec, &s, &exit, 0, NOW - USEC_PER_DAY, 0, &delay),
                         SUP_ACTION_RESTART);
        assert_int_equal(s.window_start, NOW - USEC_PER_DAY);
        assert_int_equal(s.window_count, 1);
}

static void test_no_burst_or_no_interval_is_no_limit(void **state) {
        for (unsigned i = 0; i < 2; i++) {
                SupSpec spec = spec_of(SUP_RESTART_ALWAYS);
                SupRestartState s = {};
                if (i == 0)
                        spec.start_limit_burst = 0;
                else
                        spec.start_limit_interval_usec = 0;
                for (unsigned n = 0; n < 100; n++)
                        assert_int_equal(decide(&spec, SUP_RESULT_SIGNAL, &s, NULL),
                                         SUP_ACTION_RESTART);
        }
}

static void test_what_cannot_be_started_as_it_is_is_given_up_at_once(void **state) {
        static const struct {
                int error;
                SupAction action;
        } cases[] = {
                { ENOENT, SUP_ACTION_GIVE_UP },  { EACCES, SUP_ACTION_GIVE_UP },
                { ENOEXEC, SUP_ACTION_GIVE_UP }, { ENOTDIR, SUP_ACTION_GIVE_UP },
                { ENOMEM, SUP_ACTION_RESTART },  { EAGAIN, SUP_ACTION_RESTART },
                { EMFILE, SUP_ACTION_RESTART },  { 0, SUP_ACTION_RESTART },
        };
        SupSpec spec = spec_of(SUP_RESTART_ALWAYS), never = spec_of(SUP_RESTART_NO);

        ARRAY_FOREACH(c, cases) {
                SupExit exit = { .result = SUP_RESULT_EXEC,
                                 .exec_error = c->error,
                                 .exit_code = -1,
                                 .time = NOW };
                SupRestartState s = {};
                usec_t delay = 0;
                assert_int_equal(sup_restart_decide(&spec, &s, &exit, NOW - 1, NOW, 0, &delay),
                                 c->action);
                assert_int_equal(sup_restart_decide(&never, &s, &exit, NOW - 1, NOW, 0, &delay),
                                 SUP_ACTION_FAIL);
        }
        /* the same errno of something else says nothing */
        SupExit exit = {
                .result = SUP_RESULT_EXIT_CODE, .exec_error = ENOENT, .exit_code = 3, .time = NOW
        };
        SupRestartState s = {};
        usec_t delay = 0;
        assert_int_equal(sup_restart_decide(&spec, &s, &exit, NOW - 1, NOW, 0, &delay),
                         SUP_ACTION_RESTART);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_policy_restarts_after_its_results_only),
                cmocka_unit_test(test_a_stop_that_was_asked_for_is_never_followed_by_a_restart),
                cmocka_unit_test(test_excluded_statuses_prevent_a_restart),
                cmocka_unit_test(test_delays_grow_from_first_to_longest_in_steps),
                cmocka_unit_test(test_without_steps_delays_do_not_grow),
                cmocka_unit_test(test_jitter_adds_up_to_a_quarter),
                cmocka_unit_test(test_ten_good_minutes_reset_the_back_off),
                cmocka_unit_test(test_the_start_limit_counts_starts_within_its_window),
                cmocka_unit_test(test_a_clock_that_was_set_back_opens_a_new_window),
                cmocka_unit_test(test_no_burst_or_no_interval_is_no_limit),
                cmocka_unit_test(test_what_cannot_be_started_as_it_is_is_given_up_at_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
