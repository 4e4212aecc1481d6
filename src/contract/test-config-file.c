/* SPDX-License-Identifier: MIT */

/* agentd.conf, its drop-ins and its place: what counts, and what is said about what is wrong. */

#include <fcntl.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/test.h"
#include "contract/config-keys.h"

static char *folder; /* HOME of the tests; agentd.conf is in .agent_runtime of it */

static size_t key(const char *env) {
        size_t i;

        assert_int_equal(config_index_by_env(env, &i), 0);
        return i;
}

static int setup(void **state) {
        char template[] = "/tmp/test-config-XXXXXX";

        for (size_t i = 0; i < config_table_size; i++)
                (void) unsetenv(config_table[i].env);
        (void) unsetenv("CONFIGURATION_DIRECTORY");
        (void) unsetenv("STATE_DIRECTORY");
        (void) unsetenv("RUNTIME_DIRECTORY");
        folder = strdup(mkdtemp(template));
        return folder ? setenv("HOME", folder, 1) : -1;
}

static int teardown(void **state) {
        int r = fs_remove_tree(AT_FDCWD, folder);

        free(folder);
        return r;
}

static void put(const char *name, const char *text) {
        _cleanup_free_ char *path = str_printf("%s/.agent_runtime/%s", folder, name),
                            *dir = strdup(path);

        *strrchr(dir, '/') = '\0';
        assert_int_equal(fs_mkdir_p(dir, 0700), 0);
        assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

static void load(DaemonConfig *c) {
        _cleanup_free_ char *message = NULL;
        int r = config_load(c, NULL, 0, &message);

        if (r < 0)
                fail_msg("%s", message);
        assert_null(message);
}

static void test_another_database_by_option_leaves_the_places_of_the_files_one(void **state) {
        _cleanup_(config_done) DaemonConfig c = {}, same = {};
        const char *options[64] = {};

        put("agentd.conf", "[Daemon]\nDatabase=/srv/state.db\nMemoryDatabase=/srv/m.db\n"
                           "DataDir=/srv/data\nRuntimeDir=/run/agentd\nPort=9000\n");
        assert_true(config_table_size <= ELEMENTSOF(options));
        options[key("AGENT_RUNTIME_DB")] = "/copy/state.db";
        assert_int_equal(config_load(&c, options, 0, NULL), 0);
        assert_string_equal(c.memory_db, "/copy/memory.db");
        assert_string_equal(c.data_dir, "/copy");
        assert_string_equal(c.runtime_dir, "/copy/run");
        assert_int_equal(c.port, 9000);

        options[key("AGENT_RUNTIME_DB")] = "/srv/../srv/state.db";
        assert_int_equal(config_load(&same, options, 0, NULL), 0);
        assert_string_equal(same.memory_db, "/srv/m.db");
        assert_string_equal(same.runtime_dir, "/run/agentd");
}

static void expect_origin(const DaemonConfig *c, const char *env, const char *file, unsigned line) {
        _cleanup_free_ char *expected = str_printf("%s/.agent_runtime/%s:%u", folder, file, line);

        assert_string_equal(c->sources[key(env)], expected);
}

static void test_the_file_counts_over_defaults_and_says_where(void **state) {
        _cleanup_(config_done) DaemonConfig c = {};

        put("agentd.conf",
            "# mine\n[Daemon]\nPort=9000\nDatabase=~/d/s.db\n\n[Session]\nCheckpointInterval=5s\n");
        load(&c);
        assert_int_equal(c.port, 9000);
        assert_int_equal(c.checkpoint_interval_usec, 5 * USEC_PER_SEC);
        _cleanup_free_ char *db = path_join(folder, "d/s.db");
        assert_string_equal(c.db, db);
        expect_origin(&c, "AGENT_RUNTIME_PORT", "agentd.conf", 3);
        expect_origin(&c, "AGENT_RUNTIME_CHECKPOINT_INTERVAL", "agentd.conf", 7);
        assert_string_equal(c.sources[key("AGENT_RUNTIME_HOST")], "default");
        assert_int_equal(strv_length(c.files), 1);
}

static void test_options_win_over_environment_over_drop_ins_over_the_file(void **state) {
        _cleanup_(config_done) DaemonConfig c = {};
        _cleanup_free_ const char **options = calloc(config_table_size, sizeof(char *));

        put("agentd.conf", "[Daemon]\nPort=1\nHost=a\nLogLevel=error\n[Limits]\nSessions=5\n");
        put("agentd.conf.d/10-b.conf", "[Daemon]\nPort=2\nHost=b\nLogLevel=warning\n");
        put("agentd.conf.d/9-a.conf", "[Daemon]\nPort=3\nHost=c\nLogLevel=debug\n");
        assert_int_equal(setenv("AGENT_RUNTIME_HOST", "env", 1), 0);
        assert_int_equal(setenv("AGENT_RUNTIME_PORT", "4", 1), 0);
        options[key("AGENT_RUNTIME_PORT")] = "5";
        assert_int_equal(config_load(&c, options, 0, NULL), 0);
        assert_int_equal(c.port, 5);
        assert_string_equal(c.host, "env");
        assert_string_equal(c.log_level, "debug"); /* "9-a" comes behind "10-b" */
        expect_origin(&c, "AGENTD_LOG_LEVEL", "agentd.conf.d/9-a.conf", 4);
        assert_int_equal(c.sessions_max, 5);
        expect_origin(&c, "AGENTD_MAX_SESSIONS", "agentd.conf", 6);
}

static void test_only_visible_conf_files_are_drop_ins(void **state) {
        _cleanup_(config_done) DaemonConfig c = {};

        put("agentd.conf.d/.hidden.conf", "nonsense\n");
        put("agentd.conf.d/a.conf.bak", "nonsense\n");
        put("agentd.conf.d/a.conf~", "nonsense\n");
        put("agentd.conf.d/.conf", "nonsense\n");
        load(&c);
        assert_null(c.files);
}

static void test_lists_grow_and_an_empty_value_takes_back(void **state) {
        _cleanup_(config_done) DaemonConfig c = {};

        put("agentd.conf", "[Auth]\nHosts=a b\nHosts=c\nOrigins=x\n[Daemon]\nPort=1\n");
        put("agentd.conf.d/1.conf", "[Auth]\nHosts=d\nOrigins=\nOrigins=y\n[Daemon]\nPort=\n");
        load(&c);
        assert_int_equal(strv_length(c.hosts), 4);
        assert_string_equal(c.hosts[3], "d");
        assert_int_equal(strv_length(c.origins), 1);
        assert_string_equal(c.origins[0], "y");
        assert_int_equal(c.port, 8721);
        assert_string_equal(c.sources[key("AGENT_RUNTIME_PORT")], "default");
}

static void expect_wrong(const char *text, const char *expected) {
        _cleanup_free_ char *message = NULL, *whole = NULL;
        _cleanup_(config_done) DaemonConfig lenient = {};
        DaemonConfig c = { .port = 7 };

        put("agentd.conf", text);
        assert_int_equal(config_load(&c, NULL, 0, &message), -EINVAL);
        whole = str_printf("%s/.agent_runtime/agentd.conf%s", folder, expected);
        assert_string_equal(message, whole);
        assert_int_equal(c.port, 7); /* untouched */

        free(message);
        message = NULL;
        assert_int_equal(config_load(&lenient, NULL, CONFIG_LENIENT, &message), 0);
        assert_string_equal(message, whole);
}

static void test_what_is_wrong_is_named_with_its_line_and_the_nearest(void **state) {
        expect_wrong("[Deamon]\nPort=1\n", ":1: unknown section [Deamon], did you mean [Daemon]?");
        expect_wrong("[Weather]\n", ":1: unknown section [Weather]");
        expect_wrong("[Daemon]\n\nPrt=1\n", ":3: unknown key Prt= in [Daemon], did you mean Port=?");
        expect_wrong("[Daemon]\nColour=red\n", ":2: unknown key Colour= in [Daemon]");
        expect_wrong("[Session]\nPort=1\n", ":2: Port= belongs to the section [Daemon]");
        expect_wrong("Port=1\n", ":1: Port= belongs to the section [Daemon]");
        expect_wrong("Colour=1\n", ":1: Colour= stands before the first [Section]");
        expect_wrong("[Daemon]\nFile=/x\n", ":2: unknown key File= in [Daemon]");
        expect_wrong("[Daemon]\nPort=eighty\n", ":2: Port=eighty: expected a number from 0 to 65535");
        expect_wrong("[Daemon]\nDatabase=s.db\n",
                     ":2: Database=s.db: a path in a file is absolute or begins with ~/");
        expect_wrong("[Daemon]\nPort\n", ":2: neither Key=Value nor [Section] nor a comment");
}

static void test_a_wrong_value_is_refused_even_if_another_place_overrides_it(void **state) {
        assert_int_equal(setenv("AGENT_RUNTIME_PORT", "1", 1), 0);
        expect_wrong("[Daemon]\nPort=eighty\n", ":2: Port=eighty: expected a number from 0 to 65535");
}

static void test_lenient_reading_keeps_what_is_right(void **state) {
        _cleanup_(config_done) DaemonConfig c = {};
        _cleanup_free_ char *message = NULL;

        put("agentd.conf", "[Daemon]\nPort=no\nHost=::1\n[Nothing]\nX=1\n[Session]\nTimeout=1h\n");
        assert_int_equal(config_load(&c, NULL, CONFIG_LENIENT, &message), 0);
        assert_non_null(strstr(message, "agentd.conf:2: Port=no"));
        assert_int_equal(c.port, 8721);
        assert_string_equal(c.host, "::1");
        assert_int_equal(c.session_timeout_usec, USEC_PER_HOUR);
}

static void test_words_and_urls_in_the_place_of_paths_are_no_relative_paths(void **state) {
        _cleanup_(config_done) DaemonConfig c = {};

        put("agentd.conf",
            "[Daemon]\nDatabase=memory:\nMemoryDatabase=postgres://h/d\n[Supervision]\nCgroup=none\n");
        load(&c);
        assert_string_equal(c.db, "memory:");
        assert_string_equal(c.memory_db, "postgres://h/d");
        assert_string_equal(c.cgroup_root, "none");
}

static void test_a_file_that_was_named_must_be_there(void **state) {
        _cleanup_free_ char *message = NULL, *path = path_join(folder, "mine.conf");
        _cleanup_(config_done) DaemonConfig c = {};

        put("agentd.conf", "[Daemon]\nPort=1\n");
        assert_int_equal(setenv("AGENTD_CONFIG", path, 1), 0);
        assert_int_equal(config_load(&c, NULL, 0, &message), -EINVAL);
        assert_non_null(strstr(message, "mine.conf: cannot be read: No such file"));
        assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, "[Daemon]\nPort=2\n", 16, 0600), 0);
        load(&c);
        assert_int_equal(c.port, 2);
        assert_string_equal(c.file, path);
}

