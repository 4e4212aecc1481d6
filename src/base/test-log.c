/* SPDX-License-Identifier: MIT */

/* Whole lines as they arrive at the other end of stderr. */

#include <fcntl.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/test.h"

/* stderr goes to a pipe while a test runs. */
typedef struct Capture {
        int saved, reader;
} Capture;

static int setup(void **state) {
        static Capture c;
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        c.saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        c.reader = fds[0];
        assert_true(c.saved >= 0);
        assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
        fd_close(fds[1]);
        clock_fake(UINT64_C(1795334016123456), 0);
        *state = &c;
        return 0;
}

static int teardown(void **state) {
        Capture *c = *state;

        assert_true(dup2(c->saved, STDERR_FILENO) >= 0);
        c->saved = fd_close(c->saved);
        c->reader = fd_close(c->reader);
        (void) unsetenv("JOURNAL_STREAM");
        clock_fake(USEC_INFINITY, USEC_INFINITY);
        return 0;
}

static void assert_line(void **state, const char *expected) {
        const Capture *c = *state;
        char line[4096] = "";

        assert_int_equal(read(c->reader, line, sizeof(line) - 1), strlen(expected));
        assert_string_equal(line, expected);
}

static void test_a_terminal_gets_time_level_and_program(void **state) {
        log_open("keeper", LOG_LEVEL_INFO);
        log_info("started %d", 7);
        assert_line(state, "2026-11-22T07:53:36.123456Z info keeper: started 7\n");
}

static void test_the_journal_gets_its_prefix(void **state) {
        char stream[64];
        struct stat st;

        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        (void) snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t) st.st_dev,
                        (uintmax_t) st.st_ino);
        assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
        log_open("agentd", LOG_LEVEL_INFO);
        log_notice("x");
        assert_line(state, "<5>agentd: x\n");
        assert_int_equal(log_warning(-ENOENT, "file %s", "f"), -ENOENT);
        assert_line(state, "<4>agentd: file f: No such file or directory\n");
}

static void test_an_inherited_journal_stream_is_not_believed(void **state) {
        assert_int_equal(setenv("JOURNAL_STREAM", "1:2", 1), 0);
        log_open("agentd", LOG_LEVEL_INFO);
        log_info("x");
        assert_line(state, "2026-11-22T07:53:36.123456Z info agentd: x\n");
}

static void test_errors_are_returned_negative_and_errno_is_kept(void **state) {
        log_open("agentd", LOG_LEVEL_ERROR);
        errno = ENXIO;
        assert_int_equal(log_error(-EACCES, "a"), -EACCES);
        assert_int_equal(log_error(EACCES, "a"), -EACCES);
        assert_int_equal(log_error(0, "a"), 0);
        assert_int_equal(log_warning(-EACCES, "not shown"), -EACCES);
        assert_int_equal(errno, ENXIO);
        assert_line(state, "2026-11-22T07:53:36.123456Z error agentd: a: Permission denied\n"
                           "2026-11-22T07:53:36.123456Z error agentd: a: Permission denied\n"
                           "2026-11-22T07:53:36.123456Z error agentd: a\n");
}

static int evaluated;

static int evaluate(void) {
        return ++evaluated;
}

static void test_debug_costs_nothing_when_it_is_off(void **state) {
        log_open("agentd", LOG_LEVEL_INFO);
        log_debug("%d", evaluate());
        assert_int_equal(evaluated, 0);
        log_set_level(LOG_LEVEL_DEBUG);
        assert_int_equal(log_level(), LOG_LEVEL_DEBUG);
        log_debug("%d", evaluate());
        assert_line(state, "2026-11-22T07:53:36.123456Z debug agentd: 1\n");
}

static void test_one_call_is_one_line_whatever_is_in_it(void **state) {
        log_open("agentd", LOG_LEVEL_INFO);
        log_info("a\nforged \x1b[31m\x7f \xc3\xa4");
        assert_line(state, "2026-11-22T07:53:36.123456Z info agentd: a?forged ?[31m? \xc3\xa4\n");
}

static void test_long_lines_are_cut_and_still_end(void **state) {
        const Capture *c = *state;
        char line[8192] = "";

        log_open("agentd", LOG_LEVEL_INFO);
        assert_int_equal(log_error(ENOENT, "%05000d", 1), -ENOENT);
        ssize_t n = read(c->reader, line, sizeof(line) - 1);
        assert_true(n > 1000 && n <= 2048);
        assert_int_equal(line[n - 1], '\n');
        assert_ptr_equal(strchr(line, '\n'), line + n - 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_a_terminal_gets_time_level_and_program, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_the_journal_gets_its_prefix, setup, teardown),
                cmocka_unit_test_setup_teardown(test_an_inherited_journal_stream_is_not_believed,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(test_errors_are_returned_negative_and_errno_is_kept,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(test_debug_costs_nothing_when_it_is_off, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_one_call_is_one_line_whatever_is_in_it, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_long_lines_are_cut_and_still_end, setup,
                                                teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
