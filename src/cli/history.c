/* SPDX-License-Identifier: MIT */

/* Where a session was and may go back to: checkpoints, branches, runs. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/table.h"
#include "cli/verbs.h"

/* One list of a session: its JSON, its ids (--quiet), its names (-o name), or a table of rows made by add(). */
static int show_list(Cli *c,
                     const char *what,
                     const char *id_member,
                     const char *name_member,
                     const char *head,
                     void (*add)(Cli *c, Table *t, JsonSpan item)) {
        _cleanup_buf_ Buf buf = {};
        JsonSpan list, item;
        SessionRef s;
        Table t;

        int r = ask_session(c, c->args[0], &s);
        if (r == 0)
                r = ask_list(c, cli_text(c, "/sessions/%s/%s", s.id, what), &buf, &list);
        if (r != 0)
                return r;
        if (c->json) {
                cli_print_json(list);
                return 0;
        }
        JsonIter it = json_iter(list);
        if (c->quiet || c->names) {
                while (json_next(&it, NULL, &item))
                        (void) puts(cli_member(c, item, c->names ? name_member : id_member));
                return 0;
        }
        table_init(&t, c, head);
        while (json_next(&it, NULL, &item))
                add(c, &t, item);
        table_print(&t);
        table_done(&t);
        return 0;
}

int verb_checkpoint(Cli *c) {
        _cleanup_buf_ Buf path = BUF_INIT((size_t) 64 * 1024);
        _cleanup_reply_ Reply reply = {};
        SessionRef s;

        int r = ask_session(c, c->args[0], &s);
        if (r != 0)
                return r;
        (void) buf_printf(&path, "/sessions/%s/checkpoints", s.id);
        query_add(&path, "label", cli_option(c, "label"));
        r = ask(c, "POST", path.data, NULL, &reply);
        if (r != 0)
                return r;
        const char *id = cli_member(c, reply.json, "checkpoint_id");
        if (c->json)
                cli_print_json(reply.json);
        else if (c->quiet)
                (void) puts(id);
        cli_say(c, "checkpoint %s of %s was taken", id, s.name);
        if (*cli_member(c, reply.json, "files_note"))
                cli_note(c, "of its files %s", cli_member(c, reply.json, "files_note"));
        return 0;
}

static const char *yes_or_empty(JsonSpan item, const char *name) {
        bool yes = false;

        (void) json_bool(json_get(item, name), &yes);
        return yes ? "yes" : "";
}

static void add_checkpoint(Cli *c, Table *t, JsonSpan cp) {
        table_add(t, cli_member(c, cp, "checkpoint_id"), NULL);
        table_add(t, cli_member(c, cp, "label"), NULL);
        table_add(t, cli_member(c, cp, "kind"), NULL);
        table_add(t, cli_ago(c, cli_time(cp, "created_at")), NULL);
        table_add_number(t, cli_number(cp, "message_count"));
        table_add(t, yes_or_empty(cp, "pinned"), NULL);
        table_add(t, *cli_member(c, cp, "workspace_tree") ? "yes" : "", NULL);
}

int verb_checkpoints(Cli *c) {
        return show_list(c, "checkpoints", "checkpoint_id", "label",
                         "ID|LABEL|KIND|TAKEN|>MESSAGES|PINNED|FILES", add_checkpoint);
}

static char *branch_origin(Cli *c, JsonSpan b) {
        const char *cp = cli_member(c, b, "origin_checkpoint"),
                   *node = cli_member(c, b, "origin_node");

        return *cp     ? cli_text(c, "checkpoint %s", cp)
               : *node ? cli_text(c, "message %s", node)
                       : cli_text(c, "%s", "");
}

static void add_branch(Cli *c, Table *t, JsonSpan b) {
        const char *current = yes_or_empty(b, "current");

        table_add(t, cli_member(c, b, "branch_id"), NULL);
        table_add(t, cli_member(c, b, "name"), *current ? "32" : NULL);
        table_add(t, current, NULL);
        table_add_number(t, cli_number(b, "message_count"));
        table_add(t, cli_ago(c, cli_time(b, "created_at")), NULL);
        table_add(t, branch_origin(c, b), NULL);
}

int verb_branches(Cli *c) {
        return show_list(c, "branches", "branch_id", "name",
                         "ID|NAME|CURRENT|>MESSAGES|CREATED|FROM", add_branch);
}

static char *run_end(Cli *c, JsonSpan run) {
        const char *result = cli_member(c, run, "result"), *code = cli_member(c, run, "exit_code");
        int64_t signal = cli_number(run, "exit_signal");

        if (signal > 0)
                return cli_text(c, "%s (%s)", result, sigabbrev_np((int) signal) ?: "?");
        return *code && !streq(code, "0") ? cli_text(c, "%s (%s)", result, code)
                                          : cli_text(c, "%s", result);
}

static char *run_length(Cli *c, JsonSpan run) {
        usec_t from = cli_time(run, "started_at"), to = cli_time(run, "ended_at");
        char text[32];

        if (from == 0)
                return cli_text(c, "%s", "");
        to = to ? to : c->now;
        return cli_text(c, "%s", text_span(to > from ? to - from : 0, text, sizeof(text)));
}

static void add_run(Cli *c, Table *t, JsonSpan run) {
        const char *state = cli_member(c, run, "state");

        table_add_number(t, cli_number(run, "number"));
        table_add(t, cli_member(c, run, "run_id"), NULL);
        table_add(t, state, streq(state, "alive") ? "32" : NULL);
        table_add(t, cli_member(c, run, "pid"), NULL);
        table_add(t, cli_ago(c, cli_time(run, "started_at")), NULL);
        table_add(t, run_length(c, run), NULL);
        table_add(t, run_end(c, run), NULL);
        table_add(t, cli_member(c, run, "reason"), NULL);
}

int verb_runs(Cli *c) {
        return show_list(c, "runs", "run_id", "number",
                         ">#|ID|STATE|>PID|STARTED|>LASTED|RESULT|REASON", add_run);
}
