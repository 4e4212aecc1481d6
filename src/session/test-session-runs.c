/* SPDX-License-Identifier: MIT */

/* Runs: how they begin, end and begin again, who may write in their name, and what is left when the
 * daemon dies. The last is tested by dying: a child does the work and leaves without a word at its
 * n-th event (that is: right after its n-th change is on disk, before anything else), for every n;
 * then the parent starts from what is there. */

#include <sodium.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "session/test-session.h"

static void start(Fixture *f, Session *s) {
        assert_int_equal(AWAIT(f, session_start(s, DONE)), 0);
        settle(f);
}

static void hash_of(const char *token, uint8_t ret[static HASH_SIZE]) {
        crypto_generichash(ret, HASH_SIZE, (const uint8_t *) token, strlen(token), NULL, 0);
}

static int keep_run(const RunInfo *r, void *userdata) {
        RunInfo *runs = userdata;

        runs[r->number] = *r;
        return 0;
}

static void test_each_start_is_a_run_with_the_next_number_and_a_secret_of_its_own(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "s", true);
        uint8_t first[HASH_SIZE], second[HASH_SIZE];
        RunInfo runs[8] = {};
        uint64_t run;
        bool stale;

        start(f, s);
        assert_state(s, "active");
        hash_of(f->agent.token, first);
        assert_ptr_equal(session_run_token_find(f->m, first, &run, &stale), s);
        assert_int_equal(run, session_info(s)->run);
        assert_ptr_equal(session_of_run(f->m, run), s);
        assert_int_equal(AWAIT(f, session_restart(s, DONE)), 0);
        settle(f);
        hash_of(f->agent.token, second);
        assert_null(session_run_token_find(f->m, first, &run, &stale));
        assert_true(stale);
        assert_ptr_equal(session_run_token_find(f->m, second, &run, &stale), s);
        first[0] ^= 1;
        assert_null(session_run_token_find(f->m, first, &run, &stale));
        assert_false(stale);
        assert_int_equal(session_info(s)->fence, 2);
        assert_int_equal(session_runs(s, 0, 10, keep_run, runs), 0);
        assert_int_equal(runs[1].state, RUN_ENDED);
        assert_int_equal(runs[1].exit_signal, SIGTERM);
        assert_int_equal(runs[2].state, RUN_ALIVE);
        assert_int_equal(runs[2].pid, 4001);
        fixture_reopen(f);
        assert_non_null(session_run_token_find(f->m, second, &run, &stale));
}

static void test_a_survivor_of_an_old_run_can_write_nothing(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "s", true);
        uint64_t old;

        start(f, s);
        old = session_info(s)->run;
        assert_int_equal(
                AWAIT(f, session_append(s, old, "assistant", JSON_LITERAL("1"), (JsonSpan){}, DONE)),
                0);
        assert_int_equal(AWAIT(f, session_restart(s, DONE)), 0);
        settle(f);
        assert_int_equal(
                session_append(s, old, "assistant", JSON_LITERAL("1"), (JsonSpan){}, NULL, NULL),
                SESSION_E_STALE_RUN);
        assert_int_equal(session_var_set(s, old, "x", JSON_LITERAL("1"), 0, NULL, NULL),
                         SESSION_E_STALE_RUN);
        assert_int_equal(session_checkpoint(s, old, CHECKPOINT_MANUAL, NULL, NULL, NULL),
                         SESSION_E_STALE_RUN);
        assert_int_equal(session_run_started(s, old, &(RunIdentity){}, NULL, NULL),
                         SESSION_E_STALE_RUN);
        assert_int_equal(session_run_ended(s, old, &(RunEnd){}, NULL, NULL), SESSION_E_STALE_RUN);
        assert_state(s, "active");
}

static void test_a_run_that_leaves_ends_as_the_policy_says(void **state) {
        static const struct {
                RunNext next;
                const char *substate;
        } cases[] = { { RUN_NEXT_STOPPED, "exited" },
                      { RUN_NEXT_FAILED, "failed" },
                      { RUN_NEXT_LOST, "lost" } };
        Fixture *f = *state;

        ARRAY_FOREACH(c, cases) {
                Session *s = make_session(f, "s", true);
                start(f, s);
                assert_int_equal(end_run(f, s, c->next, 0), 0);
                assert_state(s, c->substate);
                assert_string_equal(session_info(s)->reason, "it left");
                assert_null(s->open_run);
        }
}

