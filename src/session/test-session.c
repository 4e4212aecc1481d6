/* SPDX-License-Identifier: MIT */

/* The fixture of this room's tests. The store is a real one on a real file; only the daemon's part (the
 * processes) is played by FakeAgent, which answers from inside the call it gets, the hardest order there is. */

#include "session/test-session.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/fs.h"

static void reported(const Fixture *f, int r) {
        if (!f->agent.is_lossy)
                assert_int_equal(r, 0);
}

static void fake_start(Session *s, uint64_t run, const char *token, void *userdata) {
        Fixture *f = userdata;
        RunIdentity id = { .pid = 4000 + (pid_t) f->agent.started, .pidfd_id = 7, .start_time = 9 };

        f->agent.started++;
        f->agent.last_run = run;
        (void) snprintf(f->agent.token, sizeof(f->agent.token), "%s", token);
        if (!f->agent.holds)
                reported(f, session_run_started(s, run, &id, NULL, NULL));
}

static void fake_stop(Session *s, uint64_t run, void *userdata) {
        Fixture *f = userdata;
        RunEnd end = { .exit_code = -1, .exit_signal = SIGTERM, .next = RUN_NEXT_FAILED };

        f->agent.stopped++;
        if (!f->agent.holds)
                reported(f, session_run_ended(s, run, &end, NULL, NULL));
}

static void fake_freeze(Session *s, uint64_t run, void *userdata) {
        Fixture *f = userdata;

        f->agent.frozen++;
        if (!f->agent.holds)
                session_run_frozen(s, run, true, f->agent.freeze_error);
}

static void fake_thaw(Session *s, uint64_t run, void *userdata) {
        Fixture *f = userdata;

        f->agent.thawed++;
        session_run_frozen(s, run, false, 0);
}

static bool fake_can_freeze(void *userdata) {
        return ((Fixture *) userdata)->agent.can_freeze;
}

static const SessionAgentOps fake_ops = { fake_start, fake_stop, fake_freeze, fake_thaw,
                                          fake_can_freeze };

static void on_failed(int error, void *userdata) {
        Fixture *f = userdata;

        (void) error;
        session_manager_reload(f->m);
}

static void found(Session *s, const RunInfo *run, void *userdata) {
        (void) s;
        (void) run;
        (void) userdata;
}

void fixture_open(Fixture *f) {
        StoreOptions options = { .on_failed = on_failed, .userdata = f };
        char *message = NULL;

        assert_return_code(sd_event_new(&f->event), 0);
        assert_int_equal(store_open(&f->store, f->event, f->url, &state_schema, &options, &message),
                         0);
        f->config.workspace = NULL;
        if (f->module)
                assert_int_equal(
                        workspace_manager_new(&f->config.workspace, f->event, f->dir, f->module, 0),
                        0);
        assert_int_equal(session_manager_new(&f->m, f->event, f->store, &f->config, &fake_ops, f), 0);
        assert_int_equal(session_manager_load(f->m, found, f), 0);
        settle(f);
}

void fixture_close(Fixture *f) {
        session_manager_close(f->m);
        f->config.workspace = workspace_manager_free(f->config.workspace);
        f->m = session_manager_free(f->m);
        f->store = store_free(f->store);
        f->event = sd_event_unref(f->event);
}

void fixture_reopen(Fixture *f) {
        fixture_close(f);
        fixture_open(f);
}

int fixture_setup(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        assert_non_null(f);
        (void) signal(SIGXFSZ, SIG_IGN);
        (void) snprintf(f->dir, sizeof(f->dir), "/tmp/agentd-test-session-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        (void) snprintf(f->url, sizeof(f->url), "%s/state.db", f->dir);
        f->config.data_dir = f->dir;
        f->agent.can_freeze = true;
        fixture_open(f);
        *state = f;
        return 0;
}

int fixture_teardown(void **state) {
        Fixture *f = *state;

        fixture_close(f);
        clock_fake(USEC_INFINITY, USEC_INFINITY);
        assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir), 0);
        free(f);
        return 0;
}

void wait_done(int r, Session *s, uint64_t id, void *userdata) {
        Wait *w = userdata;

        (void) s;
        assert_false(w->is_done);
        *w = (Wait){ true, r, id };
}

int await(Fixture *f, int r, Wait *w) {
        if (r != 0) {
                assert_false(w->is_done);
                return r;
        }
        while (!w->is_done)
                assert_return_code(sd_event_run(f->event, 10 * USEC_PER_SEC), 0);
        return w->r;
}

void settle(Fixture *f) {
        for (;;) {
                Wait w = {};
                session_manager_tick(f->m);
                int r = session_settle(f->m, NULL, wait_done, &w);
                if (r == 1)
                        return;
                assert_return_code(await(f, r, &w), 0);
        }
}

void set_clock(usec_t seconds) {
        usec_t at = (UINT64_C(1800000000) + seconds) * USEC_PER_SEC;

        clock_fake(at, at);
}

Session *get(Fixture *f, uint64_t id) {
        Session *s = session_get(f->m, id);

        assert_non_null(s);
        return s;
}

Session *make_session(Fixture *f, const char *name, bool has_agent) {
        SessionCreate c = {
                .namespace_id = 1,
                .name = name,
                .model = "m",
                .agent = has_agent ? AGENT_JSON : (JsonSpan){},
        };

        return get(f, AWAIT_ID(f, session_create(f->m, &c, DONE)));
}

uint64_t append(Fixture *f, Session *s, const char *role, const char *json) {
        return AWAIT_ID(f, session_append(s, 0, role, (JsonSpan){ json, strlen(json) },
                                          (JsonSpan){}, DONE));
}

int end_run(Fixture *f, Session *s, RunNext next, usec_t restart_at) {
        RunEnd end = { .exit_code = 3, .next = next, .restart_at = restart_at, .reason = "it left" };

        return AWAIT(f, session_run_ended(s, session_info(s)->run, &end, DONE));
}
