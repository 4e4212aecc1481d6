/* SPDX-License-Identifier: MIT */

/* Ancestors in O(log n) with one extra pointer a node: Myers' skew-binary jump pointers (E. W.
 * Myers, "An applicative random-access stack", 1983). A node's jump goes to its parent, or, when
 * the parent's jump and the one after it span equal distances, over both. Following jumps where
 * they do not overshoot, and parents where they do, finds any depth in about 2 log2(n) steps.
 *
 * To append without reading, the path head, jump(head), jump(jump(head)), … is kept for a session
 * that is being written to: all that the rule above looks at, and O(log n) long. The empty
 * conversation is node 0 with depth 0, which is its own jump.
 *
 * Rejected: a list of 2^k-th ancestors a node (log n numbers each), and a table of positions a
 * branch (rewritten by every restore). */

#include "session/session-internal.h"

typedef struct JumpStep {
        uint64_t id, depth;
} JumpStep;

struct JumpPath {
        size_t n;
        JumpStep steps[]; /* the root's side first; [0] is node 0; the last is the head */
};

#define STEPS_MAX 160 /* twice the bits of a depth and some */

static JumpPath *path_new(size_t n) {
        JumpPath *p = calloc(1, sizeof(JumpPath) + n * sizeof(JumpStep));

        if (p)
                p->n = n;
        return p;
}

JumpPath *jump_path_copy(const JumpPath *p) {
        JumpPath *copy = p ? path_new(p->n) : NULL;

        if (copy)
                memcpy(copy->steps, p->steps, p->n * sizeof(JumpStep));
        return copy;
}

int jump_path_push(const JumpPath *p, uint64_t id, uint64_t depth, JumpPath **ret, uint64_t *ret_jump) {
        size_t keep = p->n;
        const JumpStep *top = p->steps + keep - 1;

        assert(keep >= 1 && depth == top->depth + 1);
        if (keep >= 3 && top[0].depth - top[-1].depth == top[-1].depth - top[-2].depth)
                keep -= 2;
        JumpPath *fresh = path_new(keep + 1);
        if (!fresh)
                return -ENOMEM;
        memcpy(fresh->steps, p->steps, keep * sizeof(JumpStep));
        fresh->steps[keep] = (JumpStep){ id, depth };
        *ret_jump = p->steps[keep - 1].id;
        *ret = fresh;
        return 0;
}

int node_light(SessionManager *m, uint64_t id, NodeLight *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(m->reader, &c, STATE_NODE_LIGHT, STORE_ID(id));

        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        *ret = (NodeLight){
                .id = store_id(c, 0),
                .parent = store_id(c, 1),
                .jump = store_id(c, 2),
                .depth = store_id(c, 3),
                .tool_calls = store_id(c, 4),
                .session = store_id(c, 5),
        };
        return 0;
}

int jump_path_load(SessionManager *m, uint64_t head, JumpPath **ret) {
        JumpStep steps[STEPS_MAX];
        size_t n = 0;

        for (uint64_t id = head; id > 0;) {
                NodeLight node;
                int r = node_light(m, id, &node);
                if (r < 0)
                        return r;
                if (n == STEPS_MAX || node.jump >= id)
                        return -EUCLEAN;
                steps[n++] = (JumpStep){ id, node.depth };
                id = node.jump;
        }
        JumpPath *p = path_new(n + 1);
        if (!p)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                p->steps[n - i] = steps[i];
        *ret = p;
        return 0;
}

int node_ancestor(SessionManager *m, const NodeLight *from, uint64_t depth, NodeLight *ret) {
        NodeLight at = *from;

        if (depth == 0 || depth > at.depth)
                return -ENOENT;
        while (at.depth > depth) {
                NodeLight next = {};
                int r = at.jump ? node_light(m, at.jump, &next) : 0;
                if (r >= 0 && next.depth < depth)
                        r = node_light(m, at.parent, &next);
                if (r < 0)
                        return r == -ENOENT ? -EUCLEAN : r;
                if (next.depth >= at.depth)
                        return -EUCLEAN;
                at = next;
        }
        *ret = at;
        return 0;
}

int node_is_on_path(SessionManager *m, uint64_t head, uint64_t node) {
        NodeLight from, wanted, found;

        if (head == 0 || node == 0 || node > head)
                return 0;
        int r = node_light(m, node, &wanted);
        if (r >= 0)
                r = node_light(m, head, &from);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = node_ancestor(m, &from, wanted.depth, &found);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return found.id == node;
}

/* From the same depth, jumps of both lead to the same depth, because a jump's length depends on the
 * depth alone. So both jump as long as that leads to different nodes; else the common one is not
 * behind the jump, and they take one step. */
static int meet(SessionManager *m, NodeLight *x, NodeLight *y) {
        while (x->id != y->id) {
                bool far = x->jump != y->jump;
                uint64_t next_x = far ? x->jump : x->parent, next_y = far ? y->jump : y->parent;
                if (next_x == 0 || next_y == 0) {
                        *x = (NodeLight){};
                        return 0;
                }
                int r = node_light(m, next_x, x);
                if (r >= 0)
                        r = node_light(m, next_y, y);
                if (r < 0)
                        return r == -ENOENT ? -EUCLEAN : r;
                if (x->depth != y->depth)
                        return -EUCLEAN;
        }
        return 0;
}

int node_common(SessionManager *m, uint64_t a, uint64_t b, NodeLight *ret) {
        NodeLight x = {}, y = {};
        int r = 0;

        if (a > 0 && b > 0) {
                r = node_light(m, a, &x);
                if (r >= 0)
                        r = node_light(m, b, &y);
                if (r >= 0 && x.depth > y.depth)
                        r = node_ancestor(m, &x, y.depth, &x);
                else if (r >= 0 && y.depth > x.depth)
                        r = node_ancestor(m, &y, x.depth, &y);
                if (r >= 0)
                        r = meet(m, &x, &y);
        }
        if (r >= 0)
                *ret = x;
        return r;
}
