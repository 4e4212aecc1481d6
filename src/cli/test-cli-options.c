/* SPDX-License-Identifier: MIT */

/* The command line and the table of verbs. What is said on stderr is tests/cli's; here it is which
 * words become what. */

#include "base/test.h"
#include "cli/verbs.h"

#define WORDS_MAX 32

typedef struct Parsed {
        Cli c;
        char *argv[WORDS_MAX];
        bool help;
        int r;
} Parsed;

static void parse(Parsed *p, const char *line) {
        char **words;
        size_t n;

        *p = (Parsed){};
        assert_int_equal(str_split_quoted(line, &words), 0);
        n = strv_length(words);
        assert_true(n + 1 < WORDS_MAX);
        p->argv[0] = strdup("agentd");
        for (size_t i = 0; i < n; i++)
                p->argv[i + 1] = words[i];
        free(words);
        cli_init(&p->c);
        /* A copy, since the parser moves the words. */
        char **copy = calloc(n + 2, sizeof(char *));
        memcpy(copy, p->argv, (n + 2) * sizeof(char *));
        p->r = cli_parse(&p->c, (int) n + 1, copy, &p->help);
        p->c.args = copy;
}

static void parsed_done(Parsed *p) {
        free(p->c.args);
        cli_done(&p->c);
        for (size_t i = 0; p->argv[i]; i++)
                free(p->argv[i]);
}

#define _cleanup_parsed_ _cleanup_(parsed_done)

static void test_options_may_stand_anywhere(void **state) {
        _cleanup_parsed_ Parsed p;

        parse(&p, "--json logs reader -fn20 --stream=stderr");
        assert_int_equal(p.r, 0);
        assert_string_equal(p.c.verb->name, "logs");
        assert_int_equal(p.c.n_args, 1);
        assert_string_equal(p.c.args[0], "reader");
        assert_true(p.c.json);
        assert_non_null(cli_option(&p.c, "follow"));
        assert_string_equal(cli_option(&p.c, "lines"), "20");
        assert_string_equal(cli_option(&p.c, "stream"), "stderr");
}

static void test_a_commands_own_options_are_left_alone(void **state) {
        _cleanup_parsed_ Parsed p, q;

        parse(&p, "run --name x python3 -u job.py --json");
        assert_int_equal(p.r, 0);
        assert_int_equal(p.c.n_args, 4);
        assert_string_equal(p.c.args[3], "--json");
        assert_false(p.c.json);
        parse(&q, "run --name x -- --strange");
        assert_int_equal(q.r, 0);
        assert_string_equal(q.c.args[0], "--strange");
}

static void test_repeated_options_keep_their_order(void **state) {
        _cleanup_parsed_ Parsed p;
        size_t cursor = 0;

        parse(&p, "create --tools b --name n --model m --tools a");
        assert_int_equal(p.r, 0);
        assert_string_equal(cli_option_next(&p.c, "tools", &cursor), "b");
        assert_string_equal(cli_option_next(&p.c, "tools", &cursor), "a");
        assert_null(cli_option_next(&p.c, "tools", &cursor));
        assert_string_equal(cli_option(&p.c, "tools"), "a");
}

static void test_start_knows_the_daemons_configuration(void **state) {
        _cleanup_parsed_ Parsed p, q;

        parse(&p, "start --checkpoint-interval 5s --port 9000 -d");
        assert_int_equal(p.r, 0);
        assert_string_equal(cli_option(&p.c, "checkpoint-interval"), "5s");
        assert_non_null(cli_option(&p.c, "detach"));
        parse(&q, "list --checkpoint-interval 5s");
        assert_int_equal(q.r, CLI_USAGE);
}

static void test_wrong_command_lines_are_usage_errors(void **state) {
        static const char *const wrong[] = {
                "lst",      "list --nmae x", "list -x",      "pause",
                "kill a b", "list -o tall",  "logs --lines", "list --json=1",
        };

        ARRAY_FOREACH(line, wrong) {
                _cleanup_parsed_ Parsed p;
                parse(&p, *line);
                assert_int_equal(p.r, CLI_USAGE);
        }
}

