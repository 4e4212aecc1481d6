/* SPDX-License-Identifier: MIT */

/* The state table of design, every verb in every state: what the caller hears, and where the
 * session is afterwards. Sessions without a process first, then those with one. */

#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "session/test-session.h"

typedef enum Verb {
        START,
        PAUSE,
        RESUME,
        RESUME_AT,
        STOP,
        RESTART,
        ARCHIVE,
        DELETE,
        DELETE_FORCE,
        RESTORE,
        FORK,
        _VERBS
} Verb;

typedef struct Expect {
        int r;
        const char *substate; /* NULL: the session is gone */
} Expect;

typedef struct Row {
        const char *state;
        bool has_agent;
        Expect verbs[_VERBS];
} Row;

#define NO_AGENT SESSION_E_NO_AGENT
#define ALREADY  SESSION_E_ALREADY_RUNNING
#define NOT      SESSION_E_NOT_RUNNING
#define WRONG    SESSION_E_WRONG_STATE
#define RUNS     SESSION_E_RUNNING

/* start, pause, resume, resume at a checkpoint, stop, restart, archive, delete, delete by force, restore, fork */
static const Row rows[] = {
        { "new",
          false,
          { { 0, "idle" },
            { NOT, "new" },
            { WRONG, "new" },
            { WRONG, "new" },
            { 0, "exited" },
            { NO_AGENT, "new" },
            { 0, "archived" },
            { 0, NULL },
            { 0, NULL },
            { 0, "new" },
            { 0, "new" } } },
        { "idle",
          false,
          { { ALREADY, "idle" },
            { 0, "parked" },
            { ALREADY, "idle" },
            { 0, "idle" },
            { 0, "exited" },
            { NO_AGENT, "idle" },
            { WRONG, "idle" },
            { RUNS, "idle" },
            { 0, NULL },
            { RUNS, "idle" },
            { 0, "idle" } } },
        { "parked",
          false,
          { { WRONG, "parked" },
            { NOT, "parked" },
            { 0, "idle" },
            { 0, "idle" },
            { 0, "exited" },
            { NO_AGENT, "parked" },
            { WRONG, "parked" },
            { RUNS, "parked" },
            { 0, NULL },
            { 0, "parked" },
            { 0, "parked" } } },
        { "exited",
          false,
          { { 0, "idle" },
            { NOT, "exited" },
            { 0, "idle" },
            { 0, "idle" },
            { 0, "exited" },
            { NO_AGENT, "exited" },
            { 0, "archived" },
            { 0, NULL },
            { 0, NULL },
            { 0, "exited" },
            { 0, "exited" } } },
        { "archived",
          false,
          { { 0, "idle" },
            { NOT, "archived" },
            { 0, "idle" },
            { 0, "idle" },
            { 0, "archived" },
            { NO_AGENT, "archived" },
            { 0, "archived" },
            { 0, NULL },
            { 0, NULL },
            { 0, "archived" },
            { 0, "archived" } } },
        { "new",
          true,
          { { 0, "active" },
            { NOT, "new" },
            { WRONG, "new" },
            { WRONG, "new" },
            { 0, "exited" },
            { 0, "active" },
            { 0, "archived" },
            { 0, NULL },
            { 0, NULL },
            { 0, "new" },
            { 0, "new" } } },
        { "starting",
          true,
          { { ALREADY, "starting" },
            { 0, "parked" },
            { ALREADY, "starting" },
            { 0, "active" },
            { 0, "exited" },
            { 0, "active" },
            { WRONG, "starting" },
            { RUNS, "starting" },
            { 0, NULL },
            { RUNS, "starting" },
            { 0, "starting" } } },
        { "active",
          true,
          { { ALREADY, "active" },
            { 0, "frozen" },
            { ALREADY, "active" },
            { 0, "active" },
            { 0, "exited" },
            { 0, "active" },
            { WRONG, "active" },
            { RUNS, "active" },
            { 0, NULL },
            { RUNS, "active" },
            { 0, "active" } } },
        { "backoff",
          true,
          { { ALREADY, "backoff" },
            { 0, "parked" },
            { ALREADY, "backoff" },
            { 0, "active" },
            { 0, "exited" },
            { 0, "active" },
            { WRONG, "backoff" },
            { RUNS, "backoff" },
            { 0, NULL },
            { RUNS, "backoff" },
            { 0, "backoff" } } },
        { "frozen",
          true,
          { { WRONG, "frozen" },
            { NOT, "frozen" },
            { 0, "active" },
            { 0, "active" },
            { 0, "exited" },
            { 0, "active" },
            { WRONG, "frozen" },
            { RUNS, "frozen" },
            { 0, NULL },
            { 0, "parked" },
            { 0, "frozen" } } },
        { "parked",
          true,
          { { WRONG, "parked" },
            { NOT, "parked" },
            { 0, "active" },
            { 0, "active" },
            { 0, "exited" },
            { 0, "active" },
            { WRONG, "parked" },
            { RUNS, "parked" },
            { 0, NULL },
            { 0, "parked" },
            { 0, "parked" } } },
        { "exited",
          true,
          { { 0, "active" },
            { NOT, "exited" },
            { 0, "active" },
            { 0, "active" },
            { 0, "exited" },
            { 0, "active" },
            { 0, "archived" },
            { 0, NULL },
            { 0, NULL },
            { 0, "exited" },
            { 0, "exited" } } },
        { "failed",
          true,
          { { 0, "active" },
            { NOT, "failed" },
            { 0, "active" },
            { 0, "active" },
            { 0, "exited" },
            { 0, "active" },
            { 0, "archived" },
            { 0, NULL },
            { 0, NULL },
            { 0, "failed" },
            { 0, "failed" } } },
        { "lost",
          true,
          { { 0, "active" },
            { NOT, "lost" },
            { 0, "active" },
            { 0, "active" },
            { 0, "exited" },
            { 0, "active" },
            { 0, "archived" },
            { 0, NULL },
            { 0, NULL },
            { 0, "lost" },
            { 0, "lost" } } },
};

