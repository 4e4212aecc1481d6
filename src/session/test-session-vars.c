/* SPDX-License-Identifier: MIT */

/* Variables against a model of plain arrays: values to the byte, versions that stay as they were,
 * If-Match, removal, and all of it with changes still on their way to the disk. */

#include <stdio.h>

#include "session/test-session.h"

#define NAMES 12

typedef struct Model {
        char *values[NAMES];
} Model;

static void model_done(Model *m) {
        for (int i = 0; i < NAMES; i++)
                free(m->values[i]);
}

static const char *const names[NAMES] = { "a", "b", "c", "d/e", "with space", "\"quoted\"",
                                          "ü", "g", "h", "",    "snapshot",   "x\ny" };

static void check_vars(Fixture *f, uint64_t version, const Model *m) {
        _cleanup_buf_ Buf all = BUF_INIT(1 << 20);
        JsonSpan object;
        size_t n = 0;

        assert_int_equal(session_vars(f->m, version, &all), 0);
        assert_int_equal(json_check(all.data, all.len, 8, &object, NULL), 0);
        for (int i = 0; i < NAMES; i++) {
                JsonSpan v = json_get(object, names[i]);
                n += m->values[i] != NULL;
                assert_int_equal(v.p != NULL, m->values[i] != NULL);
                if (!v.p)
                        continue;
                assert_int_equal(v.n, strlen(m->values[i]));
                assert_memory_equal(v.p, m->values[i], v.n);
        }
        assert_int_equal(json_count(object), n);
}

static void random_value(char *buf, size_t size) {
        static const char *const forms[] = { "1.0",          "\"\\u0000x\\ud800\"",
                                             "[ 1,2 , {} ]", "123456789012345678901234567890",
                                             "null",         "{\"k\" : -0.0e5}" };

        (void) snprintf(buf, size, random() % 3 ? "%s" : "[%s]",
                        forms[random() % (long) ELEMENTSOF(forms)]);
}

/* One random change of session and model; done need not have come. */
static void change(Session *s, Model *m, Wait *w) {
        int i = (int) (random() % NAMES);
        char value[64];

        random_value(value, sizeof(value));
        if (random() % 4 == 0) {
                int r = session_var_set(s, 0, names[i], (JsonSpan){}, 0, wait_done, w);
                assert_int_equal(r, m->values[i] ? 0 : -ENOENT);
                if (r < 0)
                        w->is_done = true;
                free(m->values[i]);
                m->values[i] = NULL;
                return;
        }
        assert_int_equal(session_var_set(s, 0, names[i], (JsonSpan){ value, strlen(value) }, 0,
                                         wait_done, w),
                         0);
        free(m->values[i]);
        m->values[i] = strdup(value);
}

static void test_versions_are_what_a_plain_map_would_be(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "vars", false);
        _cleanup_(model_done) Model m = {};

        srandom(11);
        for (int i = 0; i < 500; i++) {
                Wait w = {};
                change(s, &m, &w);
                if (!w.is_done)
                        assert_int_equal(await(f, 0, &w), 0);
                check_vars(f, session_info(s)->vars, &m);
        }
}

static void test_changes_on_their_way_are_seen_by_removals_and_snapshots(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "hasty", false);
        _cleanup_(model_done) Model m = {};
        static Wait w[400];

        srandom(13);
        memset(w, 0, sizeof(w));
        for (int i = 0; i < 400; i++)
                change(s, &m, w + i);
        settle(f);
        check_vars(f, session_info(s)->vars, &m);
        fixture_reopen(f);
        check_vars(f, session_info(session_next(f->m, 0))->vars, &m);
}

static void test_old_versions_stay_as_they_were(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "old", false);
        uint64_t versions[200];

        for (int i = 0; i < 200; i++) {
                char value[16];
                (void) snprintf(value, sizeof(value), "%d", i);
                versions[i] = AWAIT_ID(
                        f, session_var_set(s, 0, "v", (JsonSpan){ value, strlen(value) }, 0, DONE));
        }
        for (int i = 0; i < 200; i++) {
                _cleanup_buf_ Buf out = BUF_INIT(100);
                assert_int_equal(session_var(f->m, versions[i], "v", &out), 0);
                char value[16];
                (void) snprintf(value, sizeof(value), "%d", i);
                assert_string_equal(out.data, value);
        }
        _cleanup_buf_ Buf none = BUF_INIT(100);
        assert_int_equal(session_var(f->m, versions[3], "w", &none), -ENOENT);
        assert_int_equal(session_vars(f->m, 0, &none), 0);
        assert_string_equal(none.data, "{}");
}

