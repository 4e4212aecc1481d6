/* SPDX-License-Identifier: MIT */

/* Messages, branches, restores and forks, against a naive model: every node remembers its parent
 * and its text in arrays of the test, and what the room answers is compared with a plain walk. */

#include <stdio.h>

#include "session/test-session.h"

#define MODEL_MAX 2000

typedef struct Model {
        uint64_t ids[MODEL_MAX];
        int parents[MODEL_MAX]; /* index, -1: root */
        int n;
} Model;

typedef struct Seen {
        uint64_t ids[MODEL_MAX];
        size_t n;
        size_t stop_at;
        char *content, *calls;
        uint64_t tool_calls;
} Seen;

static int see(const NodeInfo *n, void *userdata) {
        Seen *seen = userdata;

        assert_true(seen->n < MODEL_MAX);
        seen->ids[seen->n++] = n->id;
        free(seen->content);
        free(seen->calls);
        seen->content = strndup(n->content.p, n->content.n);
        seen->calls = n->calls.p ? strndup(n->calls.p, n->calls.n) : NULL;
        seen->tool_calls = n->tool_calls;
        return seen->stop_at && seen->n == seen->stop_at;
}

static void seen_done(Seen *s) {
        free(s->content);
        free(s->calls);
}

static int index_of(const Model *m, uint64_t id) {
        for (int i = 0; i < m->n; i++)
                if (m->ids[i] == id)
                        return i;
        fail_msg("unknown node");
        return -1;
}

/* The path to the node, oldest first. */
static size_t model_path(const Model *m, int head, uint64_t *ret) {
        size_t n = 0;

        for (int i = head; i >= 0; i = m->parents[i])
                n++;
        size_t at = n;
        for (int i = head; i >= 0; i = m->parents[i])
                ret[--at] = m->ids[i];
        return n;
}

static void check_page(Fixture *f, const Model *m, int head, size_t after, size_t before, size_t limit) {
        uint64_t path[MODEL_MAX];
        size_t n = model_path(m, head, path), low = after, high = before ? before - 1 : n;
        _cleanup_(seen_done) Seen seen = {};

        assert_int_equal(session_nodes(f->m, m->ids[head], after ? path[after - 1] : 0,
                                       before ? path[before - 1] : 0, limit, see, &seen),
                         0);
        if (after && high > low && high - low > limit)
                high = low + limit;
        else if (high > limit && high - limit > low)
                low = high - limit;
        assert_int_equal(seen.n, high > low ? high - low : 0);
        for (size_t i = 0; i < seen.n; i++)
                assert_int_equal(seen.ids[i], path[low + i]);
}

static void grow(Fixture *f, Session *s, Model *m, int count) {
        char text[64];

        for (int i = 0; i < count; i++) {
                uint64_t head = session_info(s)->head;
                (void) snprintf(text, sizeof(text), "\"message %d\"", m->n);
                m->parents[m->n] = head ? index_of(m, head) : -1;
                m->ids[m->n++] = append(f, s, "user", text);
        }
}

static void test_pages_of_random_trees_are_those_of_a_plain_walk(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "tree", false);
        Model *m = calloc(1, sizeof(Model));

        srandom(7);
        assert_non_null(m);
        grow(f, s, m, 20);
        for (int round = 0; round < 25; round++) {
                int node = (int) (random() % m->n);
                assert_int_equal(AWAIT(f, session_restore(s, 0, m->ids[node], DONE)), 0);
                assert_int_equal(session_info(s)->head, m->ids[node]);
                grow(f, s, m, (int) (random() % 30));
        }
        for (int round = 0; round < 400; round++) {
                int head = (int) (random() % m->n);
                uint64_t path[MODEL_MAX];
                size_t n = model_path(m, head, path);
                size_t after = random() % 2 ? (size_t) random() % (n + 1) : 0;
                size_t before = random() % 2 ? (size_t) random() % (n + 1) : 0;
                check_page(f, m, head, after, before, (size_t) random() % 40);
        }
        free(m);
}

static void test_a_long_conversation_is_read_whole_and_in_order(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "long", false);
        Model *m = calloc(1, sizeof(Model));

        assert_non_null(m);
        grow(f, s, m, 1000);
        check_page(f, m, m->n - 1, 0, 0, SIZE_MAX);
        check_page(f, m, m->n - 1, 10, 0, SIZE_MAX);
        check_page(f, m, m->n - 1, 0, 900, 600);
        assert_int_equal(session_info(s)->message_count, 1000);
        free(m);
}

