/* SPDX-License-Identifier: MIT */

/* Routes that create, show, change and move sessions; the list is in session-list.c. Every one that
 * changes something answers after its commit, with the state as it then is on disk. */

#include <signal.h>

#include "api/handlers.h"
#include "base/log.h"

void api_session_create(ApiCall *c) {
        const InputSessionCreate *in = c->in;
        SessionCreate create = {
                .name = in->name.s,
                .model = in->model.s,
                .system_prompt = in->system_prompt,
                .tools = in->tools,
                .agent = in->agent,
                .labels = in->labels,
                .variables = in->variables,
                .workspace = in->workspace.s,
                .start = in->start.v,
        };

        if (api_namespace(c, in->namespace, true, &create.namespace_id) == 0)
                api_submitted(c, session_create(c->api->sessions, &create, api_done_session, c));
}

void api_session_get(ApiCall *c) {
        const InputSessionGet *in = c->in;
        size_t messages = 0;

        char etag[ETAG_SIZE];

        (void) api_message_limit(in->messages, 50, &messages);
        api_etag_session(&c->info, etag);
        if (!api_not_modified(c, etag))
                api_reply_session(c, messages);
}

/* False: it has changed, and that was answered. */
static bool check_match(ApiCall *c) {
        char *etag = field_arena_alloc(c->arena, ETAG_SIZE);

        if (!etag) {
                api_fail_result(c, -ENOMEM);
                return false;
        }
        api_etag_session(session_info(c->session), etag);
        return api_if_match(c, etag);
}

void api_session_patch(ApiCall *c) {
        const InputSessionPatch *in = c->in;
        SessionPatch patch = {
                .name = in->name.s,
                .model = in->model.s,
                .system_prompt = in->system_prompt,
                .tools = in->tools,
                .agent = in->agent,
                .labels = in->labels,
        };

        if (!check_match(c))
                return;
        api_submitted(c, session_patch(c->session, &patch, api_done_session, c));
}

static void on_memory_deleted(int r, uint64_t version, void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);

        if (r < 0)
                (void) log_warning(
                        r, "Cannot remove the memory of a deleted session; the next start does");
        api_reply_status(c, "deleted");
}

static void on_deleted(int r, Session *s, uint64_t id, void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);
        MemoryScope scope = { .namespace_id = c->info.namespace_id, .id = c->session_id };

        if (r != 0) {
                api_fail_result(c, r);
                return;
        }
        /* Its rows are gone; files that stay behind are an annoyance, not a failure. */
        (void) sup_log_delete(c->api->config.log_dir, c->session_id);
        r = memory_scope_delete(c->api->memory, scope, on_memory_deleted, c);
        if (r < 0)
                on_memory_deleted(r, 0, c);
}

void api_session_delete(ApiCall *c) {
        const InputSessionDelete *in = c->in;

        c->info.namespace_id = session_info(c->session)->namespace_id;
        if (check_match(c))
                api_submitted(c, session_delete(c->session, in->force.v, on_deleted, c));
}

/* ---- verbs ---- */

void api_session_start(ApiCall *c) {
        api_submitted(c, session_start(c->session, api_done_session, c));
}

void api_session_pause(ApiCall *c) {
        api_submitted(c, session_pause(c->session, api_done_session, c));
}

void api_session_stop(ApiCall *c) {
        api_submitted(c, session_stop(c->session, api_done_session, c));
}

void api_session_restart(ApiCall *c) {
        api_submitted(c, session_restart(c->session, api_done_session, c));
}

void api_session_archive(ApiCall *c) {
        api_submitted(c, session_archive(c->session, api_done_session, c));
}

/* A checkpoint or a node that the body names; false: there is no such thing, and that was answered. */
static bool body_id(ApiCall *c, FieldStr text, SessionCondition missing, uint64_t *ret) {
        *ret = text.s ? api_id(text) : 0;
        if (text.s)
                c->subject = text.s;
        if (!text.s || *ret != 0)
                return true;
        api_fail_result(c, (int) missing);
        return false;
}

void api_session_resume(ApiCall *c) {
        const InputSessionResume *in = c->in;
        uint64_t checkpoint;

        if (body_id(c, in->checkpoint_id, SESSION_E_NO_CHECKPOINT, &checkpoint))
                api_submitted(c, session_resume(c->session, checkpoint, api_done_session, c));
}

void api_session_restore(ApiCall *c) {
        const InputSessionRestore *in = c->in;
        uint64_t checkpoint, node;

        if (body_id(c, in->checkpoint_id, SESSION_E_NO_CHECKPOINT, &checkpoint) &&
            body_id(c, in->node, SESSION_E_NO_NODE, &node))
                api_submitted(c, session_restore(c->session, checkpoint, node, api_done_session, c));
}

static void on_forked(int r, Session *s, uint64_t id, void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);

        if (r == 0)
                c->session_id = id; /* the answer is about the new one */
        api_done_session(r, r == 0 ? session_get(c->api->sessions, id) : NULL, id, c);
}

void api_session_fork(ApiCall *c) {
        const InputSessionFork *in = c->in;
        uint64_t checkpoint, node;

        if (body_id(c, in->checkpoint_id, SESSION_E_NO_CHECKPOINT, &checkpoint) &&
            body_id(c, in->node, SESSION_E_NO_NODE, &node))
                api_submitted(c, session_fork(c->session, checkpoint, node, in->name.s,
                                              in->workspace.s, on_forked, c));
}

static void send_signal(ApiCall *c) {
        const InputSessionKill *in = c->in;
        int r = c->api->config.kill(c->session, in->signal.s ? api_signal(in->signal.s) : SIGTERM,
                                    c->api->config.userdata);
        if (r == -ESRCH)
                api_fail(c, ERROR_NO_RUN);
        else if (r < 0)
                api_fail_result(c, r);
        else
                api_done_session(0, c->session, 0, c);
}

void api_session_kill(ApiCall *c) {
        if (session_info(c->session)->has_agent)
                api_keyed_first(c, send_signal);
        else
                api_fail(c, ERROR_NO_AGENT);
}
