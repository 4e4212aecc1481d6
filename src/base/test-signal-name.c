/* SPDX-License-Identifier: MIT */

/* Every signal of this machine, and every way to write one. */

#include <signal.h>

#include "base/signal-name.h"
#include "base/test.h"

static void test_names_go_both_ways(void **state) {
        for (int signo = 1; signo <= SIGRTMAX; signo++) {
                char name[SIGNAL_NAME_SIZE];
                int back;

                if (signo >= 32 && signo < SIGRTMIN)
                        continue; /* glibc's own */
                assert_int_equal(signal_from_string(signal_to_string(signo, name), &back), 0);
                assert_int_equal(back, signo);
        }
}

static void test_spellings(void **state) {
        static const struct {
                const char *text;
                int signo;
        } rows[] = { { "SIGTERM", SIGTERM },
                     { "TERM", SIGTERM },
                     { "sigterm", SIGTERM },
                     { "15", 15 },
                     { "64", 64 } };
        int signo;

        ARRAY_FOREACH(row, rows) {
                assert_int_equal(signal_from_string(row->text, &signo), 0);
                assert_int_equal(signo, row->signo);
        }
        assert_int_equal(signal_from_string("RTMAX-1", &signo), 0);
        assert_int_equal(signo, SIGRTMAX - 1);
        assert_int_equal(signal_from_string("SIGRTMIN", &signo), 0);
        assert_int_equal(signo, SIGRTMIN);
}

static void test_what_is_no_signal_is_refused(void **state) {
        static const char *const words[] = { "",        "0",     "65",       "-1",      "SIG",
                                             "SIGNOPE", "TERM ", "RTMIN+99", "RTMIN-1", "RTMIN+" };
        int signo = -1;

        ARRAY_FOREACH(word, words)
                assert_int_equal(signal_from_string(*word, &signo), -EINVAL);
        assert_int_equal(signo, -1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names_go_both_ways),
                cmocka_unit_test(test_spellings),
                cmocka_unit_test(test_what_is_no_signal_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
