/* SPDX-License-Identifier: MIT */

/* Appending a message. It is three statements (the node, the branch's head, the event) and reads
 * nothing: depth and tool calls are counted in the session's info, the jump comes from its jump
 * path. The session's row is not written: what an append changes of a session is read back from the
 * node itself.
 *
 * A large body is hashed, compressed and perhaps written to a file of its own, with three syncs. On
 * a slow disk that takes seconds, and nobody else is to wait for them: it is done in a pool, and
 * the transaction is made when it is there. What the same session is sent meanwhile queues behind
 * it, so a conversation keeps the order in which its messages came; other sessions know nothing of
 * it. Checks are made when the message comes and again when its turn does: its run may be over.
 *
 * Rejected: the store's writer thread (every session's commits would wait), and a transaction that
 * reserves the message's place at once (a body that cannot be written would leave a hole). */

#include "base/list.h"
#include "session/session-internal.h"

#define APPEND_MAGIC UINT32_C(0x53417070)

/* One that waits: for its body to be stored, or for those before it. */
typedef struct Append {
        uint32_t magic;
        ListLink link;
        SessionManager *manager;
        Session *session; /* NULL: it is gone, and only the pool still knows of this */
        uint64_t namespace_id, run, n_calls;
        uint64_t claim; /* of the body's file: nobody may remove it */
        const char *role;
        char *own_role;
        Body body;
        RequestKey key;
        bool has_key;
        NodeInfo *ret; /* the caller's; it and the spans live until done() */
        JsonSpan content, calls;
        bool is_working;
        int r;
        SessionDoneFn done;
        void *userdata;
} Append;

/* ---- the transaction ---- */

int node_add(SessionTxn *t, uint64_t id, uint64_t run, const char *role, const Body *b, uint64_t jump) {
        const SessionInfo *i = &t->next;

        STORE_ADD(t->store, STATE_NODE_INSERT, STORE_ID(id), STORE_ID(i->id), STORE_ID(i->head),
                  STORE_ID(jump), STORE_INT((int64_t) i->message_count),
                  STORE_INT((int64_t) i->tool_call_count), STORE_ID(run),
                  STORE_INT((int64_t) t->now), STORE_TEXT(role), STORE_INT(NODE_MESSAGE),
                  b->is_large ? (StoreValue){} : STORE_BLOB(b->raw.data, b->raw.len),
                  b->is_large ? STORE_BLOB(b->key, HASH_SIZE) : (StoreValue){});
        return 0;
}

static void append_event(SessionTxn *t, uint64_t id, const char *role) {
        JsonWriter w = txn_event_data(t);

        json_w_kv_id(&w, "node", id);
        json_w_kv_string(&w, "role", role);
        json_w_kv_uint(&w, "message_count", t->next.message_count);
        txn_event(t, EVENT_MESSAGE, &w);
}

static int append_txn(SessionTxn *t, uint64_t id, const Append *a) {
        Session *s = t->session;
        uint64_t jump;
        int r = s->jump ? 0 : jump_path_load(s->manager, s->info.head, &s->jump);

        if (r >= 0)
                r = body_add(t, &a->body);
        if (r < 0)
                return r;
        t->next.message_count++;
        t->next.tool_call_count += a->n_calls;
        r = jump_path_push(s->jump, id, t->next.message_count, &t->jump, &jump);
        if (r < 0)
                return r;
        node_add(t, id, a->run, a->role, &a->body, jump);
        t->next.head = id;
        t->next.updated_at = t->now;
        t->flags |= TXN_BRANCH | TXN_CHANGED;
        append_event(t, id, a->role);
        return 0;
}

static void appended(const SessionTxn *t, const Append *a) {
        const SessionInfo *old = &t->session->info, *next = &t->next;

        *a->ret = (NodeInfo){
                .id = next->head,
                .parent = old->head,
                .session = next->id,
                .run = a->run,
                .depth = next->message_count,
                .tool_calls = next->tool_call_count,
                .time = t->now,
                .role = a->ret->role,
                .kind = NODE_MESSAGE,
                .content = a->content,
                .calls = a->calls,
        };
}

/* The body is stored. 0: done() will come. */
static int append_submit(Append *a) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        Session *s = a->session;
        int r = s->is_deleting ? (int) SESSION_E_NOT_FOUND : session_run_check(s, a->run);

        if (r == 0)
                r = session_txn_new(s->manager, s, &t);
        if (r != 0)
                return r;
        uint64_t id = id_new();
        r = append_txn(t, id, a);
        if (r < 0)
                return r;
        if (a->ret)
                appended(t, a);
        if (a->has_key) /* its answer is written from *ret */
                request_key_add(t->store, &state_request_keys, &a->key, id);
        return session_txn_submit(TAKE_PTR(t), id, a->done, a->userdata);
}

/* ---- those that wait ---- */

