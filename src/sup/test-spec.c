/* SPDX-License-Identifier: MIT */

/* Every key of the table, every spelling, every kind of wrong value; and that table and code agree on the defaults. */

#include <signal.h>

#include "base/test.h"
#include "contract/unit-keys.h"
#include "sup/exit-set.h"
#include "sup/spec-internal.h"

static JsonSpan check(const char *text) {
        JsonSpan span;
        assert_int_equal(json_check(text, strlen(text), JSON_DEPTH_MAX, &span, NULL), 0);
        return span;
}

static SupSpec *parse(const char *text) {
        FieldErrors e = {};
        SupSpec *s = NULL;

        int r = sup_spec_parse(check(text), &s, &e);
        if (r != 0)
                print_error("%s: %s: %s\n", text, e.items[0].type, e.items[0].msg);
        assert_int_equal(r, 0);
        assert_int_equal(e.n, 0);
        return s;
}

/* `key`: value beside a good exec. */
static SupSpec *parse_key(const char *key, const char *value) {
        _cleanup_free_ char *text = str_printf("{\"exec\":\"/bin/true\",\"%s\":%s}", key, value);
        return parse(text);
}

static void refuse(const char *text, const char *type, const char *field, const char *part) {
        FieldErrors e = {};
        SupSpec *s = NULL;

        assert_int_equal(sup_spec_parse(check(text), &s, &e), 1);
        assert_null(s);
        assert_string_equal(e.items[0].type, type);
        assert_string_equal(e.items[0].field, field);
        assert_string_equal(e.items[0].place, "body");
        if (!strstr(e.items[0].msg, part))
                print_error("%s: %s\n", text, e.items[0].msg);
        assert_non_null(strstr(e.items[0].msg, part));
}

static void refuse_key(const char *key, const char *value, const char *part) {
        _cleanup_free_ char *text = str_printf("{\"exec\":\"/bin/true\",\"%s\":%s}", key, value);
        _cleanup_free_ char *field = str_printf("agent.%s", key);
        refuse(text, "value_error", field, part);
}

static void test_defaults_of_the_code_are_those_of_the_table(void **state) {
        _cleanup_(sup_spec_freep) SupSpec *bare = parse("{\"exec\":\"/bin/true\"}");

        for (size_t i = 0; i < n_unit_keys; i++) {
                const UnitKey *k = &unit_keys[i];
                if (!k->built || !k->fallback)
                        continue;
                _cleanup_free_ char *quoted = str_printf("\"%s\"", k->fallback);
                _cleanup_(sup_spec_freep) SupSpec *s = parse_key(k->api_name, quoted);
                /* Everything but the pointers, which differ by nature. */
                s->exec = strv_free(s->exec);
                SupSpec a = *s, b = *bare;
                a.exec = b.exec = NULL;
                assert_memory_equal(&a, &b, sizeof(a));
        }
}

static void test_every_built_key_is_read_and_every_other_refused(void **state) {
        for (size_t i = 0; i < n_unit_keys; i++) {
                const UnitKey *k = &unit_keys[i];
                _cleanup_free_ char *text =
                        str_printf("{\"exec\":\"/bin/true\",\"%s\":{\"nonsense\":[]}}", k->api_name);
                if (k->built)
                        refuse(text, "value_error", k->loc, "Value error, ");
                else
                        refuse(text, "not_built", k->loc, "is not built in this version");
        }
}

static void test_rows_of_the_table_are_sound(void **state) {
        for (size_t i = 0; i < n_unit_keys; i++) {
                const UnitKey *k = &unit_keys[i];
                assert_ptr_equal(unit_key_find(k->api_name), k);
                assert_non_null(unit_key_type_to_string(k->type));
                assert_true(k->doc[0] != '\0');
                assert_int_equal(k->built && k->type == UNIT_KEY_WORD, k->values != NULL);
                for (size_t j = 0; j < i; j++)
                        assert_string_not_equal(k->name, unit_keys[j].name);
        }
}

static void test_unknown_keys_name_the_nearest_one(void **state) {
        refuse("{\"exec\":\"x\",\"restrat\":\"no\"}", "unknown_key", "agent",
               "did you mean 'restart'?");
        refuse("{\"exec\":\"x\",\"RestartSec\":1}", "unknown_key", "agent",
               "did you mean 'restart_sec'?");
        refuse("{\"exec\":\"x\",\"qqqqqqqqqq\":1}", "unknown_key", "agent",
               "Unknown key 'qqqqqqqqqq'");
}

