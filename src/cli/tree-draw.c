/* SPDX-License-Identifier: MIT */

/* Drawing. The way to the current branch's end goes straight down in the first column; what leaves
 * it stands in a column beside, where it leaves, before the line goes on. So a session that was
 * restored ten times is a straight line with ten twigs, and not a staircase of ten steps, which is
 * what drawing branches by their age gives.
 *
 * A stretch of messages without anything in between is one line with their number; up to
 * STRETCH_SHOWN are shown themselves, which costs a request. */

#include <stdio.h>

#include "base/str.h"
#include "cli/table.h"
#include "cli/tree.h"

#define STRETCH_SHOWN 3
#define COLUMNS_MAX   64 /* beside each other; what is deeper is counted only */
#define LINE_BYTES    ((size_t) 1024 * 1024)
#define DIM           "2"
#define YELLOW        "33"
#define GREEN         "1;32"

typedef struct Place {
        uint64_t depth;
        const char *node;
} Place;

static void draw(Tree *t, TreeBranch *b, size_t mark, Place at, unsigned column);

/* ---- lines ---- */

/* colour is that of sign and text; more is dimmed. Cut to the terminal, as a whole. */
static void line(Tree *t,
                 unsigned column,
                 const char *sign,
                 const char *colour,
                 const char *text,
                 const char *more) {
        _cleanup_buf_ Buf b = BUF_INIT(LINE_BYTES), safe = BUF_INIT(LINE_BYTES),
                          rest = BUF_INIT(LINE_BYTES), cut = BUF_INIT(LINE_BYTES);
        size_t left = t->width > 0 ? t->width : LINE_BYTES, begin = 2 * (size_t) column + 2;

        for (unsigned i = 0; i < column; i++)
                (void) buf_puts(&b, "│ ");
        left = left > begin + 8 ? left - begin : 8;
        (void) str_put_clean(&safe, text, strlen(text), 0);
        (void) str_put_clean(&rest, more, strlen(more), 0);
        size_t used = text_cut(safe.data ? safe.data : "", left, &cut);
        const char *shown = cut.data ? cut.data : "";
        (void) buf_printf(&b, "%s %s", cli_paint(t->cli, colour, sign),
                          cli_paint(t->cli, colour, shown));
        buf_clear(&cut);
        if (rest.len > 0 && used + 4 < left) {
                (void) text_cut(rest.data, left - used - 2, &cut);
                (void) buf_printf(&b, "  %s", cli_paint(t->cli, DIM, cut.data));
        }
        if (buf_putc(&b, '\n') < 0)
                cli_out_of_memory();
        (void) fwrite(b.data, 1, b.len, stdout);
}

static void twig_line(Tree *t, unsigned column) {
        for (unsigned i = 0; i < column; i++)
                (void) fputs("│ ", stdout);
        (void) puts("├─╮");
}

/* ---- messages ---- */

static void message_line(Tree *t, unsigned column, JsonSpan m) {
        Cli *c = t->cli;

        line(t, column, "·", "",
             cli_text(c, "%s %s", cli_member(c, m, "id"), cli_member(c, m, "role")),
             cli_content(c, json_get(m, "content")));
}

static void show_messages(Tree *t, const TreeBranch *b, Place from, uint64_t n, unsigned column) {
        _cleanup_reply_ Reply reply = {};
        const char *after = *from.node ? from.node : "0000000000000000";
        JsonSpan m;

        t->status = ask(t->cli, "GET",
                        cli_text(t->cli, "/sessions/%s/messages?branch=%s&after=%s&limit=%llu",
                                 t->session.id, b->id, after, (unsigned long long) n),
                        NULL, &reply);
        if (t->status != 0 || !json_is(reply.json, JSON_KIND_ARRAY))
                return;
        JsonIter it = json_iter(reply.json);
        while (json_next(&it, NULL, &m))
                message_line(t, column, m);
}

/* The messages of b from one place to another. */
static void stretch(Tree *t, const TreeBranch *b, Place *at, Place to, unsigned column) {
        uint64_t n = to.depth > at->depth ? to.depth - at->depth : 0;

        if (n == 0)
                return;
        if (n <= STRETCH_SHOWN && t->status == 0)
                show_messages(t, b, *at, n, column);
        else
                line(t, column, "│", "",
                     cli_text(t->cli, "… %llu messages …", (unsigned long long) n), "");
        *at = to;
}

