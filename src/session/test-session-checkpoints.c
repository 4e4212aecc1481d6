/* SPDX-License-Identifier: MIT */

/* Checkpoints: what they cost, when they are taken by themselves, which are kept; and the session
 * timeout. Time is the test's own (clock_fake); deadlines are run by session_manager_tick(), which
 * the timer calls too. */

#include <malloc.h>
#include <stdio.h>

#include "session/test-session.h"

static void start(Fixture *f, Session *s) {
        assert_int_equal(AWAIT(f, session_start(s, DONE)), 0);
}

static uint64_t db_bytes(Fixture *f) {
        StoreStats stats;

        fixture_reopen(f); /* truncates the log */
        store_stats(f->store, &stats);
        return stats.db_bytes;
}

static void append_many(Fixture *f, Session *s, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                int r = session_append(s, 0, "user", JSON_LITERAL("\"x\""), (JsonSpan){}, NULL, NULL);
                assert_int_equal(r, 0);
                if (i % 10000 == 9999)
                        settle(f);
        }
        settle(f);
}

static uint64_t growth_of_checkpoints(Fixture *f, unsigned messages, unsigned checkpoints) {
        uint64_t id = session_info(make_session(f, "long", false))->id, before;

        append_many(f, get(f, id), messages);
        before = db_bytes(f);
        for (unsigned i = 0; i < checkpoints; i++)
                assert_int_equal(session_checkpoint(get(f, id), 0, CHECKPOINT_MANUAL, "checkpoint",
                                                    NULL, NULL),
                                 0);
        settle(f);
        return (db_bytes(f) - before) / checkpoints;
}

static void test_a_checkpoint_costs_less_than_300_bytes_at_any_length(void **state) {
        Fixture *f = *state;
        uint64_t small = growth_of_checkpoints(f, 10, 10000),
                 large = growth_of_checkpoints(f, 100000, 10000);

        print_message("           bytes for each checkpoint: %llu at 10 messages, %llu at 100,000\n",
                      (unsigned long long) small, (unsigned long long) large);
        assert_true(small < 300);
        assert_true(large < 300);
        assert_true(large <= small + 10);
}

/* ---- automatic ones ---- */

typedef struct Tally {
        unsigned all, automatic, pinned;
        char newest[64];
} Tally;

static int tally(const CheckpointInfo *c, void *userdata) {
        Tally *t = userdata;

        t->all++;
        t->automatic += c->kind == CHECKPOINT_AUTO;
        t->pinned += c->pinned;
        (void) snprintf(t->newest, sizeof(t->newest), "%s", c->label);
        return 0;
}

static Tally tally_of(Session *s) {
        Tally t = {};

        assert_int_equal(session_checkpoints(s, 0, SIZE_MAX, tally, &t), 0);
        return t;
}

static void with_interval(Fixture *f, unsigned seconds) {
        f->config.checkpoint_interval_usec = seconds * USEC_PER_SEC;
        set_clock(0);
        fixture_reopen(f);
}

static void test_only_changed_running_sessions_are_saved_by_themselves(void **state) {
        Fixture *f = *state;

        with_interval(f, 60);
        Session *busy = make_session(f, "busy", false), *idle = make_session(f, "idle", false),
                *stopped = make_session(f, "stopped", false);
        start(f, busy);
        start(f, idle);
        append(f, stopped, "user", "1");
        set_clock(61);
        settle(f);
        assert_int_equal(tally_of(busy).automatic, 1); /* a start is a change */
        assert_int_equal(tally_of(idle).automatic, 1);
        assert_string_equal(tally_of(idle).newest, "auto-checkpoint");
        append(f, busy, "user", "1");
        set_clock(100);
        settle(f);
        assert_int_equal(tally_of(busy).automatic, 1);
        set_clock(122);
        settle(f);
        assert_int_equal(tally_of(busy).automatic, 2);
        assert_int_equal(tally_of(idle).automatic, 1);
        assert_int_equal(tally_of(stopped).all, 0);
}