static void test_null_means_absent(void **state) {
        _cleanup_(sup_spec_freep) SupSpec *s =
                parse("{\"exec\":\"x\",\"restart\":null,\"workspace\":null,\"memory_max\":null}");
        assert_int_equal(s->restart, SUP_RESTART_ON_FAILURE);
        assert_null(s->workspace);
}

static void test_exec_is_a_quoted_line_or_an_array(void **state) {
        _cleanup_(sup_spec_freep) SupSpec *line =
                parse("{\"exec\":\"sh -c 'echo \\\"hi there\\\"' a\\\\x41\"}");
        _cleanup_(sup_spec_freep) SupSpec *array = parse("{\"exec\":[\"sh\",\"-c\",\"a b\",\"\"]}");

        assert_int_equal(strv_length(line->exec), 4);
        assert_string_equal(line->exec[2], "echo \"hi there\"");
        assert_string_equal(line->exec[3], "aA");
        assert_int_equal(strv_length(array->exec), 4);
        assert_string_equal(array->exec[2], "a b");
        assert_string_equal(array->exec[3], "");
}

static void test_exec_must_name_a_program(void **state) {
        refuse("{}", "missing", "agent.exec", "required");
        refuse("{\"exec\":null}", "missing", "agent.exec", "required");
        refuse("{\"exec\":\"\"}", "value_error", "agent.exec", "empty");
        refuse("{\"exec\":[]}", "value_error", "agent.exec", "empty");
        refuse("{\"exec\":[\"\"]}", "value_error", "agent.exec", "empty");
        refuse("{\"exec\":\"sh 'open\"}", "value_error", "agent.exec", "quote");
        refuse("{\"exec\":7}", "value_error", "agent.exec", "command line");
        refuse("{\"exec\":[\"a\\u0000b\"]}", "value_error", "agent.exec", "NUL");
        refuse("{\"exec\":[[\"a\"]]}", "value_error", "agent.exec", "command line");
        refuse("[]", "dict_type", "agent", "dictionary");
}

static void test_an_empty_resume_command_is_none(void **state) {
        _cleanup_(sup_spec_freep) SupSpec *none = parse_key("exec_resume", "\"\"");
        _cleanup_(sup_spec_freep) SupSpec *some = parse_key("exec_resume", "\"claude --resume\"");
        assert_null(none->exec_resume);
        assert_string_equal(some->exec_resume[1], "--resume");
        refuse_key("exec_resume", "\"'\"", "quote");
}

static void test_workspace_is_an_absolute_path(void **state) {
        _cleanup_(sup_spec_freep) SupSpec *s = parse_key("workspace", "\"/srv//data/./x/../y\"");
        assert_string_equal(s->workspace, "/srv/data/y");
        refuse_key("workspace", "\"work\"", "absolute");
        refuse_key("workspace", "\"\"", "absolute");
        refuse_key("workspace", "1", "absolute");
}

static void test_environment_has_three_spellings(void **state) {
        static const char *const spellings[] = {
                "{\"A\":\"1\",\"B_2\":\"x y\"}",
                "[\"A=1\",\"B_2=x y\"]",
                "\"A=1 'B_2=x y'\"",
        };
        for (size_t i = 0; i < ELEMENTSOF(spellings); i++) {
                _cleanup_(sup_spec_freep) SupSpec *s = parse_key("environment", spellings[i]);
                assert_int_equal(strv_length(s->environment), 2);
                assert_string_equal(strv_env_get(s->environment, "A"), "1");
                assert_string_equal(strv_env_get(s->environment, "B_2"), "x y");
        }
        _cleanup_(sup_spec_freep) SupSpec *last = parse_key("environment", "[\"A=1\",\"A=2\"]");
        assert_int_equal(strv_length(last->environment), 1);
        assert_string_equal(strv_env_get(last->environment, "A"), "2");
        refuse_key("environment", "{\"1A\":\"x\"}", "'1A'");
        refuse_key("environment", "{\"\":\"x\"}", "name");
        refuse_key("environment", "{\"A\":true}", "object of strings");
        refuse_key("environment", "[\"A\"]", "NAME=value");
        refuse_key("environment", "\"A-B=1\"", "'A-B'");
}