static void start_running(Fixture *f, Session *s) {
        assert_int_equal(AWAIT(f, session_start(s, DONE)), 0);
        settle(f);
}

/* Brings a fresh session to the row's state, by verbs and ends only. */
static Session *bring_to(Fixture *f, const Row *row) {
        Session *s = make_session(f, "case", row->has_agent);

        f->agent.can_freeze = !streq(row->state, "parked");
        f->agent.holds = streq(row->state, "starting");
        if (!streq(row->state, "new"))
                start_running(f, s);
        f->agent.holds = false;
        if (streq(row->state, "parked") || streq(row->state, "frozen"))
                assert_int_equal(AWAIT(f, session_pause(s, DONE)), 0);
        else if (streq(row->state, "exited") || streq(row->state, "archived"))
                assert_int_equal(AWAIT(f, session_stop(s, DONE)), 0);
        else if (streq(row->state, "failed"))
                assert_int_equal(end_run(f, s, RUN_NEXT_FAILED, 0), 0);
        else if (streq(row->state, "lost"))
                assert_int_equal(end_run(f, s, RUN_NEXT_LOST, 0), 0);
        else if (streq(row->state, "backoff"))
                assert_int_equal(end_run(f, s, RUN_NEXT_BACKOFF, clock_realtime() + USEC_PER_DAY), 0);
        if (streq(row->state, "archived"))
                assert_int_equal(AWAIT(f, session_archive(s, DONE)), 0);
        f->agent.can_freeze = true;
        assert_state(s, row->state);
        return s;
}

static int do_verb(Fixture *f, Session *s, Verb verb, uint64_t checkpoint) {
        switch (verb) {
        case START:
                return AWAIT(f, session_start(s, DONE));
        case PAUSE:
                return AWAIT(f, session_pause(s, DONE));
        case RESUME:
                return AWAIT(f, session_resume(s, 0, DONE));
        case RESUME_AT:
                return AWAIT(f, session_resume(s, checkpoint, DONE));
        case STOP:
                return AWAIT(f, session_stop(s, DONE));
        case RESTART:
                return AWAIT(f, session_restart(s, DONE));
        case ARCHIVE:
                return AWAIT(f, session_archive(s, DONE));
        case DELETE:
                return AWAIT(f, session_delete(s, false, DONE));
        case DELETE_FORCE:
                return AWAIT(f, session_delete(s, true, DONE));
        case RESTORE:
                return AWAIT(f, session_restore(s, checkpoint, 0, DONE));
        case FORK:
                return AWAIT(f, session_fork(s, 0, 0, NULL, NULL, DONE));
        case _VERBS:
                break;
        }
        return -EINVAL;
}