static void test_what_anybody_may_write_to_is_refused(void **state) {
        _cleanup_free_ char *file = str_printf("%s/.agent_runtime/agentd.conf", folder);
        _cleanup_free_ char *drop_ins = str_printf("%s.d", file);
        _cleanup_free_ char *message = NULL, *second = NULL;
        DaemonConfig c = {};

        put("agentd.conf", "");
        put("agentd.conf.d/a.conf", "");
        assert_int_equal(chmod(file, 0602), 0);
        assert_int_equal(config_load(&c, NULL, 0, &message), -EINVAL);
        assert_non_null(strstr(message, "everybody may write to this file; chmod o-w "));
        assert_int_equal(chmod(file, 0644), 0);
        assert_int_equal(chmod(drop_ins, 0777), 0);
        assert_int_equal(config_load(&c, NULL, 0, &second), -EINVAL);
        assert_non_null(strstr(second, "agentd.conf.d: everybody may write to this folder"));
}

static void test_a_service_has_its_file_in_its_own_folder(void **state) {
        _cleanup_free_ char *service = path_join(folder, "etc/agentd");
        _cleanup_free_ char *expected = path_join(service, "agentd.conf");

        put("agentd.conf", "[Daemon]\nPort=1\n");
        for (int i = 0; i < 2; i++) {
                _cleanup_(config_done) DaemonConfig c = {};
                /* Another service's folder is not ours. */
                _cleanup_free_ char *folder_of =
                        i == 0 ? strdup(service) : path_join(folder, "etc/other");

                assert_int_equal(setenv("CONFIGURATION_DIRECTORY", folder_of, 1), 0);
                load(&c);
                assert_int_equal(streq(c.file, expected), i == 0);
                assert_int_equal(c.port, i == 0 ? 8721 : 1);
        }
}

