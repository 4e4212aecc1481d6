/* SPDX-License-Identifier: MIT */

/* Messages. An append is three statements (the node, the branch's head, the event) and reads
 * nothing: depth and tool calls are counted in the session's info, the jump comes from its jump
 * path. The session's row is not written: what an append changes of a session is read back from the
 * node itself.
 *
 * A page is found by depth: the nodes wanted are those between two depths on the path to the head,
 * so the first is found by jumps and the rest by parents. Parents lead from new to old and readers
 * want old to new, so ids are collected for 256 nodes at a time and their rows read in order: a
 * conversation of any length is read in bounded memory. Reading the rows of the whole page and
 * turning them round was rejected for that. */

#include "session/session-internal.h"

#define CHUNK 256
#define BATCH 16 /* parameters of STATE_NODE_SOME */

/* ---- append ---- */

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

static int append_txn(
        SessionTxn *t, uint64_t id, uint64_t run, const char *role, JsonSpan content, JsonSpan calls) {
        _cleanup_(body_done) Body body = {};
        Session *s = t->session;
        uint64_t jump;
        int r = s->jump ? 0 : jump_path_load(s->manager, s->info.head, &s->jump);

        if (r >= 0)
                r = body_pack(t, content.p ? content : JSON_NULL, calls, &body);
        if (r < 0)
                return r;
        t->next.message_count++;
        t->next.tool_call_count += calls.p && json_is(calls, JSON_KIND_ARRAY) ? json_count(calls) : 0;
        r = jump_path_push(s->jump, id, t->next.message_count, &t->jump, &jump);
        if (r < 0)
                return r;
        node_add(t, id, run, role, &body, jump);
        t->next.head = id;
        t->next.updated_at = t->now;
        t->flags |= TXN_BRANCH | TXN_CHANGED;
        append_event(t, id, role);
        return 0;
}

static NodeInfo appended(const SessionTxn *t, uint64_t run, const char *role) {
        const SessionInfo *old = &t->session->info, *next = &t->next;

        return (NodeInfo){
                .id = next->head,
                .parent = old->head,
                .session = next->id,
                .run = run,
                .depth = next->message_count,
                .tool_calls = next->tool_call_count,
                .time = t->now,
                .role = role,
                .kind = NODE_MESSAGE,
        };
}

int session_append_node(Session *s,
                        uint64_t run,
                        const char *role,
                        JsonSpan content,
                        JsonSpan tool_calls,
                        NodeInfo *ret,
                        SessionDoneFn done,
                        void *userdata) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;

        OBJ_CHECK(s, SESSION_MAGIC);
        if (s->manager->is_shutting_down)
                return SESSION_E_SHUTTING_DOWN;
        int r = session_run_check(s, run);
        if (r != 0)
                return r;
        if (content.n + tool_calls.n > s->manager->config.message_max)
                return SESSION_E_LIMIT;
        r = session_txn_new(s->manager, s, &t);
        if (r < 0)
                return r;
        uint64_t id = id_new();
        r = append_txn(t, id, run, role, content, tool_calls);
        if (r < 0)
                return r;
        NodeInfo node = appended(t, run, role);
        node.content = content.p ? content : JSON_NULL;
        node.calls = tool_calls;
        *ret = node;
        txn_request_key(t, id);
        return session_txn_submit(TAKE_PTR(t), id, done, userdata);
}

int session_append(Session *s,
                   uint64_t run,
                   const char *role,
                   JsonSpan content,
                   JsonSpan tool_calls,
                   SessionDoneFn done,
                   void *userdata) {
        NodeInfo node;

        return session_append_node(s, run, role, content, tool_calls, &node, done, userdata);
}

/* ---- reading ---- */

static int emit_row(SessionManager *m, StoreCursor *c, NodeFn fn, void *userdata) {
        _cleanup_free_ char *memory = NULL;
        JsonSpan raw;
        NodeInfo n = {
                .id = store_id(c, 0),
                .session = store_id(c, 1),
                .parent = store_id(c, 2),
                .depth = store_id(c, 4),
                .tool_calls = store_id(c, 5),
                .run = store_id(c, 6),
                .time = store_id(c, 7),
                .role = store_text(c, 8, NULL),
                .kind = (NodeKind) store_int(c, 9),
        };
        const Session *s = map_get(m->by_id, n.session);
        int r = body_load(m, s ? s->info.namespace_id : 0, c, &memory, &raw);

        if (r >= 0)
                r = body_unpack(raw, &n.content, &n.calls);
        return r < 0 ? r : fn(&n, userdata);
}

