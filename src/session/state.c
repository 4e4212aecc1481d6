/* SPDX-License-Identifier: MIT */

/* The state machine of a session: each substate belongs to one status, and one table says which
 * substate may follow which. session_set_state() is the only writer; a transition that the table
 * does not have is a bug in a verb and stops the program before it can reach the store. Whether a
 * verb may be asked for is another table (op.c): this one speaks of what happens, that one of what
 * people may want.
 *
 * The substates of the error status lead to the same places. Substates that nothing enters in this
 * version have no way in, so they are not drawn and cannot be written.
 *
 * A state function for each state was rejected: the questions "how can it get there" and "may that
 * follow" are answered by reading one table, and the picture in docs/ is made from it. */

#include "session/session-internal.h"

static const SessionStatus statuses[_SUBSTATE_MAX] = {
        [SUBSTATE_NEW] = SESSION_CREATED,      [SUBSTATE_QUEUED] = SESSION_CREATED,
        [SUBSTATE_STARTING] = SESSION_RUNNING, [SUBSTATE_ACTIVE] = SESSION_RUNNING,
        [SUBSTATE_IDLE] = SESSION_RUNNING,     [SUBSTATE_WAITING] = SESSION_RUNNING,
        [SUBSTATE_BACKOFF] = SESSION_RUNNING,  [SUBSTATE_STOPPING] = SESSION_RUNNING,
        [SUBSTATE_FROZEN] = SESSION_PAUSED,    [SUBSTATE_PARKED] = SESSION_PAUSED,
        [SUBSTATE_BUDGET] = SESSION_PAUSED,    [SUBSTATE_CREDENTIALS] = SESSION_PAUSED,
        [SUBSTATE_EXITED] = SESSION_STOPPED,   [SUBSTATE_ARCHIVED] = SESSION_STOPPED,
        [SUBSTATE_FAILED] = SESSION_ERROR,     [SUBSTATE_OOM] = SESSION_ERROR,
        [SUBSTATE_WATCHDOG] = SESSION_ERROR,   [SUBSTATE_SANDBOX] = SESSION_ERROR,
        [SUBSTATE_LOST] = SESSION_ERROR,       [SUBSTATE_QUARANTINED] = SESSION_ERROR,
};

#define TO(s)    (UINT32_C(1) << SUBSTATE_##s)
#define TO_START (TO(STARTING) | TO(IDLE))
/* What the end of a run may lead to. */
#define TO_END  (TO(EXITED) | TO(FAILED) | TO(LOST) | TO(BACKOFF) | TO(PARKED))
#define TO_REST (TO(EXITED) | TO(ARCHIVED))

static const uint32_t followers[_SUBSTATE_MAX] = {
        [SUBSTATE_NEW] = TO_START | TO_REST,
        [SUBSTATE_STARTING] = TO(ACTIVE) | TO(STOPPING) | TO(STARTING) | TO_END,
        [SUBSTATE_ACTIVE] = TO(FROZEN) | TO(STOPPING) | TO(STARTING) | TO_END,
        [SUBSTATE_IDLE] = TO(PARKED) | TO(EXITED) | TO(STARTING),
        [SUBSTATE_BACKOFF] = TO_START | TO(PARKED) | TO(EXITED),
        [SUBSTATE_STOPPING] = TO_START | TO_END,
        [SUBSTATE_FROZEN] = TO(ACTIVE) | TO(STOPPING) | TO(STARTING) | TO_END,
        [SUBSTATE_PARKED] = TO_START | TO(EXITED),
        [SUBSTATE_EXITED] = TO_START | TO(ARCHIVED),
        [SUBSTATE_ARCHIVED] = TO_START,
        [SUBSTATE_FAILED] = TO_START | TO_REST,
        [SUBSTATE_LOST] = TO_START | TO_REST,
};

SessionStatus substate_status(SessionSubstate s) {
        assert(s >= 0 && s < _SUBSTATE_MAX);
        return statuses[s];
}

bool substate_may_follow(SessionSubstate from, SessionSubstate to) {
        assert(from >= 0 && from < _SUBSTATE_MAX && to >= 0 && to < _SUBSTATE_MAX);
        return followers[from] & UINT32_C(1) << to;
}

static bool substate_is_reachable(SessionSubstate s) {
        for (size_t i = 0; i < _SUBSTATE_MAX; i++)
                if (substate_may_follow((SessionSubstate) i, s))
                        return true;
        return s == SUBSTATE_NEW;
}

static void dot_cluster(Buf *out, SessionStatus status) {
        buf_printf(out, "        subgraph cluster_%s {\n                label=\"%s\";\n",
                   session_status_to_string(status), session_status_to_string(status));
        for (size_t i = 0; i < _SUBSTATE_MAX; i++)
                if (statuses[i] == status && substate_is_reachable((SessionSubstate) i))
                        buf_printf(out, "                %s;\n",
                                   session_substate_to_string((SessionSubstate) i));
        buf_puts(out, "        }\n");
}

int session_states_dot(Buf *out) {
        buf_puts(out, "digraph session_states {\n        node [shape=box, style=rounded];\n");
        for (size_t i = 0; i < _SESSION_STATUS_MAX; i++)
                dot_cluster(out, (SessionStatus) i);
        for (size_t from = 0; from < _SUBSTATE_MAX; from++)
                for (size_t to = 0; to < _SUBSTATE_MAX; to++)
                        if (followers[from] & UINT32_C(1) << to)
                                buf_printf(out, "        %s -> %s;\n",
                                           session_substate_to_string((SessionSubstate) from),
                                           session_substate_to_string((SessionSubstate) to));
        buf_puts(out, "}\n");
        return buf_error(out);
}

static void state_event(SessionTxn *t, SessionStatus previous) {
        JsonWriter w = txn_event_data(t);

        json_w_kv_string(&w, "status", session_status_to_string(t->next.status));
        json_w_kv_string(&w, "substate", session_substate_to_string(t->next.substate));
        json_w_kv_string(&w, "previous", session_status_to_string(previous));
        if (t->next.reason)
                json_w_kv_string(&w, "reason", t->next.reason);
        txn_event(t, EVENT_SESSION_STATE, &w);
}

void session_set_state(SessionTxn *t, SessionSubstate to, const char *reason) {
        SessionStatus previous = t->next.status;
        char *copy = reason ? strdup(reason) : NULL;

        assert(substate_may_follow(t->next.substate, to));
        if (reason && !copy)
                t->error = -ENOMEM;
        txn_set_string(t, &t->next.reason, t->session->info.reason, copy);
        t->next.status = substate_status(to);
        t->next.substate = to;
        t->next.updated_at = t->now;
        t->next.stopped_at = t->next.status != SESSION_STOPPED ? 0
                             : previous == SESSION_STOPPED     ? t->next.stopped_at
                                                               : t->now;
        if (to != SUBSTATE_BACKOFF)
                t->next.restart_at = 0;
        t->flags |= TXN_ROW;
        state_event(t, previous);
}