static void test_a_back_off_is_durable_and_ends_in_a_new_run(void **state) {
        Fixture *f = *state;
        uint64_t id;

        set_clock(0);
        fixture_reopen(f);
        Session *s = make_session(f, "s", true);
        id = session_info(s)->id;
        start(f, s);
        RunEnd end = { .exit_code = 1,
                       .next = RUN_NEXT_BACKOFF,
                       .restart_at = clock_realtime() + 10 * USEC_PER_SEC,
                       .restarts = 3,
                       .start_window = 5,
                       .start_count = 4 };
        assert_int_equal(AWAIT(f, session_run_ended(s, session_info(s)->run, &end, DONE)), 0);
        assert_state(s, "backoff");
        set_clock(9);
        fixture_reopen(f);
        s = get(f, id);
        assert_state(s, "backoff");
        assert_int_equal(session_info(s)->restarts, 3);
        assert_int_equal(session_info(s)->start_count, 4);
        set_clock(10);
        settle(f);
        assert_state(s, "active");
        assert_int_equal(f->agent.started, 2);
        assert_int_equal(session_info(s)->restarts, 3); /* only somebody's start begins anew */
        assert_int_equal(AWAIT(f, session_restart(s, DONE)), 0);
        assert_int_equal(session_info(s)->restarts, 0);
}

static void test_the_real_timer_ends_a_back_off(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "s", true);

        start(f, s);
        assert_int_equal(end_run(f, s, RUN_NEXT_BACKOFF, clock_realtime() + 20 * USEC_PER_MSEC), 0);
        assert_state(s, "backoff");
        while (session_info(s)->substate != SUBSTATE_ACTIVE)
                assert_return_code(sd_event_run(f->event, USEC_INFINITY), 0);
        assert_int_equal(f->agent.started, 2);
}

static void test_a_frozen_run_that_dies_leaves_the_session_parked(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "s", true);

        start(f, s);
        assert_int_equal(AWAIT(f, session_pause(s, DONE)), 0);
        assert_state(s, "frozen");
        assert_int_equal(end_run(f, s, RUN_NEXT_BACKOFF, 0), 0);
        assert_state(s, "parked");
}

static void test_heartbeats_tell_the_oldest_of_the_running(void **state) {
        Fixture *f = *state;

        set_clock(100);
        fixture_reopen(f);
        Session *a = make_session(f, "a", true), *b = make_session(f, "b", true);
        assert_int_equal(session_oldest_heartbeat(f->m), 0);
        start(f, a);
        start(f, b);
        set_clock(200);
        session_heartbeat(b);
        assert_int_equal(session_oldest_heartbeat(f->m), session_info(a)->heartbeat_at);
        session_heartbeat(a);
        assert_int_equal(session_oldest_heartbeat(f->m), clock_realtime());
}

/* ---- commits that fail ---- */

static void limit_files(uint64_t bytes) {
        struct rlimit l = { .rlim_cur = bytes, .rlim_max = RLIM_INFINITY };

        assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void test_a_failed_commit_leaves_memory_as_the_disk_is(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "s", true), *other = make_session(f, "o", false);
        uint64_t id = session_info(s)->id, head = append(f, s, "user", "1"),
                 count = session_count(f->m, -1);
        SessionCreate c = { .namespace_id = 1, .name = "never", .model = "m" };
        Wait w[6] = {};

        limit_files(4096);
        assert_int_equal(session_append(s, 0, "user", JSON_LITERAL("2"), (JsonSpan){}, wait_done, w),
                         0);
        assert_int_equal(session_start(s, wait_done, w + 1), 0);
        assert_int_equal(session_var_set(s, 0, "v", JSON_LITERAL("1"), 0, wait_done, w + 2), 0);
        assert_int_equal(session_create(f->m, &c, wait_done, w + 3), 0);
        assert_int_equal(session_delete(other, false, wait_done, w + 4), 0);
        assert_int_equal(session_settle(f->m, s, wait_done, w + 5), 0);
        assert_int_equal(session_info(s)->message_count, 2); /* ahead */
        for (size_t i = 0; i < ELEMENTSOF(w); i++)
                assert_true(await(f, 0, w + i) < 0);
        limit_files(RLIM_INFINITY);
        s = get(f, id);
        assert_int_equal(session_info(s)->message_count, 1);
        assert_int_equal(session_info(s)->head, head);
        assert_int_equal(session_info(s)->vars, 0);
        assert_state(s, "new");
        assert_null(s->open_run);
        assert_int_equal(f->agent.started, 0);
        assert_int_equal(session_count(f->m, -1), count);
        /* And it works again. */
        append(f, s, "user", "2");
        start(f, s);
        assert_state(s, "active");
        assert_int_equal(AWAIT(f, session_delete(other, false, DONE)), 0);
        fixture_reopen(f);
        assert_int_equal(session_info(get(f, id))->message_count, 2);
        assert_int_equal(session_count(f->m, -1), count - 1);
}