static void check_case(Fixture *f, const Row *row, Verb verb) {
        const Expect *e = row->verbs + verb;
        Session *s = bring_to(f, row);
        uint64_t id = session_info(s)->id;
        uint64_t checkpoint = AWAIT_ID(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, "here", DONE));
        int r = do_verb(f, s, verb, checkpoint);

        settle(f);
        s = session_get(f->m, id);
        const char *is = s ? session_substate_to_string(session_info(s)->substate) : "gone";
        if (r != e->r || !streq(is, e->substate ? e->substate : "gone"))
                fail_msg("%s%s, verb %d: got %d and %s, expected %d and %s", row->state,
                         row->has_agent ? " with a process" : "", verb, r, is, e->r,
                         e->substate ? e->substate : "gone");
}

static void test_every_verb_in_every_state_does_what_the_table_says(void **state) {
        Fixture *f = *state;

        ARRAY_FOREACH(row, rows)
                for (int verb = 0; verb < _VERBS; verb++)
                        check_case(f, row, (Verb) verb);
}

static void test_states_and_results_survive_reopening(void **state) {
        Fixture *f = *state;
        uint64_t ids[ELEMENTSOF(rows)];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                ids[i] = session_info(bring_to(f, rows + i))->id;
        fixture_reopen(f);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_state(get(f, ids[i]), rows[i].state);
}

static void test_the_picture_of_the_states_is_true(void **state) {
        _cleanup_buf_ Buf drawn = BUF_INIT(1 << 20);
        _cleanup_free_ char *kept = NULL;
        const char *path = getenv("AGENTD_STATES_DOT");
        size_t n;

        (void) state;
        assert_non_null(path);
        assert_int_equal(session_states_dot(&drawn), 0);
        if (getenv("AGENTD_STATES_DOT_WRITE"))
                assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, drawn.data, drawn.len, 0644),
                                 0);
        assert_int_equal(fs_read_file(AT_FDCWD, path, 1 << 20, &kept, &n), 0);
        assert_string_equal(kept, drawn.data);
}

static void test_a_substate_never_follows_where_the_table_has_no_way(void **state) {
        (void) state;
        assert_false(substate_may_follow(SUBSTATE_NEW, SUBSTATE_ACTIVE));
        assert_false(substate_may_follow(SUBSTATE_ARCHIVED, SUBSTATE_ACTIVE));
        assert_false(substate_may_follow(SUBSTATE_PARKED, SUBSTATE_FROZEN));
        for (int from = 0; from < _SUBSTATE_MAX; from++)
                for (int to = 0; to < _SUBSTATE_MAX; to++)
                        if (substate_may_follow((SessionSubstate) from, (SessionSubstate) to))
                                assert_int_not_equal(to, SUBSTATE_NEW);
}

static void test_verbs_on_one_session_run_one_after_the_other(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "queue", true);
        Wait pause = {}, restart = {}, stop = {};

        start_running(f, s);
        assert_int_equal(session_pause(s, wait_done, &pause), 0);
        assert_int_equal(session_restart(s, wait_done, &restart), 0);
        assert_int_equal(session_stop(s, wait_done, &stop), 0);
        assert_int_equal(await(f, 0, &stop), 0);
        assert_true(pause.is_done && pause.r == 0);
        assert_true(restart.is_done && restart.r == 0);
        assert_state(s, "exited");
        assert_int_equal(f->agent.frozen, 1);
        assert_int_equal(f->agent.started, 2);
}

static void test_a_second_stop_waits_for_the_same_end(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "twice", true);
        Wait one = {}, two = {};

        start_running(f, s);
        f->agent.holds = true;
        assert_int_equal(session_stop(s, wait_done, &one), 0);
        assert_int_equal(session_stop(s, wait_done, &two), 0);
        while (f->agent.stopped == 0)
                assert_return_code(sd_event_run(f->event, USEC_PER_SEC), 0);
        settle(f);
        assert_false(one.is_done || two.is_done);
        assert_state(s, "stopping");
        assert_int_equal(end_run(f, s, RUN_NEXT_BACKOFF, 0), 0);
        assert_int_equal(await(f, 0, &two), 0);
        assert_int_equal(await(f, 0, &one), 0);
        assert_state(s, "exited");
        assert_int_equal(f->agent.stopped, 1);
}

