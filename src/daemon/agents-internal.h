/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to agents.c and agents-shutdown.c. */

#include "base/list.h"
#include "base/map.h"
#include "base/obj.h"
#include "daemon/agents.h"

#define AGENTS_MAGIC     0x41474e54U
#define AGENT_UNIT_MAGIC 0x41474e55U

struct Agents {
        uint32_t magic;
        sd_event *event;
        SessionManager *sessions;
        SupManager *sup;
        char *url, *socket_path;
        bool keep_means_stop, shutting_down;
        Map *units; /* by run id */
        void (*keeper_ready)(pid_t keeper, void *userdata);
        void *keeper_ready_userdata;
        void (*terminate)(void *userdata);
        void *terminate_userdata;
        void (*reload)(void *userdata);
        void *reload_userdata;
        void (*shutdown_done)(unsigned kept, void *userdata);
        void *shutdown_userdata;
        ListLink retries;       /* AgentUnit.retry_link */
        sd_event_source *retry; /* made at the start, so that arming it needs no memory */
        int not_found;          /* why runs of before could not be looked for, or 0 */
};

typedef struct AgentUnit {
        uint32_t magic;
        Agents *agents;
        uint64_t session, run;
        SupSpec *spec;
        SupRun *sup; /* NULL: could not even be queued */
        usec_t started_at;
        bool has_started, has_ended; /* what is still to be committed */
        bool commit_under_way;
        bool must_end;  /* part of the shutdown */
        bool was_short; /* it did not begin because the daemon had no memory or descriptor for it */
        SupIdentity identity;
        SupExit end;
        char reason[512]; /* of the end, if more is to be said than sup says */
        ListLink retry_link;
} AgentUnit;

/* A run that the shutdown ends, or that begins while it is under way. */
void agents_end_for_shutdown(AgentUnit *u);
/* Some run is over: was it the last one that the shutdown waits for? */
void agents_shutdown_check(Agents *a);