static void test_an_end_that_could_not_be_written_can_be_told_again(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "s", true);
        Wait stop = {};

        start(f, s);
        f->agent.holds = true;
        assert_int_equal(session_stop(s, wait_done, &stop), 0);
        while (f->agent.stopped == 0)
                assert_return_code(sd_event_run(f->event, USEC_PER_SEC), 0);
        settle(f);
        limit_files(4096);
        assert_true(end_run(f, s, RUN_NEXT_STOPPED, 0) < 0);
        limit_files(RLIM_INFINITY);
        assert_state(s, "stopping");
        assert_non_null(s->open_run);
        assert_false(stop.is_done);
        assert_int_equal(end_run(f, s, RUN_NEXT_STOPPED, 0), 0);
        assert_int_equal(await(f, 0, &stop), 0);
        assert_state(s, "exited");
}

/* ---- death of the daemon ---- */

typedef struct Scenario {
        const char *name;
        void (*run)(Fixture *f, Session *s);
        const char *after; /* where the session must be in the end once the verb is on disk */
} Scenario;

static void do_restart(Fixture *f, Session *s) {
        (void) AWAIT(f, session_restart(s, DONE));
}

static void do_stop(Fixture *f, Session *s) {
        (void) AWAIT(f, session_stop(s, DONE));
}

static void do_pause(Fixture *f, Session *s) {
        (void) AWAIT(f, session_pause(s, DONE));
}

static void do_park(Fixture *f, Session *s) {
        f->agent.can_freeze = false;
        (void) AWAIT(f, session_pause(s, DONE));
}

static void do_resume_at(Fixture *f, Session *s) {
        (void) AWAIT(f, session_resume(s, session_info(s)->checkpoint, DONE));
}

static void do_delete(Fixture *f, Session *s) {
        (void) AWAIT(f, session_delete(s, true, DONE));
}

static const Scenario scenarios[] = {
        { "restart", do_restart, "active" },  { "stop", do_stop, "exited" },
        { "pause", do_pause, "frozen" },      { "park", do_park, "parked" },
        { "resume", do_resume_at, "active" }, { "delete", do_delete, NULL },
};

static int leave_at(const EventInfo *e, void *userdata) {
        unsigned *left = userdata;

        (void) e;
        if (--*left == 0)
                _exit(0);
        return 0;
}

/* 0 when it died at the n-th event, 1 when the verb was done before. */
static int child_dies_at(Fixture *f, const Scenario *sc, uint64_t id, unsigned n) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                SessionSubscription *sub;
                fixture_open(f);
                if (session_subscribe(f->m, 0, 0, leave_at, &n, &sub) < 0)
                        _exit(2);
                sc->run(f, session_get(f->m, id));
                settle(f);
                _exit(1);
        }
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        return WEXITSTATUS(status);
}

/* What the new daemon finds: the process lives and is adopted, or a stop was under way and is finished. */
static void play_daemon(Fixture *f, uint64_t id) {
        Session *s = session_get(f->m, id);

        for (int turn = 0; turn < 4 && s && s->open_run; turn++) {
                if (s->open_run->state == RUN_STOPPING)
                        assert_int_equal(end_run(f, s, RUN_NEXT_LOST, 0), 0);
                else if (s->open_run->state == RUN_INTENT)
                        assert_int_equal(
                                AWAIT(f, session_run_started(s, s->open_run->id,
                                                             &(RunIdentity){ .pid = 9 }, DONE)),
                                0);
                settle(f);
                s = session_get(f->m, id);
        }
}

static void check_after_death(Fixture *f, const Scenario *sc, uint64_t id, bool begun) {
        Session *s = session_get(f->m, id);
        const char *is = s ? session_substate_to_string(session_info(s)->substate) : "gone";
        const char *want = sc->after ? sc->after : "gone";

        /* Not yet written down: it is as if nobody had asked. A pause alone is not durable before it is done. */
        bool ok = streq(is, want) || (streq(is, "active") && (!begun || streq(sc->name, "pause")));
        if (!ok)
                fail_msg("%s: %s after the daemon's death", sc->name, is);
        assert_true(!s || (s->ops == NULL && s->inflight == 0));
}