static void test_every_ancestor_is_found_at_its_depth(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "deep", false);
        Model *m = calloc(1, sizeof(Model));
        uint64_t path[MODEL_MAX] = {};
        NodeLight head, found;

        assert_non_null(m);
        grow(f, s, m, 300);
        fixture_reopen(f); /* the jump path is made from the store, too */
        s = session_next(f->m, 0);
        grow(f, s, m, 300);
        size_t n = model_path(m, m->n - 1, path);
        assert_true(n > 0);
        assert_int_equal(node_light(f->m, path[n - 1], &head), 0);
        for (size_t depth = 1; depth <= n; depth++) {
                assert_int_equal(node_ancestor(f->m, &head, depth, &found), 0);
                assert_int_equal(found.id, path[depth - 1]);
        }
        assert_int_equal(node_ancestor(f->m, &head, n + 1, &found), -ENOENT);
        free(m);
}

static void test_a_reader_can_stop_and_unknown_anchors_are_told(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "stop", false), *other = make_session(f, "other", false);
        _cleanup_(seen_done) Seen seen = { .stop_at = 2 };
        uint64_t foreign;

        for (int i = 0; i < 5; i++)
                append(f, s, "user", "1");
        foreign = append(f, other, "user", "1");
        assert_int_equal(session_nodes(f->m, session_info(s)->head, 0, 0, 9, see, &seen), 1);
        assert_int_equal(seen.n, 2);
        assert_int_equal(session_nodes(f->m, session_info(s)->head, foreign, 0, 9, see, &seen),
                         -ENOENT);
        assert_int_equal(session_nodes(f->m, session_info(s)->head, 0, 12345, 9, see, &seen),
                         -ENOENT);
        assert_int_equal(session_nodes(f->m, 0, 0, 0, 9, see, &seen), 0);
}

/* ---- bodies ---- */

static char *long_string(size_t n, unsigned seed) {
        char *text = malloc(n + 1);

        assert_non_null(text);
        srandom(seed);
        for (size_t i = 0; i < n; i++)
                text[i] = (char) (seed ? '0' + random() % 75 : 'a');
        for (size_t i = 0; i < n; i++)
                if (text[i] == '\\')
                        text[i] = '_';
        text[0] = text[n - 1] = '"';
        text[n] = '\0';
        return text;
}

static void check_body(Fixture *f, Session *s, const char *content, const char *calls) {
        _cleanup_(seen_done) Seen seen = {};
        JsonSpan c = { calls, calls ? strlen(calls) : 0 };
        uint64_t id = AWAIT_ID(f, session_append(s, 0, "assistant",
                                                 (JsonSpan){ content, strlen(content) }, c, DONE));

        assert_int_equal(session_node(f->m, id, see, &seen), 0);
        assert_string_equal(seen.content, content);
        if (calls)
                assert_string_equal(seen.calls, calls);
        else
                assert_null(seen.calls);
}

static void test_bodies_of_every_size_come_back_to_the_byte(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "bodies", false);
        static const size_t sizes[] = { 100, 4090, 4096, 70000, 1 << 20, 3 << 20 };

        check_body(f, s, "null", NULL);
        check_body(f, s, "[ {\"a\" : 1.0 , \"b\":\"\\u0000\\ud800\"} ]", "[]");
        check_body(f, s, "12345678901234567890123", "[{\"name\":\"x\",\"arguments\":{ }},{}]");
        assert_int_equal(session_info(s)->tool_call_count, 2);
        ARRAY_FOREACH(size, sizes)
                for (unsigned seed = 0; seed < 2; seed++) {
                        _cleanup_free_ char *text = long_string(*size, seed);
                        check_body(f, s, text, NULL);
                        check_body(f, s, "\"\"", text);
                }
        fixture_reopen(f);
        s = session_next(f->m, 0);
        assert_int_equal(session_info(s)->tool_call_count, 2);
        assert_int_equal(session_info(s)->message_count, 3 + 4 * ELEMENTSOF(sizes));
}

static uint64_t db_bytes(Fixture *f) {
        StoreStats stats;

        fixture_reopen(f); /* truncates the log */
        store_stats(f->store, &stats);
        return stats.db_bytes;
}