static void test_help_needs_no_arguments(void **state) {
        _cleanup_parsed_ Parsed p, q, r;

        parse(&p, "pause --help");
        assert_int_equal(p.r, 0);
        assert_true(p.help);
        parse(&q, "-h");
        assert_true(q.help);
        assert_null(q.c.verb);
        parse(&r, "");
        assert_true(r.help);
}

static void test_numbers_are_checked(void **state) {
        _cleanup_parsed_ Parsed p;
        uint64_t n = 7;

        parse(&p, "messages a -n 0");
        assert_int_equal(cli_option_number(&p.c, "lines", 1, 10, &n), CLI_USAGE);
        assert_int_equal(n, 7);
        assert_int_equal(cli_option_number(&p.c, "branch", 1, 10, &n), 0);
        assert_int_equal(n, 7);
}

static void check_options(const Verb *v, const CliOption *options) {
        for (const CliOption *o = options; o && o->name; o++) {
                assert_true(o->doc && *o->doc);
                for (const CliOption *g = global_options; g->name; g++) {
                        bool same_letter = o->letter && o->letter == g->letter;
                        if (streq(o->name, g->name) || same_letter)
                                fail_msg("%s: --%s hides an option of every verb", v->name, o->name);
                }
        }
}

static void test_every_verb_has_help_and_an_example_of_itself(void **state) {
        for (size_t i = 0; i < verb_table_size; i++) {
                const Verb *v = &verb_table[i];
                _cleanup_free_ char *begin = str_printf("agentd %s", v->name);

                assert_true(*v->summary && *v->group && v->args && v->run);
                if (!str_startswith(v->example, begin))
                        fail_msg("the example of %s is '%s'", v->name, v->example);
                assert_ptr_equal(verb_find(v->name), v);
                assert_true(!v->alias || verb_find(v->alias) == v);
                check_options(v, v->options);
        }
}

static void test_examples_are_command_lines_that_parse(void **state) {
        for (size_t i = 0; i < verb_table_size; i++) {
                _cleanup_parsed_ Parsed p;
                parse(&p, verb_table[i].example + strlen("agentd "));
                assert_int_equal(p.r, 0);
        }
}

static void test_text_is_json_only_if_it_reads_as_json(void **state) {
        static const struct {
                const char *text, *json;
                bool as_string;
        } cases[] = {
                { "3", "3", false },
                { "3", "\"3\"", true },
                { "hello", "\"hello\"", false },
                { "{\"a\": 1}", "{\"a\": 1}", false },
                { "null", "null", false },
                { "", "\"\"", false },
                { "{a}", "\"{a}\"", false },
                { "1.0", "1.0", false },
        };

        ARRAY_FOREACH(k, cases) {
                _cleanup_buf_ Buf b = BUF_INIT(1024);
                JsonWriter w = JSON_WRITER(&b);
                cli_write_value(&w, k->text, k->as_string);
                assert_string_equal(b.data, k->json);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_options_may_stand_anywhere),
                cmocka_unit_test(test_a_commands_own_options_are_left_alone),
                cmocka_unit_test(test_repeated_options_keep_their_order),
                cmocka_unit_test(test_start_knows_the_daemons_configuration),
                cmocka_unit_test(test_wrong_command_lines_are_usage_errors),
                cmocka_unit_test(test_help_needs_no_arguments),
                cmocka_unit_test(test_numbers_are_checked),
                cmocka_unit_test(test_every_verb_has_help_and_an_example_of_itself),
                cmocka_unit_test(test_examples_are_command_lines_that_parse),
                cmocka_unit_test(test_text_is_json_only_if_it_reads_as_json),
        };

        return cmocka_run_group_tests_name("cli-options", tests, NULL, NULL);
}