static bool intents_are_left(Fixture *f) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

        assert_int_equal(store_query(f->m->reader, &c, STATE_INTENT_LIST, NULL, 0), 0);
        return store_next(c) > 0;
}

/* Brings the file to: one session, running with a process, one checkpoint. */
static uint64_t prepare(Fixture *f) {
        Session *s;

        fixture_open(f);
        s = make_session(f, "s", true);
        start(f, s);
        append(f, s, "user", "1");
        assert_int_equal(AWAIT(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, NULL, DONE)), 0);
        append(f, s, "user", "2");
        uint64_t id = session_info(s)->id;
        fixture_close(f);
        return id;
}

static void die_everywhere(Fixture *f, const Scenario *sc) {
        for (unsigned n = 1, done = 0; !done; n++) {
                uint64_t id = prepare(f);
                done = (unsigned) child_dies_at(f, sc, id, n);
                fixture_open(f);
                Session *s = session_get(f->m, id);
                bool begun = !s || session_info(s)->substate != SUBSTATE_ACTIVE;
                play_daemon(f, id);
                check_after_death(f, sc, id, begun);
                assert_false(intents_are_left(f));
                fixture_close(f);
                assert_true(n < 50);
        }
}

static void test_verbs_are_finished_after_the_daemon_died_at_any_point(void **state) {
        Fixture *f = *state;

        fixture_close(f);
        ARRAY_FOREACH(sc, scenarios)
                die_everywhere(f, sc);
        fixture_open(f);
}

/* The commit of an end failed, and so did reading the session again. */
static void test_an_end_is_not_dropped_by_a_memory_that_is_ahead_of_the_store(void **state) {
        RunEnd end = { .exit_code = 7, .next = RUN_NEXT_FAILED, .reason = "it left" };
        Fixture *f = *state;
        Session *s = make_session(f, "s", true);

        start(f, s);
        uint64_t run = session_info(s)->run;
        session_taint(s);
        open_run_remove(s);
        assert_int_equal(AWAIT(f, session_run_ended(s, run, &end, DONE)), 0);
        assert_state(s, "failed");
        assert_null(s->open_run);
        /* Nothing remembers it as to be read again when it is gone. */
        assert_int_equal(AWAIT(f, session_delete(s, false, DONE)), 0);
        assert_int_equal(f->m->n_tainted, 0);
}

static int count_runs(const RunInfo *r, void *userdata) {
        unsigned *n = userdata;

        n[r->state < RUN_ENDED]++;
        return 0;
}

static void test_never_are_two_runs_of_a_session_open(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "s", true);

        start(f, s);
        for (int i = 0; i < 20; i++) {
                unsigned n[2] = {};
                assert_int_equal(AWAIT(f, session_restart(s, DONE)), 0);
                settle(f);
                assert_int_equal(session_runs(s, 0, 100, count_runs, n), 0);
                assert_int_equal(n[1], 1);
                assert_int_equal(map_size(f->m->by_run), 1);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(test_each_start_is_a_run_with_the_next_number_and_a_secret_of_its_own),
                FIXTURE_TEST(test_a_survivor_of_an_old_run_can_write_nothing),
                FIXTURE_TEST(test_a_run_that_leaves_ends_as_the_policy_says),
                FIXTURE_TEST(test_a_back_off_is_durable_and_ends_in_a_new_run),
                FIXTURE_TEST(test_the_real_timer_ends_a_back_off),
                FIXTURE_TEST(test_a_frozen_run_that_dies_leaves_the_session_parked),
                FIXTURE_TEST(test_heartbeats_tell_the_oldest_of_the_running),
                FIXTURE_TEST(test_a_failed_commit_leaves_memory_as_the_disk_is),
                FIXTURE_TEST(test_an_end_that_could_not_be_written_can_be_told_again),
                FIXTURE_TEST(test_an_end_is_not_dropped_by_a_memory_that_is_ahead_of_the_store),
                FIXTURE_TEST(test_never_are_two_runs_of_a_session_open),
                FIXTURE_TEST(test_verbs_are_finished_after_the_daemon_died_at_any_point),
        };
        return cmocka_run_group_tests_name("session runs", tests, NULL, NULL);
}