static void test_a_large_text_twice_is_two_messages_and_one_body(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = long_string(60000, 3);
        uint64_t before, after, id = session_info(make_session(f, "same", false))->id;

        append(f, get(f, id), "user", text);
        before = db_bytes(f);
        for (int i = 0; i < 20; i++)
                append(f, get(f, id), "user", text);
        after = db_bytes(f);
        assert_int_equal(session_info(get(f, id))->message_count, 21);
        assert_true(after - before < 30000);
}

static void test_the_same_text_in_two_namespaces_is_not_shared(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = long_string(5000, 3);
        SessionCreate c = { .name = "walled", .model = "m" };
        uint8_t keys[2][HASH_SIZE] = {};

        for (int i = 0; i < 2; i++) {
                _cleanup_(store_cursor_freep) StoreCursor *row = NULL;
                assert_int_equal(session_namespace(f->m, i ? "a" : "b", true, &c.namespace_id), 0);
                Session *s = get(f, AWAIT_ID(f, session_create(f->m, &c, DONE)));
                uint64_t id = append(f, s, "user", text);
                size_t n;
                assert_int_equal(STORE_QUERY(f->m->reader, &row, STATE_NODE_ONE, STORE_ID(id)), 0);
                assert_int_equal(store_next(row), 1);
                const void *key = store_blob(row, 11, &n);
                assert_int_equal(n, HASH_SIZE);
                memcpy(keys[i], key, HASH_SIZE);
        }
        assert_memory_not_equal(keys[0], keys[1], HASH_SIZE);
}

static void test_a_message_above_the_limit_is_refused(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "huge", false);
        size_t n = f->m->config.message_max + 1;
        _cleanup_free_ char *text = long_string(n, 0);

        assert_int_equal(session_append(s, 0, "user", (JsonSpan){ text, n }, (JsonSpan){}, NULL, NULL),
                         SESSION_E_LIMIT);
        assert_int_equal(session_info(s)->message_count, 0);
}

static void test_appends_need_not_wait_for_each_other(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "burst", false);
        Wait w[200] = {};
        _cleanup_(seen_done) Seen seen = {};

        for (int i = 0; i < 200; i++)
                assert_int_equal(session_append(s, 0, "user", JSON_LITERAL("1"), (JsonSpan){},
                                                wait_done, w + i),
                                 0);
        assert_int_equal(await(f, 0, w + 199), 0);
        assert_int_equal(session_nodes(f->m, session_info(s)->head, 0, 0, SIZE_MAX, see, &seen), 0);
        assert_int_equal(seen.n, 200);
        for (int i = 0; i < 200; i++)
                assert_int_equal(seen.ids[i], w[i].id);
}

/* ---- restore and fork ---- */

static int count_branch(const BranchInfo *b, void *userdata) {
        int *n = userdata;

        n[0]++;
        n[1] += b->is_current;
        return 0;
}

static void test_a_restore_brings_back_messages_and_can_be_undone(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "back", false);
        uint64_t here, there, head;
        int branches[2] = {};

        append(f, s, "user", "1");
        here = AWAIT_ID(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, NULL, DONE));
        append(f, s, "user", "2");
        head = append(f, s, "user", "3");
        assert_int_equal(AWAIT(f, session_restore(s, here, 0, DONE)), 0);
        assert_int_equal(session_info(s)->message_count, 1);
        there = session_info(s)->checkpoint; /* the pre-restore one */
        append(f, s, "user", "4");
        assert_int_equal(session_info(s)->message_count, 2);
        assert_int_equal(AWAIT(f, session_restore(s, there, 0, DONE)), 0);
        assert_int_equal(session_info(s)->head, head);
        assert_int_equal(session_info(s)->message_count, 3);
        assert_int_equal(session_branches(s, 0, 10, count_branch, branches), 0);
        assert_int_equal(branches[0], 3);
        assert_int_equal(branches[1], 1);
        fixture_reopen(f);
        assert_int_equal(session_info(session_next(f->m, 0))->head, head);
}

