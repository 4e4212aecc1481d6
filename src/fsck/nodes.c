/* SPDX-License-Identifier: MIT */

/* The tree of messages. Parents have smaller ids than their children, so one pass in order of ids
 * sees each parent before its children, and what a node must say (its depth, its jump: the rule of
 * session/jump.c) follows from its parent alone. A message whose parent is gone becomes the first
 * of its conversation; all behind it move with it, which is repaired, but told only once.
 *
 * Five words a node are kept in memory: a hundred bytes with the map, so a million messages cost
 * 100 MB in a process that ends. */

#include "base/map.h"
#include "fsck/fsck-internal.h"

typedef struct Node {
        uint64_t id, depth, tool_calls;
        struct Node *jump; /* NULL: node 0 */
        struct Node *next;
        bool is_moved;
} Node;

typedef struct Tree {
        Map *by_id;
        Node *all;
} Tree;

static void tree_done(Tree *t) {
        map_free(t->by_id);
        while (t->all) {
                Node *n = t->all;
                t->all = n->next;
                free(n);
        }
}

static uint64_t depth_of(const Node *n) {
        return n ? n->depth : 0;
}

static Node *jump_of_child(Node *parent) {
        Node *jump = parent ? parent->jump : NULL;

        if (!parent || depth_of(parent) < 2)
                return parent;
        if (!jump)
                return parent; /* over both only where both are there */
        return depth_of(parent) - depth_of(jump) == depth_of(jump) - depth_of(jump->jump) ? jump->jump
                                                                                          : parent;
}

static void node_edit(Fsck *f, const Node *n, const Node *parent) {
        (void) buf_printf(
                &f->state_edits,
                "UPDATE nodes SET parent = nullif(%llu, 0), jump = nullif(%llu, 0), depth = %llu "
                "WHERE id = %llu;",
                (unsigned long long) (parent ? parent->id : 0),
                (unsigned long long) (n->jump ? n->jump->id : 0), (unsigned long long) n->depth,
                (unsigned long long) n->id);
}

static void node_check(Fsck *f, Node *n, const Node *parent, uint64_t parent_id, StoreCursor *c) {
        bool wrong_depth = store_id(c, 3) != n->depth;
        bool wrong_jump = store_id(c, 2) != (n->jump ? n->jump->id : 0);

        if (parent_id > 0 && !parent)
                fsck_problem_id(f, "message", n->id, "the message before it is gone",
                                "let the conversation begin here");
        else if (parent && parent->is_moved)
                n->is_moved = true;
        else if (wrong_depth)
                fsck_problem_id(f, "message", n->id, "it says another place in its conversation",
                                "count again");
        else if (wrong_jump)
                fsck_problem_id(f, "message", n->id, "its short cut leads elsewhere", "set it again");
        else if (n->tool_calls < (parent ? parent->tool_calls : 0))
                fsck_problem_id(f, "message", n->id,
                                "it counts fewer tool calls than the one before", NULL);
        else
                return;
        n->is_moved = n->is_moved || wrong_depth || wrong_jump || (parent_id > 0 && !parent);
        if (n->is_moved)
                node_edit(f, n, parent);
}

static int node_read(Fsck *f, Tree *t, StoreCursor *c) {
        uint64_t parent_id = store_id(c, 1);
        Node *parent = parent_id > 0 ? map_get(t->by_id, parent_id) : NULL,
             *n = calloc(1, sizeof(*n));

        if (!n)
                return -ENOMEM;
        n->next = t->all;
        t->all = n;
        n->id = store_id(c, 0);
        n->depth = depth_of(parent) + 1;
        n->tool_calls = store_id(c, 4);
        n->jump = jump_of_child(parent);
        node_check(f, n, parent, parent_id, c);
        int r = n->id > 0 ? map_put(t->by_id, n->id, n) : 0;
        return MIN(r, 0);
}

int fsck_nodes(Fsck *f) {
        _cleanup_(tree_done) Tree t = { .by_id = map_new() };
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = t.by_id ? store_query(f->state, &c, FSCK_NODES, NULL, 0) : -ENOMEM;

        while (r >= 0 && (r = store_next(c)) > 0)
                r = node_read(f, &t, c);
        return r;
}