static void test_restart_knows_systemds_words(void **state) {
        static const char *const words[_SUP_RESTART_MAX] = { "\"no\"", "\"on-success\"",
                                                             "\"on-failure\"", "\"on-abnormal\"",
                                                             "\"always\"" };
        for (int i = 0; i < _SUP_RESTART_MAX; i++) {
                _cleanup_(sup_spec_freep) SupSpec *s = parse_key("restart", words[i]);
                assert_int_equal(s->restart, i);
        }
        refuse_key("restart", "\"never\"", "one of: no, on-success, on-failure, on-abnormal, always");
        refuse_key("restart", "false", "one of");
}

static void test_times_are_seconds_or_spans(void **state) {
        _cleanup_(sup_spec_freep) SupSpec *a = parse_key("restart_sec", "2");
        _cleanup_(sup_spec_freep) SupSpec *b = parse_key("restart_sec", "0.25");
        _cleanup_(sup_spec_freep) SupSpec *c = parse_key("restart_sec", "\"1min 500ms\"");
        _cleanup_(sup_spec_freep) SupSpec *d = parse_key("start_limit_interval_sec", "\"0\"");
        assert_int_equal(a->restart_usec, 2 * USEC_PER_SEC);
        assert_int_equal(b->restart_usec, USEC_PER_SEC / 4);
        assert_int_equal(c->restart_usec, 60 * USEC_PER_SEC + 500 * USEC_PER_MSEC);
        assert_int_equal(d->start_limit_interval_usec, 0);
        refuse_key("restart_sec", "-1", "duration");
        refuse_key("restart_sec", "1e300", "duration");
        refuse_key("restart_sec", "\"soon\"", "duration");
        refuse_key("restart_sec", "\"infinity\"", "finite");
        refuse_key("restart_max_delay_sec", "\"infinity\"", "finite");
        refuse_key("start_limit_interval_sec", "true", "duration");
}

static void test_timeouts_are_switched_off_by_zero_and_infinity(void **state) {
        static const char *const off[] = { "0", "\"0\"", "\"infinity\"" };
        for (size_t i = 0; i < ELEMENTSOF(off); i++) {
                _cleanup_(sup_spec_freep) SupSpec *start = parse_key("timeout_start_sec", off[i]);
                _cleanup_(sup_spec_freep) SupSpec *stop = parse_key("timeout_stop_sec", off[i]);
                assert_true(start->timeout_start_usec == USEC_INFINITY);
                assert_true(stop->timeout_stop_usec == USEC_INFINITY);
        }
        _cleanup_(sup_spec_freep) SupSpec *s = parse_key("timeout_stop_sec", "\"5s\"");
        assert_int_equal(s->timeout_stop_usec, 5 * USEC_PER_SEC);
        refuse_key("timeout_stop_sec", "[]", "duration");
        refuse_key("timeout_start_sec", "\"\"", "duration");
}

static void test_the_longest_delay_is_never_shorter_than_the_first(void **state) {
        _cleanup_(sup_spec_freep) SupSpec *s = parse_key("restart_sec", "\"1h\"");
        assert_int_equal(s->restart_max_delay_usec, USEC_PER_HOUR);
}

static void test_counts_are_not_negative(void **state) {
        _cleanup_(sup_spec_freep) SupSpec *steps = parse_key("restart_steps", "0");
        _cleanup_(sup_spec_freep) SupSpec *burst = parse_key("start_limit_burst", "\"3\"");
        assert_int_equal(steps->restart_steps, 0);
        assert_int_equal(burst->start_limit_burst, 3);
        refuse_key("restart_steps", "-1", "not negative");
        refuse_key("restart_steps", "1.5", "not negative");
        refuse_key("start_limit_burst", "5000000000", "not negative");
        refuse_key("start_limit_burst", "\"many\"", "not negative");
}

static void test_exit_sets_hold_statuses_and_signals(void **state) {
        static const char *const spellings[] = { "\"1 255 SIGKILL\"", "[1,\"255\",\"kill\"]" };
        for (size_t i = 0; i < ELEMENTSOF(spellings); i++) {
                _cleanup_(sup_spec_freep) SupSpec *s = parse_key("success_exit_status", spellings[i]);
                for (int status = 0; status < 256; status++)
                        assert_int_equal(sup_exit_set_has_status(&s->success, status),
                                         status == 1 || status == 255);
                for (int signo = 1; signo <= 64; signo++)
                        assert_int_equal(sup_exit_set_has_signal(&s->success, signo),
                                         signo == SIGKILL);
        }
        _cleanup_(sup_spec_freep) SupSpec *one = parse_key("restart_prevent_exit_status", "7");
        assert_true(sup_exit_set_has_status(&one->restart_prevent, 7));
        refuse_key("success_exit_status", "256", "'256'");
        refuse_key("success_exit_status", "\"1 -2\"", "'-2'");
        refuse_key("restart_prevent_exit_status", "\"SIGNOPE\"", "'SIGNOPE'");
        refuse_key("restart_prevent_exit_status", "[[1]]", "exit statuses");
}