static void test_the_example_is_right_and_changes_nothing(void **state) {
        _cleanup_(config_done) DaemonConfig plain = {}, commented = {}, all = {};
        _cleanup_buf_ Buf example = BUF_INIT(1 << 20);

        load(&plain);
        config_write_example(&example);
        for (size_t i = 0; i < config_table_size; i++) {
                _cleanup_free_ char *line = str_printf("\n#%s=", config_table[i].name);
                assert_true(!config_table[i].section || strstr(example.data, line));
        }
        put("agentd.conf", example.data);
        load(&commented);
        for (char *p = example.data; (p = strstr(p, "\n#"));)
                if (p[2] >= 'A' && p[2] <= 'Z')
                        p[1] = ' ';
                else
                        p++;
        put("agentd.conf", example.data);
        load(&all);
        for (size_t i = 0; i < config_table_size; i++) {
                if (i == key("AGENTD_CONFIG"))
                        continue;
                assert_false(config_value_differs(&plain, &commented, i));
                assert_false(config_value_differs(&plain, &all, i));
        }
        assert_non_null(all.files);
}

static void test_only_what_may_change_is_taken_up(void **state) {
        _cleanup_(config_done) DaemonConfig running = {}, next = {};
        ConfigChange changes[CONFIG_KEYS_MAX];

        put("agentd.conf", "[Daemon]\nPort=1\nLogLevel=error\n[Auth]\nHosts=a\n");
        load(&running);
        put("agentd.conf",
            "[Daemon]\n\nPort=2\nLogLevel=debug\n[Auth]\nHosts=b c\n[Limits]\nSessions=1000000\n");
        load(&next);
        config_take(&running, &next, changes);
        assert_int_equal(changes[key("AGENT_RUNTIME_PORT")], CONFIG_WAITS);
        assert_int_equal(running.port, 1);
        expect_origin(&running, "AGENT_RUNTIME_PORT", "agentd.conf", 2);
        assert_int_equal(next.port, 2);
        assert_int_equal(changes[key("AGENTD_LOG_LEVEL")], CONFIG_APPLIED);
        assert_string_equal(running.log_level, "debug");
        assert_int_equal(strv_length(running.hosts), 2);
        assert_int_equal(strv_length(next.hosts), 1);
        /* The same value in another place is no change, but the place is told. */
        assert_int_equal(changes[key("AGENTD_MAX_SESSIONS")], CONFIG_SAME);
        expect_origin(&running, "AGENTD_MAX_SESSIONS", "agentd.conf", 8);
}

