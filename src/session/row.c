/* SPDX-License-Identifier: MIT */

/* The row of a session, both ways. The whole row is written on every change of state: a statement
 * for each combination of columns would be many statements to keep right for a few bytes in the
 * log, and what is frequent (messages, variables, checkpoints) does not touch this row at all.
 * Therefore what those move (head, variables, newest checkpoint, the time of the last change) is
 * taken from their own rows when a session is read, by one query with joins. */

#include "session/session-internal.h"

enum { /* columns of STATE_SESSION_LOAD_* */
       COL_ID,
       COL_NAMESPACE,
       COL_NAME,
       COL_STATUS,
       COL_SUBSTATE,
       COL_REASON,
       COL_CREATED_AT,
       COL_UPDATED_AT,
       COL_CONFIG,
       COL_BRANCH,
       COL_VARS,
       COL_RUN,
       COL_FENCE,
       COL_RESTARTS,
       COL_RESTART_AT,
       COL_START_WINDOW,
       COL_START_COUNT,
       COL_STOPPED_AT,
       COL_HEARTBEAT_AT,
       COL_CHECKPOINT,
       COL_WORKSPACE,
       COL_LABELS,
       COL_OWNER_HOST,
       COL_LEASE_EPOCH,
       COL_LEASE_UNTIL,
       COL_BRANCH_HEAD,
       COL_BRANCH_VARS,
       COL_BRANCH_CONFIG,
       COL_HEAD_DEPTH,
       COL_HEAD_TOOL_CALLS,
       COL_HEAD_TIME,
       COL_NEWEST_CHECKPOINT,
       COL_VARS_TIME,
       COL_VARS_SINCE,
       COL_CONFIG_AGENT,
};

static StoreValue time_value(usec_t t) {
        return STORE_ID(t);
}

static void add_insert(SessionTxn *t) {
        const SessionInfo *i = &t->next;

        STORE_ADD(t->store, STATE_SESSION_INSERT, STORE_ID(i->id), STORE_ID(i->namespace_id),
                  STORE_TEXT(i->name), STORE_INT(i->status), STORE_INT(i->substate),
                  STORE_TEXT(i->reason), STORE_INT((int64_t) i->created_at),
                  STORE_INT((int64_t) i->updated_at), STORE_ID(i->config), STORE_ID(i->branch),
                  STORE_ID(i->vars), STORE_ID(i->run), STORE_INT(i->fence), STORE_INT(i->restarts),
                  time_value(i->restart_at), time_value(i->start_window), STORE_INT(i->start_count),
                  time_value(i->stopped_at), time_value(i->heartbeat_at), STORE_ID(i->checkpoint),
                  STORE_TEXT(i->workspace), STORE_SPAN(i->labels), STORE_TEXT(""), STORE_INT(0),
                  STORE_ID(0));
}

static void add_update(SessionTxn *t) {
        const SessionInfo *i = &t->next;

        STORE_ADD(t->store, STATE_SESSION_UPDATE, STORE_ID(i->id), STORE_INT(0),
                  STORE_INT(i->status), STORE_INT(i->substate), STORE_TEXT(i->reason),
                  STORE_INT((int64_t) i->updated_at), STORE_ID(i->config), STORE_ID(i->branch),
                  STORE_ID(i->vars), STORE_ID(i->run), STORE_INT(i->fence), STORE_INT(i->restarts),
                  time_value(i->restart_at), time_value(i->start_window), STORE_INT(i->start_count),
                  time_value(i->stopped_at), time_value(i->heartbeat_at), STORE_ID(i->checkpoint),
                  STORE_TEXT(i->workspace), STORE_SPAN(i->labels), STORE_ID(0));
}

void txn_add_session_row(SessionTxn *t) {
        if (t->flags & TXN_CREATE)
                add_insert(t);
        else
                add_update(t);
}

void info_strings_free(SessionInfo *i) {
        free((void *) (uintptr_t) i->name);
        free((void *) (uintptr_t) i->reason);
        free((void *) (uintptr_t) i->workspace);
        free((void *) (uintptr_t) i->labels.p);
        i->name = i->reason = i->workspace = NULL;
        i->labels = (JsonSpan){};
}

static int dup_column(StoreCursor *c, unsigned col, const char **ret) {
        const char *text = store_text(c, col, NULL);
        char *copy = text ? strdup(text) : NULL;

        if (text && !copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

static int strings_from_row(SessionInfo *i, StoreCursor *c) {
        int r = dup_column(c, COL_NAME, &i->name);

        if (r >= 0)
                r = dup_column(c, COL_REASON, &i->reason);
        if (r >= 0)
                r = dup_column(c, COL_WORKSPACE, &i->workspace);
        if (r >= 0)
                r = dup_column(c, COL_LABELS, &i->labels.p);
        if (r < 0)
                return r;
        i->labels.n = i->labels.p ? strlen(i->labels.p) : 0;
        return 0;
}

static void numbers_from_row(SessionInfo *i, StoreCursor *c) {
        i->id = store_id(c, COL_ID);
        i->namespace_id = store_id(c, COL_NAMESPACE);
        i->status = (SessionStatus) store_int(c, COL_STATUS);
        i->substate = (SessionSubstate) store_int(c, COL_SUBSTATE);
        i->created_at = store_id(c, COL_CREATED_AT);
        i->updated_at = MAX(store_id(c, COL_UPDATED_AT), store_id(c, COL_HEAD_TIME));
        i->updated_at = MAX(i->updated_at, store_id(c, COL_VARS_TIME));
        i->stopped_at = store_id(c, COL_STOPPED_AT);
        i->restart_at = store_id(c, COL_RESTART_AT);
        i->heartbeat_at = store_id(c, COL_HEARTBEAT_AT);
        i->branch = store_id(c, COL_BRANCH);
        i->head = store_id(c, COL_BRANCH_HEAD);
        i->vars = store_id(c, COL_BRANCH_VARS);
        i->config = store_id(c, COL_BRANCH_CONFIG);
        i->run = store_id(c, COL_RUN);
        i->fence = (unsigned) store_int(c, COL_FENCE);
        i->restarts = (unsigned) store_int(c, COL_RESTARTS);
        i->start_window = store_id(c, COL_START_WINDOW);
        i->start_count = (unsigned) store_int(c, COL_START_COUNT);
        i->checkpoint = store_id(c, COL_NEWEST_CHECKPOINT);
        i->message_count = store_id(c, COL_HEAD_DEPTH);
        i->tool_call_count = store_id(c, COL_HEAD_TOOL_CALLS);
        i->has_agent = config_has_command(store_span(c, COL_CONFIG_AGENT));
        i->is_committed = true;
}

int session_from_row(Session *s, StoreCursor *c) {
        SessionInfo i = {}, old = s->info;
        int64_t substate = store_int(c, COL_SUBSTATE);

        if (substate < 0 || substate >= _SUBSTATE_MAX ||
            store_int(c, COL_STATUS) != (int64_t) substate_status((SessionSubstate) substate))
                return -EUCLEAN;
        numbers_from_row(&i, c);
        int r = strings_from_row(&i, c);
        if (r < 0) {
                info_strings_free(&i);
                return r;
        }
        s->vars_since = (uint8_t) store_int(c, COL_VARS_SINCE);
        session_apply(s, &i);
        info_strings_free(&old);
        return 0;
}
