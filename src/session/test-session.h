/* SPDX-License-Identifier: MIT */
#pragma once

/* What the tests of this room share: a manager on a real store in a folder of its own, an event
 * loop that is run until a verb is done, and a fake daemon whose processes live in a struct. */

#include "base/test.h"
#include "session/session-internal.h"

typedef struct FakeAgent {
        bool can_freeze;
        bool holds;    /* processes neither start, stop nor freeze by themselves */
        bool is_lossy; /* what it reports may be refused: the disk is full now and then */
        int freeze_error;
        unsigned started, stopped, frozen, thawed;
        uint64_t last_run;
        char token[RUN_TOKEN_SIZE];
} FakeAgent;

typedef struct Fixture {
        char dir[64];
        char url[128];
        sd_event *event;
        Store *store;
        SessionManager *m;
        SessionConfig config;
        FakeAgent agent;
        const char *module; /* the workspace module; NULL: no workspaces */
} Fixture;

typedef struct Wait {
        bool is_done;
        int r;
        uint64_t id;
} Wait;

int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Closes manager and store and opens them again, as a new daemon does. */
void fixture_reopen(Fixture *f);
void fixture_open(Fixture *f);
void fixture_close(Fixture *f);

void wait_done(int r, Session *s, uint64_t id, void *userdata);
/* r of the call, or of its completion. */
int await(Fixture *f, int r, Wait *w);
#define AWAIT(f, call)                   \
        ({                               \
                Wait w_ = {};            \
                await((f), (call), &w_); \
        })
#define DONE wait_done, &w_
/* The same, which must succeed; gives the id. */
#define AWAIT_ID(f, call)                                     \
        ({                                                    \
                Wait w_ = {};                                 \
                assert_int_equal(await((f), (call), &w_), 0); \
                w_.id;                                        \
        })

#define AGENT_JSON JSON_LITERAL("{\"exec\":\"agent --run\"}")
Session *make_session(Fixture *f, const char *name, bool has_agent);
Session *get(Fixture *f, uint64_t id);
uint64_t append(Fixture *f, Session *s, const char *role, const char *json);
/* One turn of the loop and the heap on the fake clock, until nothing is under way. */
void settle(Fixture *f);
void set_clock(usec_t seconds);
/* Ends the open run as if the process had left by itself. */
int end_run(Fixture *f, Session *s, RunNext next, usec_t restart_at);

#define assert_state(s, sub) \
        assert_string_equal(session_substate_to_string(session_info(s)->substate), (sub))
#define FIXTURE_TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
