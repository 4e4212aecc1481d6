/* SPDX-License-Identifier: MIT */

/* Events: every change has its event, in order, after the commit and never before; a reader that was away hears
 * what it missed or is told that something is missing. Tokens and namespaces are tested here too. */

#include <sodium.h>
#include <stdio.h>

#include "session/test-session.h"

#define MANY 4000

typedef struct Log {
        uint64_t ids[MANY];
        unsigned types[MANY];
        size_t n;
        char last[256];
        SessionSubscription *cancel; /* from inside the call */
} Log;

static int note(const EventInfo *e, void *userdata) {
        Log *log = userdata;

        assert_true(log->n < MANY);
        assert_true(log->n == 0 || e->id > log->ids[log->n - 1]);
        log->ids[log->n] = e->id;
        log->types[log->n++] = e->type;
        (void) snprintf(log->last, sizeof(log->last), "%.*s", (int) e->data.n, e->data.p);
        if (log->cancel)
                log->cancel = session_unsubscribe(log->cancel);
        return 0;
}

static void work(Fixture *f) {
        Session *s = make_session(f, "w", true);
        uint64_t cp;

        append(f, s, "user", "1");
        assert_int_equal(AWAIT(f, session_var_set(s, 0, "v", JSON_LITERAL("1"), 0, DONE)), 0);
        cp = AWAIT_ID(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, "l", DONE));
        assert_int_equal(AWAIT(f, session_start(s, DONE)), 0);
        settle(f);
        assert_int_equal(session_run_output(s, session_info(s)->run, "No space", clock_realtime()),
                         0);
        assert_int_equal(session_run_output(s, 1, NULL, clock_realtime()), SESSION_E_STALE_RUN);
        assert_int_equal(AWAIT(f, session_restart(s, DONE)), 0);
        settle(f);
        assert_int_equal(AWAIT(f, session_stop(s, DONE)), 0);
        assert_int_equal(AWAIT(f, session_restore(s, cp, 0, DONE)), 0);
        assert_int_equal(AWAIT(f, session_checkpoint_delete(s, cp, NULL, DONE)), 0);
        assert_int_equal(AWAIT(f, session_patch(s, &(SessionPatch){ .name = "n" }, DONE)), 0);
        assert_int_equal(AWAIT(f, session_delete(s, false, DONE)), 0);
        settle(f);
}

static void test_live_and_stored_events_are_the_same_in_the_same_order(void **state) {
        Fixture *f = *state;
        Log *live = calloc(1, sizeof(Log)), *stored = calloc(1, sizeof(Log));
        SessionSubscription *sub;
        bool reset, seen[_SESSION_EVENT_MAX] = {};

        assert_non_null(live);
        assert_non_null(stored);
        assert_int_equal(session_subscribe(f->m, 0, 0, note, live, &sub), 0);
        assert_int_equal(session_daemon_started(f->m, "1.0", 0), 0);
        work(f);
        assert_int_equal(session_events(f->m, 0, 0, 0, SIZE_MAX, note, stored, &reset), 0);
        assert_false(reset);
        assert_int_equal(live->n, stored->n);
        assert_memory_equal(live->ids, stored->ids, live->n * sizeof(uint64_t));
        assert_int_equal(session_last_event(f->m), live->ids[live->n - 1]);
        for (size_t i = 0; i < live->n; i++)
                seen[live->types[i]] = true;
        for (unsigned type = 0; type < _SESSION_EVENT_MAX; type++)
                if (!seen[type] && type != EVENT_IMPORTED) /* written before there is a manager */
                        fail_msg("no event of type %s", session_event_to_string(type));
        sub = session_unsubscribe(sub);
        free(live);
        free(stored);
}

static void test_events_come_by_session_and_by_namespace(void **state) {
        Fixture *f = *state;
        SessionCreate c = { .name = "n", .model = "m" };
        SessionSubscription *of_session, *of_namespace;
        Log *one = calloc(1, sizeof(Log)), *wall = calloc(1, sizeof(Log)),
            *stored = calloc(1, sizeof(Log));
        Session *s = make_session(f, "s", false), *other = make_session(f, "o", false);
        bool reset;

        assert_true(one && wall && stored);
        assert_int_equal(session_namespace(f->m, "team", false, &c.namespace_id), -ENOENT);
        assert_int_equal(session_namespace(f->m, "team", true, &c.namespace_id), 0);
        assert_int_equal(session_subscribe(f->m, 0, session_info(s)->id, note, one, &of_session), 0);
        assert_int_equal(session_subscribe(f->m, c.namespace_id, 0, note, wall, &of_namespace), 0);
        append(f, other, "user", "1");
        append(f, s, "user", "1");
        assert_int_equal(one->n, 1);
        assert_int_equal(wall->n, 0);
        assert_int_equal(AWAIT(f, session_create(f->m, &c, DONE)), 0);
        assert_int_equal(AWAIT(f, session_create(f->m, &c, DONE)), 0);
        assert_int_equal(one->n, 1);
        assert_int_equal(wall->n, 2);
        assert_int_equal(session_events(f->m, c.namespace_id, 0, 0, 10, note, stored, &reset), 0);
        assert_int_equal(stored->n, 2);
        session_unsubscribe(of_session);
        session_unsubscribe(of_namespace);
        fixture_reopen(f);
        assert_int_equal(session_namespace(f->m, "team", false, &c.namespace_id), 0);
        assert_string_equal(session_namespace_name(f->m, c.namespace_id), "team");
        free(one);
        free(wall);
        free(stored);
}

