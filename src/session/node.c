/* SPDX-License-Identifier: MIT */

/* Messages, read. (append.c writes them.)
 *
 * A page is found by depth: the nodes wanted are those between two depths on the path to the head,
 * so the first is found by jumps and the rest by parents. Parents lead from new to old and readers
 * want old to new, so ids are collected for 256 nodes at a time and their rows read in order: a
 * conversation of any length is read in bounded memory. Reading the rows of the whole page and
 * turning them round was rejected for that. */

#include "session/session-internal.h"

#define CHUNK 256
#define BATCH 16 /* parameters of STATE_NODE_SOME */

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