static void test_points_of_other_sessions_are_refused(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "mine", false), *other = make_session(f, "theirs", false);
        uint64_t node = append(f, other, "user", "1");
        uint64_t cp = AWAIT_ID(f, session_checkpoint(other, 0, CHECKPOINT_MANUAL, NULL, DONE));

        assert_int_equal(session_restore(s, cp, 0, NULL, NULL), SESSION_E_NO_CHECKPOINT);
        assert_int_equal(session_restore(s, 0, node, NULL, NULL), SESSION_E_NO_NODE);
        assert_int_equal(session_restore(s, 0, 99, NULL, NULL), SESSION_E_NO_NODE);
        assert_int_equal(session_fork(s, 0, node, NULL, NULL, NULL, NULL), SESSION_E_NO_NODE);
        assert_int_equal(session_fork(s, cp, 0, NULL, NULL, NULL, NULL), SESSION_E_NO_CHECKPOINT);
}

static void test_a_fork_shares_the_past_and_not_the_future(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "source", true), *fork;
        uint64_t shared, id;

        shared = append(f, s, "user", "1");
        append(f, s, "user", "2");
        id = AWAIT_ID(f, session_fork(s, 0, shared, NULL, NULL, DONE));
        fork = get(f, id);
        assert_string_equal(session_info(fork)->name, "source-fork");
        assert_state(fork, "new");
        assert_true(session_info(fork)->has_agent);
        assert_int_equal(session_info(fork)->head, shared);
        append(f, fork, "user", "3");
        append(f, fork, "user", "4");
        assert_int_equal(session_info(fork)->message_count, 3);
        assert_int_equal(session_info(s)->message_count, 2);
        /* Shared nodes are the fork's own past: it may go back to them, the source deleted or not. */
        assert_int_equal(AWAIT(f, session_delete(s, false, DONE)), 0);
        assert_int_equal(AWAIT(f, session_restore(fork, 0, shared, DONE)), 0);
        assert_int_equal(session_info(fork)->message_count, 1);
        fixture_reopen(f);
        assert_int_equal(session_count(f->m, -1), 1);
        assert_int_equal(session_info(get(f, id))->message_count, 1);
}

static void test_a_fork_outlives_its_source_with_large_bodies(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = long_string(9000, 5);
        _cleanup_(seen_done) Seen seen = {};
        Session *s = make_session(f, "source", false);
        uint64_t node = append(f, s, "user", text);

        assert_int_equal(AWAIT(f, session_fork(s, 0, 0, "child", NULL, DONE)), 0);
        assert_int_equal(AWAIT(f, session_delete(s, false, DONE)), 0);
        assert_int_equal(session_node(f->m, node, see, &seen), 0);
        assert_string_equal(seen.content, text);
}

static void test_a_fork_of_unsaved_messages_goes_on_from_them(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "hasty", false);
        Wait a = {}, b = {};

        append(f, s, "user", "1");
        assert_int_equal(
                session_append(s, 0, "user", JSON_LITERAL("2"), (JsonSpan){}, wait_done, &a), 0);
        assert_int_equal(session_fork(s, 0, 0, "f", NULL, wait_done, &b), 0);
        assert_int_equal(await(f, 0, &b), 0);
        assert_int_equal(session_info(get(f, b.id))->head, a.id);
        append(f, get(f, b.id), "user", "3");
        assert_int_equal(session_info(get(f, b.id))->message_count, 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(test_pages_of_random_trees_are_those_of_a_plain_walk),
                FIXTURE_TEST(test_a_long_conversation_is_read_whole_and_in_order),
                FIXTURE_TEST(test_every_ancestor_is_found_at_its_depth),
                FIXTURE_TEST(test_a_reader_can_stop_and_unknown_anchors_are_told),
                FIXTURE_TEST(test_bodies_of_every_size_come_back_to_the_byte),
                FIXTURE_TEST(test_a_large_text_twice_is_two_messages_and_one_body),
                FIXTURE_TEST(test_the_same_text_in_two_namespaces_is_not_shared),
                FIXTURE_TEST(test_a_message_above_the_limit_is_refused),
                FIXTURE_TEST(test_appends_need_not_wait_for_each_other),
                FIXTURE_TEST(test_a_restore_brings_back_messages_and_can_be_undone),
                FIXTURE_TEST(test_points_of_other_sessions_are_refused),
                FIXTURE_TEST(test_a_fork_shares_the_past_and_not_the_future),
                FIXTURE_TEST(test_a_fork_outlives_its_source_with_large_bodies),
                FIXTURE_TEST(test_a_fork_of_unsaved_messages_goes_on_from_them),
        };
        return cmocka_run_group_tests_name("session nodes", tests, NULL, NULL);
}