static void test_a_subscriber_may_leave_from_inside_its_call(void **state) {
        Fixture *f = *state;
        Log *log = calloc(1, sizeof(Log));

        assert_non_null(log);
        assert_int_equal(session_subscribe(f->m, 0, 0, note, log, &log->cancel), 0);
        work(f);
        assert_int_equal(log->n, 1);
        free(log);
}

static void test_a_reader_goes_on_where_it_was_without_gap_or_repetition(void **state) {
        Fixture *f = *state;
        Log *all = calloc(1, sizeof(Log)), *parts = calloc(1, sizeof(Log));
        bool reset;

        assert_true(all && parts);
        work(f);
        fixture_reopen(f);
        assert_int_equal(session_events(f->m, 0, 0, 0, SIZE_MAX, note, all, &reset), 0);
        for (size_t before = SIZE_MAX; before != parts->n;) {
                before = parts->n;
                assert_int_equal(session_events(f->m, 0, 0, before ? parts->ids[before - 1] : 0, 3,
                                                note, parts, &reset),
                                 0);
                assert_false(reset);
        }
        assert_int_equal(parts->n, all->n);
        free(all);
        free(parts);
}

static void test_who_missed_deleted_events_is_told_and_nobody_else(void **state) {
        Fixture *f = *state;
        Log *log = calloc(1, sizeof(Log));
        uint64_t first, last;
        bool reset;

        assert_non_null(log);
        f->config.events_max = 100;
        fixture_reopen(f);
        Session *s = make_session(f, "s", false);
        first = session_last_event(f->m);
        for (int i = 0; i < 3000; i++)
                assert_int_equal(
                        session_append(s, 0, "user", JSON_LITERAL("1"), (JsonSpan){}, NULL, NULL), 0);
        settle(f);
        settle(f);
        last = session_last_event(f->m);
        assert_int_equal(session_events(f->m, 0, 0, first, SIZE_MAX, note, log, &reset), 0);
        assert_true(reset);
        assert_in_range(log->n, 100, 100 + 1000 + 1);
        log->n = 0;
        assert_int_equal(session_events(f->m, 0, 0, last - 1, SIZE_MAX, note, log, &reset), 0);
        assert_false(reset);
        fixture_reopen(f);
        log->n = 0;
        assert_int_equal(session_events(f->m, 0, 0, first, 1, note, log, &reset), 0);
        assert_true(reset);
        free(log);
}

static void test_old_events_go_by_age(void **state) {
        Fixture *f = *state;
        Log *log = calloc(1, sizeof(Log));
        bool reset;

        assert_non_null(log);
        set_clock(0);
        fixture_reopen(f);
        append(f, make_session(f, "s", false), "user", "1");
        set_clock(6 * 86400);
        settle(f);
        assert_int_equal(session_events(f->m, 0, 0, 0, 99, note, log, &reset), 0);
        assert_int_equal(log->n, 2);
        set_clock(8 * 86400);
        settle(f);
        log->n = 0;
        assert_int_equal(session_events(f->m, 0, 0, 0, 99, note, log, &reset), 0);
        assert_int_equal(log->n, 0);
        free(log);
}

/* ---- tokens ---- */

static void test_tokens_live_as_long_as_they_should(void **state) {
        Fixture *f = *state;
        uint8_t forever[32] = { 1 }, brief[32] = { 2 }, unknown[32] = { 3 };
        uint64_t id;
        TokenInfo t;

        set_clock(0);
        fixture_reopen(f);
        id = AWAIT_ID(f, session_token_create(f->m, 1, "write", "mine", 0, forever, DONE));
        assert_int_equal(AWAIT(f, session_token_create(f->m, 1, "read", NULL,
                                                       clock_realtime() + USEC_PER_SEC, brief, DONE)),
                         0);
        assert_true(session_token_find(f->m, brief, &t));
        assert_string_equal(t.scope, "read");
        set_clock(2);
        fixture_reopen(f);
        assert_false(session_token_find(f->m, brief, &t));
        assert_false(session_token_find(f->m, unknown, &t));
        assert_true(session_token_find(f->m, forever, &t));
        assert_int_equal(t.id, id);
        assert_string_equal(t.name, "mine");
        assert_int_equal(AWAIT(f, session_token_revoke(f->m, id, DONE)), 0);
        assert_false(session_token_find(f->m, forever, &t));
        assert_int_equal(session_token_revoke(f->m, id, NULL, NULL), SESSION_E_NOT_FOUND);
        fixture_reopen(f);
        assert_false(session_token_find(f->m, forever, &t));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(test_live_and_stored_events_are_the_same_in_the_same_order),
                FIXTURE_TEST(test_events_come_by_session_and_by_namespace),
                FIXTURE_TEST(test_a_subscriber_may_leave_from_inside_its_call),
                FIXTURE_TEST(test_a_reader_goes_on_where_it_was_without_gap_or_repetition),
                FIXTURE_TEST(test_who_missed_deleted_events_is_told_and_nobody_else),
                FIXTURE_TEST(test_old_events_go_by_age),
                FIXTURE_TEST(test_tokens_live_as_long_as_they_should),
        };
        return cmocka_run_group_tests_name("session events", tests, NULL, NULL);
}
