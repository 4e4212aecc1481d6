/* SPDX-License-Identifier: MIT */
#pragma once

/* The API: one thin handler per route of src/contract. Api takes complete HTTP requests, finds out
 * who is asking, checks Host, Origin and permission, parses and validates the input by the route's
 * table, and calls the handler. */

#include "contract/config-keys.h"
#include "memory/memory.h"
#include "net/auth.h"
#include "session/session.h"
#include "sup/logs.h"
#include "sup/sup.h"

typedef struct Api Api;

typedef struct ApiConfig {
        SessionManager *sessions;
        MemoryManager *memory;
        SupManager *sup;
        const DaemonConfig *config; /* as it is now: values may change, see api_configure() */
        const Store *state, *memory_store; /* for their figures; NULL: not shown */
        const char *url, *socket_path;     /* where the daemon listens; may be NULL */
        const char *log_dir;
        usec_t started_at;                    /* realtime */
        unsigned port;                        /* of the TCP socket; 0: there is none */
        unsigned state_schema, memory_schema; /* numbers of the databases' schemas */
        /* POST /shutdown and the like; called after the reply was queued. */
        void (*shutdown)(void *userdata);
        /* What a start would run with now; as config_load(). */
        int (*next_config)(DaemonConfig *ret, char **ret_message, void *userdata);
        /* Takes that up as far as it can. 0; -EINVAL with the reason; or another error. `files` and
         * the values in effect are in config then, *ret_wanted is the rest; see config_take(). */
        int (*reload)(DaemonConfig *ret_wanted,
                      ConfigChange changes[static CONFIG_KEYS_MAX],
                      char **ret_message,
                      void *userdata);
        /* Sends a signal to the agent's leader; negative errno. */
        int (*kill)(Session *s, int signo, void *userdata);
        /* False while starting or stopping: GET /ready then says 503. Before it was true for the
         * first time every other request waits, because until then a run of an earlier daemon is
         * not told from its user. */
        bool (*is_ready)(void *userdata);
        void *userdata;
} ApiConfig;

int api_new(Api **ret, sd_event *event, const ApiConfig *config);
/* Ends all connections. What the domain rooms still complete for requests of theirs reaches nobody,
 * but may come: so the Api itself lives until those rooms are gone. NULL is fine. */
void api_close(Api *a);
/* Behind the rooms that it calls; NULL is fine. */
Api *api_free(Api *a);
DEFINE_CLEANUP(Api *, api_free);
/* The values behind ApiConfig.config have changed. */
void api_configure(Api *a);
/* is_ready() is true from now on (until the daemon stops): requests that were held till then go on. */
void api_became_ready(Api *a);
/* Ends event streams, followed logs and waiting requests, and lets no new ones begin: before the
 * server is drained, which waits for every request under way. */
void api_quiesce(Api *a);
/* The server, for listening and draining. */
HttpServer *api_server(Api *a);