static void test_if_match_lets_one_of_two_writers_win(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "match", false);
        uint64_t v = AWAIT_ID(f, session_var_set(s, 0, "x", JSON_LITERAL("1"), 0, DONE));

        assert_int_equal(AWAIT(f, session_var_set(s, 0, "x", JSON_LITERAL("2"), v, DONE)), 0);
        assert_int_equal(session_var_set(s, 0, "x", JSON_LITERAL("3"), v, NULL, NULL),
                         SESSION_E_CONFLICT);
        assert_int_equal(session_var_set(s, 0, "x", JSON_LITERAL("3"), 77, NULL, NULL),
                         SESSION_E_CONFLICT);
}

static void test_given_variables_are_there_from_the_start_and_come_back_with_a_restore(void **state) {
        Fixture *f = *state;
        SessionCreate c = { .namespace_id = 1,
                            .name = "given",
                            .model = "m",
                            .variables = JSON_LITERAL("{\"a\" : 1.0}") };
        Session *s = get(f, AWAIT_ID(f, session_create(f->m, &c, DONE)));
        uint64_t cp = AWAIT_ID(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, NULL, DONE));
        _cleanup_buf_ Buf out = BUF_INIT(100);

        assert_int_equal(AWAIT(f, session_var_set(s, 0, "a", (JsonSpan){}, 0, DONE)), 0);
        assert_int_equal(AWAIT(f, session_var_set(s, 0, "b", JSON_LITERAL("2"), 0, DONE)), 0);
        assert_int_equal(AWAIT(f, session_restore(s, cp, 0, DONE)), 0);
        assert_int_equal(session_vars(f->m, session_info(s)->vars, &out), 0);
        assert_string_equal(out.data, "{\"a\":1.0}");
        assert_int_equal(AWAIT(f, session_var_set(s, 0, "b", (JsonSpan){}, 0, DONE)), -ENOENT);
}

static void test_a_patch_changes_the_configuration_and_a_restore_brings_it_back(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "conf", false);
        uint64_t cp = AWAIT_ID(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, NULL, DONE));
        SessionPatch p = { .name = "renamed",
                           .model = "new",
                           .labels = JSON_LITERAL("{\"k\":\"v\"}"),
                           .agent = AGENT_JSON };
        _cleanup_(config_info_done) ConfigInfo c = {};

        assert_int_equal(AWAIT(f, session_patch(s, &p, DONE)), 0);
        fixture_reopen(f);
        s = session_next(f->m, 0);
        assert_string_equal(session_info(s)->name, "renamed");
        assert_memory_equal(session_info(s)->labels.p, "{\"k\":\"v\"}", 9);
        assert_true(session_info(s)->has_agent);
        assert_int_equal(session_config(f->m, session_info(s)->config, &c), 0);
        assert_string_equal(c.model, "new");
        assert_int_equal(AWAIT(f, session_restore(s, cp, 0, DONE)), 0);
        assert_false(session_info(s)->has_agent);
        config_info_done(&c);
        assert_int_equal(session_config(f->m, session_info(s)->config, &c), 0);
        assert_string_equal(c.model, "m");
}

static void test_patches_need_not_wait_for_each_other(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "conf", false);
        _cleanup_(config_info_done) ConfigInfo c = {};
        Wait w[3] = {};

        assert_int_equal(session_patch(s, &(SessionPatch){ .model = "x" }, wait_done, w), 0);
        assert_int_equal(session_patch(s, &(SessionPatch){ .tools = JSON_LITERAL("[\"t\"]") },
                                       wait_done, w + 1),
                         0);
        assert_int_equal(session_patch(s, &(SessionPatch){ .system_prompt = JSON_LITERAL("\"p\"") },
                                       wait_done, w + 2),
                         0);
        for (size_t i = 0; i < ELEMENTSOF(w); i++)
                assert_int_equal(await(f, 0, w + i), 0);
        assert_int_equal(session_config(f->m, session_info(s)->config, &c), 0);
        assert_string_equal(c.model, "x");
        assert_memory_equal(c.tools.p, "[\"t\"]", 5);
        assert_memory_equal(c.system_prompt.p, "\"p\"", 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(test_versions_are_what_a_plain_map_would_be),
                FIXTURE_TEST(test_changes_on_their_way_are_seen_by_removals_and_snapshots),
                FIXTURE_TEST(test_old_versions_stay_as_they_were),
                FIXTURE_TEST(test_if_match_lets_one_of_two_writers_win),
                FIXTURE_TEST(
                        test_given_variables_are_there_from_the_start_and_come_back_with_a_restore),
                FIXTURE_TEST(test_patches_need_not_wait_for_each_other),
                FIXTURE_TEST(test_a_patch_changes_the_configuration_and_a_restore_brings_it_back),
        };
        return cmocka_run_group_tests_name("session variables", tests, NULL, NULL);
}
