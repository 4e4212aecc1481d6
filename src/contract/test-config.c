/* SPDX-License-Identifier: MIT */

/* Where values come from, what they become, and what is said about wrong ones. */

#include "base/str.h"
#include "base/test.h"
#include "contract/config-keys.h"

static int setup(void **state) {
        for (size_t i = 0; i < config_table_size; i++)
                (void) unsetenv(config_table[i].env);
        (void) unsetenv("CONFIGURATION_DIRECTORY");
        (void) unsetenv("STATE_DIRECTORY");
        (void) unsetenv("RUNTIME_DIRECTORY");
        return setenv("HOME", "/home/somebody", 1);
}

static size_t key(const char *env) {
        size_t i;

        assert_int_equal(config_index_by_env(env, &i), 0);
        return i;
}

static void load(DaemonConfig *c) {
        _cleanup_free_ char *message = NULL;

        assert_int_equal(config_load(c, NULL, 0, &message), 0);
        assert_null(message);
}

static void test_defaults_are_the_originals(void **state) {
        _cleanup_(config_done) DaemonConfig c = {};

        load(&c);
        assert_string_equal(c.db, "/home/somebody/.agent_runtime/state.db");
        assert_string_equal(c.memory_db, "/home/somebody/.agent_runtime/memory.db");
        assert_string_equal(c.host, "0.0.0.0");
        assert_int_equal(c.port, 8721);
        assert_int_equal(c.checkpoint_interval_usec, 60 * USEC_PER_SEC);
        assert_int_equal(c.session_timeout_usec, 3600 * USEC_PER_SEC);
        assert_string_equal(c.data_dir, "/home/somebody/.agent_runtime");
        assert_string_equal(c.runtime_dir, "/home/somebody/.agent_runtime/run");
        assert_string_equal(c.loopback, "user");
        assert_int_equal(strv_length(c.hosts), 0);
        assert_int_equal(c.memory_window, 50);
}

static void test_all_data_follows_the_database(void **state) {
        _cleanup_(config_done) DaemonConfig c = {};

        assert_int_equal(setenv("AGENT_RUNTIME_DB", "/srv/a/../data/s.db", 1), 0);
        load(&c);
        assert_string_equal(c.db, "/srv/data/s.db");
        assert_string_equal(c.memory_db, "/srv/data/memory.db");
        assert_string_equal(c.data_dir, "/srv/data");
        assert_string_equal(c.runtime_dir, "/srv/data/run");
        _cleanup_free_ char *socket = config_socket_path(&c);
        assert_string_equal(socket, "/srv/data/run/agentd.sock");
}

static void test_a_services_folders_are_better_than_the_default_and_weaker_than_what_is_said(
        void **state) {
        _cleanup_(config_done) DaemonConfig service = {}, said = {}, other = {};

        assert_int_equal(setenv("STATE_DIRECTORY", "/var/lib/agentd", 1), 0);
        assert_int_equal(setenv("RUNTIME_DIRECTORY", "/run/agentd", 1), 0);
        load(&service);
        assert_string_equal(service.db, "/var/lib/agentd/state.db");
        assert_string_equal(service.data_dir, "/var/lib/agentd");
        assert_string_equal(service.memory_db, "/var/lib/agentd/memory.db");
        assert_string_equal(service.runtime_dir, "/run/agentd");
        assert_string_equal(service.sources[key("AGENT_RUNTIME_DB")], "environment STATE_DIRECTORY");
        assert_int_equal(setenv("AGENT_RUNTIME_DB", "/srv/s.db", 1), 0);
        load(&said);
        assert_string_equal(said.db, "/srv/s.db");
        assert_string_equal(said.runtime_dir, "/run/agentd");
        assert_int_equal(unsetenv("AGENT_RUNTIME_DB"), 0);
        /* Of another service, or of several: not ours. */
        assert_int_equal(setenv("STATE_DIRECTORY", "/var/lib/other", 1), 0);
        assert_int_equal(setenv("RUNTIME_DIRECTORY", "/run/other:/run/agentd", 1), 0);
        load(&other);
        assert_string_equal(other.db, "/home/somebody/.agent_runtime/state.db");
        assert_string_equal(other.runtime_dir, "/home/somebody/.agent_runtime/run");
}

static void test_a_database_in_memory_or_elsewhere_keeps_the_default_folder(void **state) {
        static const char *const urls[][2] = { { "memory:", "memory:" },
                                               { "postgres://h/db",
                                                 "/home/somebody/.agent_runtime/memory.db" } };

        for (size_t i = 0; i < ELEMENTSOF(urls); i++) {
                _cleanup_(config_done) DaemonConfig c = {};
                assert_int_equal(setenv("AGENT_RUNTIME_DB", urls[i][0], 1), 0);
                load(&c);
                assert_string_equal(c.db, urls[i][0]);
                assert_string_equal(c.memory_db, urls[i][1]);
                assert_string_equal(c.data_dir, "/home/somebody/.agent_runtime");
        }
}