static void test_sessions_without_changes_arm_no_timer(void **state) {
        Fixture *f = *state;

        with_interval(f, 60);
        for (int i = 0; i < 20; i++)
                start(f, make_session(f, "idle", false));
        set_clock(61);
        settle(f);
        heap_remove(&f->m->heap, &f->m->events_timer); /* old events are the only other business */
        assert_null(heap_peek(&f->m->heap));
}

static void test_a_change_before_the_daemon_died_is_saved_after_its_start(void **state) {
        Fixture *f = *state;

        with_interval(f, 60);
        Session *s = make_session(f, "s", false);
        uint64_t id = session_info(s)->id;
        start(f, s);
        append(f, s, "user", "1");
        fixture_reopen(f);
        set_clock(100);
        settle(f);
        assert_int_equal(tally_of(get(f, id)).automatic, 1);
        fixture_reopen(f);
        set_clock(1000);
        settle(f);
        assert_int_equal(tally_of(get(f, id)).automatic, 1);
}

static void test_old_automatic_checkpoints_are_thinned_and_others_stay(void **state) {
        Fixture *f = *state;
        bool yes = true;
        unsigned minutes = 3 * 24 * 60;

        with_interval(f, 60);
        Session *s = make_session(f, "s", false);
        uint64_t mine;
        start(f, s);
        mine = AWAIT_ID(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, "mine", DONE));
        for (unsigned i = 0; i < minutes; i += 5) {
                assert_int_equal(
                        session_append(s, 0, "user", JSON_LITERAL("1"), (JsonSpan){}, NULL, NULL), 0);
                set_clock((i + 5) * 60);
                settle(f);
                if (i == 100)
                        assert_int_equal(
                                AWAIT(f, session_checkpoint_patch(s, session_info(s)->checkpoint,
                                                                  "kept", &yes, NULL, DONE)),
                                0);
        }
        Tally t = tally_of(s);
        /* The last 10, one for each of 24 hours, one for each of the two days before; a slot that
         * is half over counts too. */
        assert_in_range(t.automatic, 10 + 22 + 2, 10 + 26 + 4);
        assert_int_equal(t.pinned, 1);
        assert_int_equal(session_checkpoint_get(s, mine, tally, &t), 0);
}

static void test_deleting_and_labelling_a_checkpoint(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "s", false);
        uint64_t a = AWAIT_ID(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, "a", DONE));
        uint64_t b = AWAIT_ID(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, "b", DONE));
        Tally t = {};

        assert_int_equal(AWAIT(f, session_checkpoint_delete(s, b, NULL, DONE)), 0);
        assert_int_equal(session_info(s)->checkpoint, a);
        assert_int_equal(session_checkpoint_delete(s, b, NULL, NULL, NULL), SESSION_E_NO_CHECKPOINT);
        assert_int_equal(AWAIT(f, session_checkpoint_patch(s, a, "A", NULL, NULL, DONE)), 0);
        assert_int_equal(session_checkpoint_get(s, a, tally, &t), 0);
        assert_string_equal(t.newest, "A");
        assert_int_equal(t.pinned, 0);
}

static void test_a_node_brings_the_variables_of_the_checkpoint_before_it(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "s", false);
        _cleanup_buf_ Buf out = BUF_INIT(100);
        uint64_t node;

        append(f, s, "user", "1");
        assert_int_equal(AWAIT(f, session_var_set(s, 0, "v", JSON_LITERAL("1"), 0, DONE)), 0);
        assert_int_equal(AWAIT(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, NULL, DONE)), 0);
        node = append(f, s, "user", "2");
        append(f, s, "user", "3");
        assert_int_equal(AWAIT(f, session_var_set(s, 0, "v", JSON_LITERAL("2"), 0, DONE)), 0);
        assert_int_equal(AWAIT(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, NULL, DONE)), 0);
        assert_int_equal(AWAIT(f, session_restore(s, 0, node, DONE)), 0);
        assert_int_equal(session_info(s)->message_count, 2);
        assert_int_equal(session_var(f->m, session_info(s)->vars, "v", &out), 0);
        assert_string_equal(out.data, "1");
}