static void test_a_set_matches_the_way_a_run_ended(void **state) {
        SupExitSet set = {};
        assert_int_equal(sup_exit_set_add(&set, "9"), 0);
        assert_int_equal(sup_exit_set_add(&set, "SIGTERM"), 0);
        assert_true(sup_exit_set_matches(&set, &(SupExit){ .exit_code = 9 }));
        assert_false(sup_exit_set_matches(&set, &(SupExit){ .exit_code = -1, .exit_signal = 9 }));
        assert_true(sup_exit_set_matches(&set, &(SupExit){ .exit_code = -1, .exit_signal = SIGTERM }));
        assert_false(sup_exit_set_matches(&set, &(SupExit){ .exit_code = -1 }));
}

static void test_signals_have_three_spellings(void **state) {
        static const char *const spellings[] = { "\"SIGINT\"", "\"int\"", "2", "\"2\"" };
        for (size_t i = 0; i < ELEMENTSOF(spellings); i++) {
                _cleanup_(sup_spec_freep) SupSpec *s = parse_key("kill_signal", spellings[i]);
                assert_int_equal(s->kill_signal, SIGINT);
        }
        refuse_key("kill_signal", "0", "signal");
        refuse_key("kill_signal", "65", "signal");
        refuse_key("kill_signal", "\"SIGSTOPP\"", "signal");
        refuse_key("kill_signal", "\"\"", "signal");
}

static void test_on_daemon_stop_is_keep_or_stop(void **state) {
        _cleanup_(sup_spec_freep) SupSpec *keep = parse_key("on_daemon_stop", "\"keep\"");
        _cleanup_(sup_spec_freep) SupSpec *stop = parse_key("on_daemon_stop", "\"stop\"");
        assert_false(keep->stop_with_daemon);
        assert_true(stop->stop_with_daemon);
        refuse_key("on_daemon_stop", "\"park\"", "one of: keep, stop");
}

static void test_all_errors_are_reported_at_once(void **state) {
        FieldErrors e = {};
        SupSpec *s = NULL;
        JsonSpan agent = check("{\"exec\":\"\",\"restart\":\"x\",\"nice\":1,\"wrkspace\":\"/\"}");
        assert_int_equal(sup_spec_parse(agent, &s, &e), 4);
        assert_int_equal(e.n, 4);
        assert_null(s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults_of_the_code_are_those_of_the_table),
                cmocka_unit_test(test_every_built_key_is_read_and_every_other_refused),
                cmocka_unit_test(test_rows_of_the_table_are_sound),
                cmocka_unit_test(test_unknown_keys_name_the_nearest_one),
                cmocka_unit_test(test_null_means_absent),
                cmocka_unit_test(test_exec_is_a_quoted_line_or_an_array),
                cmocka_unit_test(test_exec_must_name_a_program),
                cmocka_unit_test(test_an_empty_resume_command_is_none),
                cmocka_unit_test(test_workspace_is_an_absolute_path),
                cmocka_unit_test(test_environment_has_three_spellings),
                cmocka_unit_test(test_restart_knows_systemds_words),
                cmocka_unit_test(test_times_are_seconds_or_spans),
                cmocka_unit_test(test_timeouts_are_switched_off_by_zero_and_infinity),
                cmocka_unit_test(test_the_longest_delay_is_never_shorter_than_the_first),
                cmocka_unit_test(test_counts_are_not_negative),
                cmocka_unit_test(test_exit_sets_hold_statuses_and_signals),
                cmocka_unit_test(test_a_set_matches_the_way_a_run_ended),
                cmocka_unit_test(test_signals_have_three_spellings),
                cmocka_unit_test(test_on_daemon_stop_is_keep_or_stop),
                cmocka_unit_test(test_all_errors_are_reported_at_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