static Append *append_free(Append *a) {
        if (!a)
                return NULL;
        body_unclaim(a->manager, &a->claim);
        body_done(&a->body);
        free(a->own_role);
        a->magic = 0;
        free(a);
        return NULL;
}

static void fail(Append *a, int r) {
        SessionDoneFn done = a->done;

        a->done = NULL;
        if (done)
                done(r, a->session, 0, a->userdata);
}

static void go_on(Session *s) {
        while (!list_is_empty(&s->appends)) {
                Append *a = LIST_ENTRY(s->appends.next, Append, link);

                OBJ_CHECK(a, APPEND_MAGIC);
                if (a->is_working)
                        return;
                list_remove(&a->link);
                int r = a->r < 0 ? a->r : append_submit(a);
                if (r != 0)
                        fail(a, r);
                append_free(a);
        }
}

static void append_work(void *job) {
        Append *a = OBJ_CAST(Append, job, APPEND_MAGIC);

        a->r = body_store(a->manager, a->namespace_id, &a->body);
}

/* Between the file and this moment a sweep may have removed it: it was nobody's. */
static bool is_gone(Append *a) {
        if (a->r < 0 || !a->session || !a->body.is_file || a->claim > 0)
                return false;
        a->r = body_claim(a->manager, a->body.key, &a->claim);
        return a->r >= 0 && !body_file_is_there(a->manager, &a->body);
}

static void append_worked(void *job) {
        Append *a = OBJ_CAST(Append, job, APPEND_MAGIC);

        if (is_gone(a)) {
                a->r = pool_submit(a->manager->pool, 0, append_work, append_worked, a);
                if (a->r >= 0)
                        return;
        }
        a->is_working = false;
        if (a->session)
                go_on(a->session);
        else
                append_free(a);
}

void appends_abandon(Session *s, int r) {
        while (!list_is_empty(&s->appends)) {
                Append *a = LIST_ENTRY(s->appends.next, Append, link);

                list_remove(&a->link);
                a->session = NULL;
                fail(a, r);
                if (!a->is_working)
                        append_free(a);
        }
}

int appends_open(SessionManager *m) {
        return m->data_dir ? pool_new(&m->pool, m->event, m->config.append_threads,
                                      m->config.append_queue)
                           : 0;
}

/* ---- what comes in ---- */

/* Takes the body over if that works. */
static int wait_in_line(Append *a, bool is_slow) {
        Append *w = malloc(sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        *w = *a;
        w->role = w->own_role = strdup(a->role);
        w->is_working = is_slow;
        r = w->role ? 0 : -ENOMEM;
        if (r == 0 && is_slow)
                r = pool_submit(w->manager->pool, 0, append_work, append_worked, w);
        if (r < 0) {
                w->body = (Body){};
                append_free(w);
                return r;
        }
        a->body = (Body){};
        list_append(&a->session->appends, &w->link);
        return 0;
}

static int append_begin(Append *a) {
        SessionManager *m = a->manager;

        if (m->pool && body_is_slow(&a->body))
                return wait_in_line(a, true);
        int r = body_store(m, a->namespace_id, &a->body);
        if (r < 0)
                return r;
        return list_is_empty(&a->session->appends) ? append_submit(a) : wait_in_line(a, false);
}

static int append_check(const Session *s, uint64_t run, size_t size) {
        if (s->manager->is_shutting_down)
                return SESSION_E_SHUTTING_DOWN;
        int r = session_run_check(s, run);
        if (r != 0)
                return r;
        return size > s->manager->config.message_max ? (int) SESSION_E_LIMIT : 0;
}

int session_append_node(Session *s,
                        uint64_t run,
                        const char *role,
                        JsonSpan content,
                        JsonSpan tool_calls,
                        NodeInfo *ret,
                        SessionDoneFn done,
                        void *userdata) {
        OBJ_CHECK(s, SESSION_MAGIC);
        int r = append_check(s, run, content.n + tool_calls.n);
        if (r != 0)
                return r;

        const RequestKey *key = s->manager->request_key;
        Append a = {
                .magic = APPEND_MAGIC,
                .manager = s->manager,
                .session = s,
                .namespace_id = s->info.namespace_id,
                .run = run,
                .role = role,
                .content = content.p ? content : JSON_NULL,
                .calls = tool_calls,
                .key = key ? *key : (RequestKey){},
                .has_key = key,
                .ret = ret,
                .done = done,
                .userdata = userdata,
        };
        if (tool_calls.p && json_is(tool_calls, JSON_KIND_ARRAY))
                a.n_calls = json_count(tool_calls);
        if (ret)
                ret->role = role;
        r = body_pack(a.content, tool_calls, &a.body);
        if (r == 0)
                r = append_begin(&a);
        body_done(&a.body);
        return r;
}

int session_append(Session *s,
                   uint64_t run,
                   const char *role,
                   JsonSpan content,
                   JsonSpan tool_calls,
                   SessionDoneFn done,
                   void *userdata) {
        return session_append_node(s, run, role, content, tool_calls, NULL, done, userdata);
}