/* ---- timeout ---- */

static void test_a_session_stopped_for_too_long_is_archived_and_can_be_resumed(void **state) {
        Fixture *f = *state;
        bool yes = true;

        set_clock(0);
        f->config.session_timeout_usec = USEC_PER_HOUR;
        fixture_reopen(f);
        Session *s = make_session(f, "s", false), *other = make_session(f, "other", false);
        uint64_t id = session_info(s)->id, pinned;
        start(f, s);
        start(f, other);
        pinned = AWAIT_ID(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, "first", DONE));
        assert_int_equal(AWAIT(f, session_checkpoint_patch(s, pinned, NULL, &yes, NULL, DONE)), 0);
        for (int i = 0; i < 8; i++)
                assert_int_equal(AWAIT(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, "m", DONE)), 0);
        append(f, s, "user", "1");
        assert_int_equal(AWAIT(f, session_stop(s, DONE)), 0);
        set_clock(3000);
        settle(f);
        assert_state(s, "exited");
        fixture_reopen(f);
        set_clock(3601);
        settle(f);
        s = get(f, id);
        assert_state(s, "archived");
        assert_int_equal(tally_of(s).all, 6); /* five and the pinned one */
        assert_int_equal(session_count(f->m, -1), 1);
        assert_int_equal(session_count(f->m, SESSION_STOPPED), 1);
        assert_int_equal(AWAIT(f, session_resume(s, 0, DONE)), 0);
        assert_state(s, "idle");
        assert_int_equal(session_info(s)->message_count, 1);
}

/* ---- memory ---- */

/* Bytes in use with so many more sessions, as a fresh daemon has them. */
static size_t memory_with(Fixture *f, int more) {
        SessionCreate c = { .namespace_id = 1, .name = "a name of usual length", .model = "m" };

        for (int i = 0; i < more; i++)
                assert_int_equal(session_create(f->m, &c, NULL, NULL), 0);
        settle(f);
        fixture_reopen(f);
        return mallinfo2().uordblks;
}

static void test_a_hundred_thousand_sessions_fit_in_40_MiB(void **state) {
        enum { N = 20000 };
        Fixture *f = *state;
        size_t before = memory_with(f, N); /* fills the page caches, which are not meant here */
        size_t each = (memory_with(f, N) - before) / N;

        print_message("           bytes for each session: %zu (%zu the object)\n", each,
                      sizeof(Session));
        assert_int_equal(session_count(f->m, -1), 2 * N);
#ifndef __SANITIZE_ADDRESS__
        assert_true(each * 100000 <= (size_t) 40 << 20);
#endif
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(test_a_checkpoint_costs_less_than_300_bytes_at_any_length),
                FIXTURE_TEST(test_only_changed_running_sessions_are_saved_by_themselves),
                FIXTURE_TEST(test_sessions_without_changes_arm_no_timer),
                FIXTURE_TEST(test_a_change_before_the_daemon_died_is_saved_after_its_start),
                FIXTURE_TEST(test_old_automatic_checkpoints_are_thinned_and_others_stay),
                FIXTURE_TEST(test_deleting_and_labelling_a_checkpoint),
                FIXTURE_TEST(test_a_node_brings_the_variables_of_the_checkpoint_before_it),
                FIXTURE_TEST(test_a_session_stopped_for_too_long_is_archived_and_can_be_resumed),
                FIXTURE_TEST(test_a_hundred_thousand_sessions_fit_in_40_MiB),
        };
        return cmocka_run_group_tests_name("session checkpoints", tests, NULL, NULL);
}
