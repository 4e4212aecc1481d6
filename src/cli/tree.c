/* SPDX-License-Identifier: MIT */

/* `agentd tree`: reads a session's branches, checkpoints and forks and finds out what begins where.
 *
 * A branch is a name and two messages: where it began and where it ends. Which branch a message was
 * appended on is not stored. But ids ascend with time, a session is on one branch at a time, and
 * each change of branch makes a new one: so a message belongs to the youngest branch that is older
 * than it and has messages of its own (one without was left at once). That needs no request and no
 * walk, whatever the length. */

#include "cli/tree.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "cli/table.h"
#include "cli/verbs.h"

static void *allocate(size_t n, size_t size) {
        void *p = calloc(n + 1, size);

        if (!p)
                cli_out_of_memory();
        return p;
}

/* ---- branches ---- */

static bool has_own(const TreeBranch *b) {
        return b->to > b->from || !b->parent;
}

static void read_branch(Tree *t, JsonSpan item) {
        TreeBranch *b = &t->branches[t->n++];

        *b = (TreeBranch){
                .id = cli_member(t->cli, item, "branch_id"),
                .name = cli_member(t->cli, item, "name"),
                .item = item,
                .from = (uint64_t) cli_number(item, "origin_message_count"),
                .to = (uint64_t) cli_number(item, "message_count"),
                .origin_node = cli_member(t->cli, item, "origin_node"),
        };
        (void) json_bool(json_get(item, "current"), &b->is_current);
}

/* Of the branches ahead of the one at index i, the one that the message was appended on. */
static TreeBranch *owner_of(Tree *t, const char *node, size_t i) {
        while (i-- > 1) {
                assert(t->branches[i].id && node);
                if (strcmp(t->branches[i].id, node) < 0 && has_own(&t->branches[i]))
                        return &t->branches[i];
        }
        return &t->branches[0];
}

static void link_branches(Tree *t) {
        for (size_t i = 1; i < t->n; i++)
                t->branches[i].parent = owner_of(t, t->branches[i].origin_node, i);
        for (size_t i = 0; i < t->n; i++)
                if (t->branches[i].is_current)
                        for (TreeBranch *b = &t->branches[i]; b; b = b->parent)
                                b->leads_to_current = true;
}

static TreeBranch *branch_by_id(Tree *t, const char *id) {
        size_t low = 0, high = t->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                assert(t->branches[middle].id);
                int c = strcmp(id, t->branches[middle].id);
                if (c == 0)
                        return &t->branches[middle];
                if (c < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        return NULL;
}

/* ---- marks ---- */

/* A mark at the very beginning of a branch stands there, though its message is the parent's. */
static void add_mark(TreeBranch *b, TreeMark m) {
        if ((b->n_marks & (b->n_marks - 1)) == 0 || !b->marks) {
                size_t cap = b->n_marks ? 2 * b->n_marks : 1;
                TreeMark *grown = reallocarray(b->marks, cap, sizeof(TreeMark));
                if (!grown)
                        cli_out_of_memory();
                b->marks = grown;
        }
        m.depth = MAX(MIN(m.depth, b->to), b->parent ? b->from : 0);
        b->marks[b->n_marks++] = m;
}

static void mark_items(Tree *t, JsonSpan list, MarkKind kind) {
        bool is_fork = kind == MARK_FORK;
        JsonIter it = json_iter(list);
        JsonSpan item;

        while (json_next(&it, NULL, &item)) {
                TreeMark m = {
                        .kind = kind,
                        .depth = (uint64_t) cli_number(item, is_fork ? "origin_message_count"
                                                                     : "message_count"),
                        .node = cli_member(t->cli, item, is_fork ? "origin_node" : "node"),
                        .id = cli_member(t->cli, item, is_fork ? "session_id" : "checkpoint_id"),
                        .item = item,
                };
                TreeBranch *b = is_fork ? owner_of(t, m.node, t->n)
                                        : branch_by_id(t, cli_member(t->cli, item, "branch"));
                if (b)
                        add_mark(b, m);
        }
}

static void mark_children(Tree *t) {
        for (size_t i = 1; i < t->n; i++) {
                TreeBranch *b = &t->branches[i];
                add_mark(b->parent, (TreeMark){ .kind = MARK_CHILD,
                                                .depth = b->from,
                                                .node = b->origin_node,
                                                .id = b->id,
                                                .child = b });
        }
}

/* By place; at one place by time, but the branch that goes straight on comes last. */
static int compare_marks(const void *a, const void *b) {
        const TreeMark *x = a, *y = b;
        bool x_last = x->child && x->child->leads_to_current,
             y_last = y->child && y->child->leads_to_current;

        if (x->depth != y->depth)
                return x->depth < y->depth ? -1 : 1;
        if (x_last != y_last)
                return x_last ? 1 : -1;
        return strcmp(x->id, y->id);
}

/* ---- the verb ---- */

static void build(Tree *t, JsonSpan branches, JsonSpan checkpoints, JsonSpan forks) {
        JsonIter it = json_iter(branches);
        JsonSpan item;

        t->branches = allocate(json_count(branches), sizeof(TreeBranch));
        while (json_next(&it, NULL, &item))
                read_branch(t, item);
        if (t->n == 0)
                return;
        link_branches(t);
        mark_items(t, checkpoints, MARK_CHECKPOINT);
        mark_items(t, forks, MARK_FORK);
        mark_children(t);
        for (size_t i = 0; i < t->n; i++)
                if (t->branches[i].n_marks > 1)
                        qsort(t->branches[i].marks, t->branches[i].n_marks, sizeof(TreeMark),
                              compare_marks);
}

static void tree_done(Tree *t) {
        for (size_t i = 0; i < t->n; i++)
                free(t->branches[i].marks);
        free(t->branches);
}

/* What the daemon said, list by list. */
static void print_lists(JsonSpan branches, JsonSpan checkpoints, JsonSpan forks) {
        (void) fputs("{\"branches\":", stdout);
        (void) fwrite(branches.p, 1, branches.n, stdout);
        (void) fputs(",\"checkpoints\":", stdout);
        (void) fwrite(checkpoints.p, 1, checkpoints.n, stdout);
        (void) fputs(",\"forks\":", stdout);
        (void) fwrite(forks.p, 1, forks.n, stdout);
        (void) puts("}");
}

int verb_tree(Cli *c) {
        _cleanup_buf_ Buf branches = {}, checkpoints = {}, forks = {};
        _cleanup_(tree_done) Tree t = { .cli = c, .width = table_width(c) };
        JsonSpan b, cp, f;

        int r = ask_session(c, c->args[0], &t.session);
        if (r == 0)
                r = ask_list(c, cli_text(c, "/sessions/%s/branches", t.session.id), &branches, &b);
        if (r == 0)
                r = ask_list(c, cli_text(c, "/sessions/%s/checkpoints", t.session.id), &checkpoints,
                             &cp);
        if (r == 0)
                r = ask_list(c, cli_text(c, "/sessions/%s/forks", t.session.id), &forks, &f);
        if (r != 0)
                return r;
        if (c->json) {
                print_lists(b, cp, f);
                return 0;
        }
        build(&t, b, cp, f);
        if (!c->quiet)
                tree_draw(&t);
        return t.status;
}
