/* SPDX-License-Identifier: MIT */

/* Points and what they have in common: against a naive walk over random trees of branches. */

#include <stdio.h>

#include "session/test-session.h"

static unsigned depth_of(Fixture *f, uint64_t node) {
        NodeLight n;

        if (node == 0)
                return 0;
        assert_int_equal(node_light(f->m, node, &n), 0);
        return (unsigned) n.depth;
}

static uint64_t parent_of(Fixture *f, uint64_t node) {
        NodeLight n;

        assert_int_equal(node_light(f->m, node, &n), 0);
        return n.parent;
}

static uint64_t common_by_steps(Fixture *f, uint64_t a, uint64_t b) {
        while (a != b) {
                if (depth_of(f, a) >= depth_of(f, b))
                        a = parent_of(f, a);
                else
                        b = parent_of(f, b);
                if (a == 0 || b == 0)
                        return 0;
        }
        return a;
}

static void test_the_common_message_is_that_of_a_walk_by_parents(void **state) {
        enum { N = 400 };
        Fixture *f = *state;
        Session *s = make_session(f, "tree", false);
        uint64_t nodes[N], seed = 12345;

        for (unsigned i = 0; i < N; i++) {
                seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                if (i > 10 && (seed >> 33) % 20 == 0)
                        assert_int_equal(
                                AWAIT(f, session_restore(s, 0, nodes[(seed >> 40) % i], DONE)), 0);
                nodes[i] = append(f, s, "user", "\"x\"");
        }
        for (unsigned i = 0; i < 2000; i++) {
                NodeLight common;
                seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                uint64_t a = nodes[(seed >> 33) % N], b = nodes[(seed >> 45) % N];
                assert_int_equal(node_common(f->m, a, b, &common), 0);
                assert_true(common.id == common_by_steps(f, a, b));
        }
}

static void test_conversations_without_a_common_message_have_none(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "a", false), *t = make_session(f, "b", false);
        NodeLight common = { .id = 1 };
        uint64_t a = 0, b = 0;

        for (unsigned i = 0; i < 9; i++)
                a = append(f, s, "user", "\"x\"");
        for (unsigned i = 0; i < 5; i++)
                b = append(f, t, "user", "\"x\"");
        assert_int_equal(node_common(f->m, a, b, &common), 0);
        assert_true(common.id == 0);
        assert_int_equal(node_common(f->m, 0, b, &common), 0);
        assert_true(common.id == 0);
}

static void test_points_are_checkpoints_branches_messages_and_now_of_this_session_only(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "s", false), *other = make_session(f, "other", false);
        uint64_t first = append(f, s, "user", "\"1\"");
        uint64_t cp = AWAIT_ID(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, NULL, DONE));
        uint64_t var = AWAIT_ID(f, session_var_set(s, 0, "v", JSON_LITERAL("1"), 0, DONE));
        uint64_t second = append(f, s, "user", "\"2\"");
        uint64_t branch = session_info(s)->branch;
        SessionSide side;

        assert_int_equal(AWAIT(f, session_restore(s, cp, 0, DONE)), 0);
        const SessionInfo *now = session_info(s);
        assert_int_equal(session_point(s, now, cp, &side), 0);
        assert_true(side.checkpoint == cp && side.head == first && side.message_count == 1);
        assert_int_equal(session_point(s, now, branch, &side), 0);
        assert_true(side.branch == branch && side.head == second && side.vars == var);
        assert_int_equal(session_point(s, now, second, &side), 0);
        assert_true(side.node == second && side.head == second && side.message_count == 2);
        assert_int_equal(session_point(s, now, 0, &side), 0);
        assert_true(side.is_now && side.head == first);
        assert_int_equal(session_point(s, now, now->branch, &side), 0);
        assert_true(side.is_now);
        uint64_t foreign[] = { cp, branch, second, 99 };
        ARRAY_FOREACH(id, foreign)
                assert_int_equal(session_point(other, session_info(other), *id, &side),
                                 SESSION_E_NO_NODE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(test_the_common_message_is_that_of_a_walk_by_parents),
                FIXTURE_TEST(test_conversations_without_a_common_message_have_none),
                FIXTURE_TEST(
                        test_points_are_checkpoints_branches_messages_and_now_of_this_session_only),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