static void test_what_was_written_down_is_read_again_the_same(void **state) {
        _cleanup_(config_done) DaemonConfig before = {}, after = {};
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        JsonWriter w = JSON_WRITER(&b);
        JsonSpan json;

        put("agentd.conf", "[Daemon]\nPort=1\nDatabase=~/a b\\c\"/s.db\n[Auth]\nHosts=x y\n"
                           "[Session]\nTimeout=1h 2min 3s 4ms\n[Limits]\nBody=3M\n");
        load(&before);
        config_write_json(&w, &before, NULL, NULL);
        assert_int_equal(json_check(b.data, b.len, JSON_DEPTH_MAX, &json, NULL), 0);
        assert_int_equal(config_load_json(&after, json), 0);
        for (size_t i = 0; i < config_table_size; i++) {
                assert_false(config_value_differs(&before, &after, i));
                assert_string_equal(before.sources[i], after.sources[i]);
        }
        assert_int_equal(after.session_timeout_usec, before.session_timeout_usec);
        assert_string_equal(after.files[0], before.files[0]);
}

static void test_what_is_no_such_text_is_refused(void **state) {
        static const char *const texts[] = { "{}", "[]", "{\"files\":[],\"keys\":[1]}",
                                             "{\"files\":[1],\"keys\":[]}",
                                             "{\"files\":[],\"keys\":[{\"variable\":1}]}" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                DaemonConfig c = {};
                JsonSpan json;

                assert_int_equal(json_check(texts[i], strlen(texts[i]), 8, &json, NULL), 0);
                assert_int_equal(config_load_json(&c, json), -EINVAL);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
                TEST(test_the_file_counts_over_defaults_and_says_where),
                TEST(test_options_win_over_environment_over_drop_ins_over_the_file),
                TEST(test_another_database_by_option_leaves_the_places_of_the_files_one),
                TEST(test_only_visible_conf_files_are_drop_ins),
                TEST(test_lists_grow_and_an_empty_value_takes_back),
                TEST(test_what_is_wrong_is_named_with_its_line_and_the_nearest),
                TEST(test_a_wrong_value_is_refused_even_if_another_place_overrides_it),
                TEST(test_lenient_reading_keeps_what_is_right),
                TEST(test_words_and_urls_in_the_place_of_paths_are_no_relative_paths),
                TEST(test_a_file_that_was_named_must_be_there),
                TEST(test_what_anybody_may_write_to_is_refused),
                TEST(test_a_service_has_its_file_in_its_own_folder),
                TEST(test_the_example_is_right_and_changes_nothing),
                TEST(test_only_what_may_change_is_taken_up),
                TEST(test_what_was_written_down_is_read_again_the_same),
                TEST(test_what_is_no_such_text_is_refused),
#undef TEST
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