static void test_an_end_while_freezing_parks_the_session(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "gone", true);
        Wait pause = {};

        start_running(f, s);
        f->agent.holds = true;
        assert_int_equal(session_pause(s, wait_done, &pause), 0);
        while (f->agent.frozen == 0)
                assert_return_code(sd_event_run(f->event, USEC_PER_SEC), 0);
        assert_int_equal(end_run(f, s, RUN_NEXT_BACKOFF, 0), 0);
        assert_int_equal(await(f, 0, &pause), 0);
        assert_state(s, "parked");
}

static void test_a_freeze_that_fails_parks_the_session(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "stiff", true);

        start_running(f, s);
        f->agent.freeze_error = -EIO;
        assert_int_equal(AWAIT(f, session_pause(s, DONE)), 0);
        assert_state(s, "parked");
        assert_int_equal(f->agent.stopped, 1);
        f->agent.freeze_error = 0;
}

#define LABELS_SIZE 256

static int remember_label(const CheckpointInfo *c, void *userdata) {
        char *all = userdata;

        size_t n = strlen(all);

        (void) snprintf(all + n, LABELS_SIZE - n, "%s ", c->label);
        return 0;
}

static void test_pause_stop_and_restore_take_their_checkpoints(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "labels", false);
        char labels[LABELS_SIZE] = "";
        uint64_t cp;

        start_running(f, s);
        cp = AWAIT_ID(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, "mine", DONE));
        assert_int_equal(AWAIT(f, session_pause(s, DONE)), 0);
        assert_int_equal(AWAIT(f, session_stop(s, DONE)), 0);
        assert_int_equal(AWAIT(f, session_restore(s, cp, 0, DONE)), 0);
        assert_int_equal(session_checkpoints(s, 0, 100, remember_label, labels), 0);
        assert_string_equal(labels, "mine pause-checkpoint stop-checkpoint pre-restore ");
}

static void shutdown_done(int r, void *userdata) {
        *(Wait *) userdata = (Wait){ true, r, 0 };
}

static void test_shutdown_saves_running_sessions_and_takes_nothing_more(void **state) {
        Fixture *f = *state;
        Session *a = make_session(f, "a", false), *b = make_session(f, "b", false);
        char labels[2][LABELS_SIZE] = { "", "" };
        Wait w = {};

        start_running(f, a);
        assert_int_equal(session_manager_shutdown(f->m, shutdown_done, &w), 0);
        assert_int_equal(session_start(b, NULL, NULL), SESSION_E_SHUTTING_DOWN);
        assert_int_equal(await(f, 0, &w), 0);
        assert_int_equal(session_checkpoints(a, 0, 100, remember_label, labels[0]), 0);
        assert_int_equal(session_checkpoints(b, 0, 100, remember_label, labels[1]), 0);
        assert_string_equal(labels[0], "shutdown-checkpoint ");
        assert_string_equal(labels[1], "");
        fixture_reopen(f);
        assert_int_equal(session_count(f->m, SESSION_RUNNING), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(test_every_verb_in_every_state_does_what_the_table_says),
                FIXTURE_TEST(test_states_and_results_survive_reopening),
                cmocka_unit_test(test_the_picture_of_the_states_is_true),
                cmocka_unit_test(test_a_substate_never_follows_where_the_table_has_no_way),
                FIXTURE_TEST(test_verbs_on_one_session_run_one_after_the_other),
                FIXTURE_TEST(test_a_second_stop_waits_for_the_same_end),
                FIXTURE_TEST(test_an_end_while_freezing_parks_the_session),
                FIXTURE_TEST(test_a_freeze_that_fails_parks_the_session),
                FIXTURE_TEST(test_pause_stop_and_restore_take_their_checkpoints),
                FIXTURE_TEST(test_shutdown_saves_running_sessions_and_takes_nothing_more),
        };
        return cmocka_run_group_tests_name("session verbs", tests, NULL, NULL);
}