static void test_an_option_wins_over_the_environment_and_that_over_the_default(void **state) {
        _cleanup_(config_done) DaemonConfig c = {};
        _cleanup_free_ const char **options = calloc(config_table_size, sizeof(char *));

        assert_int_equal(setenv("AGENT_RUNTIME_PORT", "1000", 1), 0);
        assert_int_equal(setenv("AGENT_RUNTIME_HOST", "::1", 1), 0);
        assert_int_equal(setenv("AGENTD_LOG_LEVEL", "", 1), 0);
        options[key("AGENT_RUNTIME_PORT")] = "2000";
        assert_int_equal(config_load(&c, options, 0, NULL), 0);
        assert_int_equal(c.port, 2000);
        assert_string_equal(c.sources[key("AGENT_RUNTIME_PORT")], "option --port");
        assert_string_equal(c.host, "::1");
        assert_string_equal(c.sources[key("AGENT_RUNTIME_HOST")], "environment AGENT_RUNTIME_HOST");
        assert_string_equal(c.log_level, "info");
        assert_string_equal(c.sources[key("AGENTD_LOG_LEVEL")], "default");
}

static void test_spans_sizes_and_lists_are_read(void **state) {
        _cleanup_(config_done) DaemonConfig c = {};

        assert_int_equal(setenv("AGENT_RUNTIME_CHECKPOINT_INTERVAL", "1min 30s", 1), 0);
        assert_int_equal(setenv("AGENT_RUNTIME_SESSION_TIMEOUT", "0", 1), 0);
        assert_int_equal(setenv("AGENTD_BODY_MAX", "2M", 1), 0);
        assert_int_equal(setenv("AGENTD_HOSTS", "a.example, b.example  c", 1), 0);
        load(&c);
        assert_int_equal(c.checkpoint_interval_usec, 90 * USEC_PER_SEC);
        assert_int_equal(c.session_timeout_usec, 0);
        assert_int_equal(c.body_max, 2 << 20);
        assert_int_equal(strv_length(c.hosts), 3);
        assert_string_equal(c.hosts[1], "b.example");
        _cleanup_free_ char *hosts = config_value_to_string(&c, key("AGENTD_HOSTS"));
        assert_string_equal(hosts, "a.example b.example c");
}

static void test_a_wrong_value_is_named_with_what_is_allowed(void **state) {
        static const struct {
                const char *env, *value, *expected;
        } rows[] = {
                { "AGENT_RUNTIME_PORT", "eighty",
                  "AGENT_RUNTIME_PORT=eighty: expected a number from 0 to 65535" },
                { "AGENT_RUNTIME_PORT", "65536",
                  "AGENT_RUNTIME_PORT=65536: expected a number from 0 to 65535" },
                { "AGENTD_LOG_LEVEL", "loud",
                  "AGENTD_LOG_LEVEL=loud: expected one of: error warning notice info debug" },
                { "AGENTD_AUTH_LOOPBACK", "use",
                  "AGENTD_AUTH_LOOPBACK=use: expected one of: user token" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *message = NULL;
                DaemonConfig c = { .port = 7 };

                assert_int_equal(setenv(rows[i].env, rows[i].value, 1), 0);
                assert_int_equal(config_load(&c, NULL, 0, &message), -EINVAL);
                assert_string_equal(message, rows[i].expected);
                assert_int_equal(c.port, 7); /* untouched */
                assert_int_equal(unsetenv(rows[i].env), 0);
        }
}

static void test_a_socket_path_that_is_too_long_is_refused(void **state) {
        _cleanup_free_ char *message = NULL;
        DaemonConfig c = {};
        char path[160];

        memset(path, 'x', sizeof(path) - 1);
        path[0] = '/';
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(setenv("AGENTD_RUNTIME_DIR", path, 1), 0);
        assert_int_equal(config_load(&c, NULL, 0, &message), -EINVAL);
        assert_non_null(strstr(message, "AGENTD_RUNTIME_DIR"));
}

static void test_every_key_has_words_for_people_and_a_default_that_it_accepts(void **state) {
        _cleanup_(config_done) DaemonConfig c = {};

        load(&c); /* reads every default */
        for (size_t i = 0; i < config_table_size; i++) {
                _cleanup_free_ char *text = config_value_to_string(&c, i);

                assert_non_null(text);
                assert_true(strlen(config_table[i].doc) > 5);
                assert_true(config_table[i].fallback || strstr(config_table[i].doc, "default"));
                for (size_t k = 0; k < i; k++) {
                        assert_string_not_equal(config_table[k].env, config_table[i].env);
                        assert_true(config_table[k].offset != config_table[i].offset);
                        assert_true(!config_table[i].option ||
                                    !streq_ptr(config_table[k].option, config_table[i].option));
                }
        }
        size_t unknown;
        assert_int_equal(config_index_by_env("AGENTD_NOTHING", &unknown), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_defaults_are_the_originals, setup),
                cmocka_unit_test_setup(test_all_data_follows_the_database, setup),
                cmocka_unit_test_setup(
                        test_a_services_folders_are_better_than_the_default_and_weaker_than_what_is_said,
                        setup),
                cmocka_unit_test_setup(
                        test_a_database_in_memory_or_elsewhere_keeps_the_default_folder, setup),
                cmocka_unit_test_setup(
                        test_an_option_wins_over_the_environment_and_that_over_the_default, setup),
                cmocka_unit_test_setup(test_spans_sizes_and_lists_are_read, setup),
                cmocka_unit_test_setup(test_a_wrong_value_is_named_with_what_is_allowed, setup),
                cmocka_unit_test_setup(test_a_socket_path_that_is_too_long_is_refused, setup),
                cmocka_unit_test_setup(
                        test_every_key_has_words_for_people_and_a_default_that_it_accepts, setup),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