/* ---- what stands at a place ---- */

static void checkpoint_line(Tree *t, unsigned column, JsonSpan cp) {
        const char *label = cli_member(t->cli, cp, "label"), *kind = cli_member(t->cli, cp, "kind");
        Cli *c = t->cli;
        bool pinned = false;

        (void) json_bool(json_get(cp, "pinned"), &pinned);
        line(t, column, "◆", YELLOW,
             cli_text(c, "%s%s%s", cli_member(c, cp, "checkpoint_id"), *label ? "  " : "", label),
             cli_text(c, "%s%s%s%s%s", cli_ago(c, cli_time(cp, "created_at")), c->wide ? ", " : "",
                      c->wide ? kind : "", pinned ? ", pinned" : "",
                      *cli_member(c, cp, "workspace_tree") ? ", files" : ""));
}

static void fork_line(Tree *t, unsigned column, JsonSpan f) {
        const char *status = cli_member(t->cli, f, "status");
        Cli *c = t->cli;

        line(t, column, "→", cli_status_colour(status),
             cli_text(c, "%s  %s", cli_member(c, f, "session_id"), cli_member(c, f, "name")),
             cli_text(c, "fork, %s, %s", status, cli_ago(c, cli_time(f, "created_at"))));
}

static void end_line(Tree *t, const TreeBranch *b, unsigned column) {
        Cli *c = t->cli;

        line(t, column, b->is_current ? "●" : "○", b->is_current ? GREEN : "",
             cli_text(c, "%s%s", b->name, b->is_current ? "  (current)" : ""),
             cli_text(c, "%llu message%s, began %s", (unsigned long long) b->to,
                      b->to == 1 ? "" : "s", cli_ago(c, cli_time(b->item, "created_at"))));
}

/* ---- branches ----
 * As deep as COLUMNS_MAX. NOLINTBEGIN(misc-no-recursion) */

/* What of b is left behind a place, in a column beside; only its name if nothing follows. */
static void draw_rest(Tree *t, TreeBranch *b, size_t mark, Place at, unsigned column) {
        if (mark == b->n_marks && b->to == at.depth) {
                end_line(t, b, column);
                return;
        }
        twig_line(t, column);
        draw(t, b, mark, at, column + 1);
}

static void draw_twig(Tree *t, TreeBranch *b, Place at, unsigned column) {
        if (column + 1 >= COLUMNS_MAX) {
                line(t, column, "│", "", "… more branches: agentd branches shows them …", "");
                return;
        }
        draw_rest(t, b, 0, at, column);
}

static void draw_mark(Tree *t, const TreeMark *m, Place at, unsigned column) {
        switch (m->kind) {
        case MARK_CHECKPOINT:
                checkpoint_line(t, column, m->item);
                break;
        case MARK_FORK:
                fork_line(t, column, m->item);
                break;
        case MARK_CHILD:
                draw_twig(t, m->child, at, column);
                break;
        }
}

/* A branch from a place on, and behind it what leads to the current one. */
static void draw(Tree *t, TreeBranch *b, size_t mark, Place at, unsigned column) {
        while (mark < b->n_marks) {
                const TreeMark *m = &b->marks[mark++];
                stretch(t, b, &at, (Place){ m->depth, m->node }, column);
                if (m->kind != MARK_CHILD || !m->child->leads_to_current) {
                        draw_mark(t, m, at, column);
                        continue;
                }
                draw_rest(t, b, mark, at, column);
                b = m->child;
                mark = 0;
        }
        stretch(t, b, &at, (Place){ b->to, "" }, column);
        end_line(t, b, column);
}
/* NOLINTEND(misc-no-recursion) */

void tree_draw(Tree *t) {
        TreeBranch *first = t->branches;
        Place at = { 0, "" };
        Cli *c = t->cli;

        line(t, 0, "┌", "1", cli_text(c, "%s  %s", t->session.name, t->session.id), "");
        if (t->n == 0)
                return;
        const char *origin = cli_member(c, first->item, "origin_session");
        if (*cli_member(c, first->item, "origin_branch")) {
                stretch(t, first, &at, (Place){ first->from, first->origin_node }, 0);
                line(t, 0, "←", "",
                     cli_text(c, "forked from %s", *origin ? origin : "a deleted session"),
                     cli_ago(c, cli_time(first->item, "created_at")));
        }
        draw(t, first, 0, at, 0);
}