static int emit(SessionManager *m, uint64_t id, NodeFn fn, void *userdata) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(m->reader, &c, STATE_NODE_ONE, STORE_ID(id));

        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        return emit_row(m, c, fn, userdata);
}

int session_node(SessionManager *m, uint64_t id, NodeFn fn, void *userdata) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        return emit(m, id, fn, userdata);
}

/* The nodes with these ids, which ascend: a child is younger than its parent. */
static int emit_batch(SessionManager *m, const uint64_t *ids, size_t n, NodeFn fn, void *userdata) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        StoreValue values[BATCH];
        size_t found = 0;
        int r;

        for (size_t i = 0; i < BATCH; i++)
                values[i] = STORE_ID(ids[MIN(i, n - 1)]);
        r = store_query(m->reader, &c, STATE_NODE_SOME, values, BATCH);
        while (r >= 0 && (r = store_next(c)) > 0) {
                found++;
                r = emit_row(m, c, fn, userdata);
                if (r != 0)
                        return r;
        }
        if (r < 0)
                return r;
        return found == n ? 0 : -EUCLEAN;
}

static void reverse(uint64_t *ids, size_t n) {
        for (size_t i = 0; i < n / 2; i++) {
                uint64_t id = ids[i];
                ids[i] = ids[n - 1 - i];
                ids[n - 1 - i] = id;
        }
}

/* Nodes with low < depth <= high on the path to `head`, at most CHUNK, oldest first. */
static int emit_chunk(SessionManager *m,
                      const NodeLight *head,
                      uint64_t low,
                      uint64_t high,
                      NodeFn fn,
                      void *userdata) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        uint64_t ids[CHUNK], n = 0;
        NodeLight last;
        int r = node_ancestor(m, head, high, &last);

        assert(high - low <= CHUNK);
        if (r >= 0)
                r = STORE_QUERY(m->reader, &c, STATE_NODE_CHAIN_LIGHT, STORE_ID(last.id),
                                STORE_INT((int64_t) (high - low)));
        while (r >= 0 && n < high - low && (r = store_next(c)) > 0)
                ids[n++] = store_id(c, 0);
        if (r < 0)
                return r;
        if (n != high - low)
                return -EUCLEAN;
        c = store_cursor_free(c);
        reverse(ids, n);
        r = 0;
        for (size_t i = 0; i < n && r == 0; i += BATCH)
                r = emit_batch(m, ids + i, MIN(n - i, (uint64_t) BATCH), fn, userdata);
        return r;
}

/* The depth of a node that must be on the path; the caller's default if there is none. */
static int depth_on_path(SessionManager *m, const NodeLight *head, uint64_t node, uint64_t *depth) {
        NodeLight wanted, found;

        if (node == 0)
                return 0;
        int r = node_light(m, node, &wanted);
        if (r >= 0)
                r = node_ancestor(m, head, wanted.depth, &found);
        if (r < 0)
                return r;
        if (found.id != node)
                return -ENOENT;
        *depth = wanted.depth;
        return 0;
}

static int walk(SessionManager *m,
                uint64_t head_id,
                uint64_t after,
                uint64_t before,
                size_t limit,
                NodeFn fn,
                void *userdata) {
        NodeLight head;
        int r = node_light(m, head_id, &head);
        uint64_t low = 0, high = r < 0 ? 0 : head.depth + 1;

        if (r >= 0)
                r = depth_on_path(m, &head, after, &low);
        if (r >= 0)
                r = depth_on_path(m, &head, before, &high);
        if (r < 0)
                return r;
        high--;
        if (after && high > low && high - low > limit)
                high = low + limit;
        else if (high > low && high - low > limit)
                low = high - limit;
        while (r == 0 && low < high) {
                uint64_t next = MIN(high, low + CHUNK);
                r = emit_chunk(m, &head, low, next, fn, userdata);
                low = next;
        }
        return r;
}

int session_nodes(SessionManager *m,
                  uint64_t head,
                  uint64_t after,
                  uint64_t before,
                  size_t limit,
                  NodeFn fn,
                  void *userdata) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        if (head == 0)
                return after || before ? -ENOENT : 0;

        int r = store_read_begin(m->reader);
        if (r < 0)
                return r;
        r = walk(m, head, after, before, limit, fn, userdata);
        store_read_end(m->reader);
        return r;
}
