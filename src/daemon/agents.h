/* SPDX-License-Identifier: MIT */
#pragma once

/* The bridge between sessions, which own the durable state and start no process, and supervision,
 * which runs processes and knows no session. Everything here follows one rule: the session room has
 * committed what is asked before sup is told, and sup is told to forget only after the session room
 * has committed how it ended. */

#include "session/session.h"
#include "sup/sup.h"

typedef struct Agents Agents;

typedef struct AgentsConfig {
        sd_event *event;
        const char *url;         /* what agents are told: "http://127.0.0.1:8721" */
        const char *socket_path; /* RUNTIME/agentd.sock */
        bool keep_means_stop;    /* under a service manager: nothing outlives us */
} AgentsConfig;

int agents_new(Agents **ret, const AgentsConfig *config);
Agents *agents_free(Agents *a);
DEFINE_CLEANUP(Agents *, agents_free);

/* The two sides; set once, before anything runs. */
void agents_connect(Agents *a, SessionManager *sessions, SupManager *sup);

extern const SessionAgentOps agents_session_ops; /* userdata: Agents */
extern const SupOps agents_sup_ops;              /* userdata: Agents */

/* Called for each run that the store says is open (session_manager_load()). */
void agents_found(Session *s, const RunInfo *run, void *userdata);
/* After the last: 0, or why some could not be looked for (no memory, no descriptors). The daemon
 * must not go on then: their processes would be taken for nobody's. */
int agents_found_all(const Agents *a);

void agents_on_keeper_ready(Agents *a, void (*fn)(pid_t keeper, void *userdata), void *userdata);
void agents_on_reload(Agents *a, void (*fn)(void *userdata), void *userdata);
void agents_on_terminate(Agents *a, void (*fn)(void *userdata), void *userdata);

/* Nothing outlives the daemon: it and its keeper are all that a container or a service consists of. */
bool agents_all_end(const Agents *a);
/* Runs that are not over. */
unsigned agents_count(const Agents *a);

/* -ESRCH: no process. */
int agents_kill(Agents *a, Session *s, int signo);

/* Ends the runs that shall not outlive the daemon; done(n) once their ends are committed, n: how many live on. */
void agents_shutdown(Agents *a, void (*done)(unsigned kept, void *userdata), void *userdata);
