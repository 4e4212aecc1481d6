/* SPDX-License-Identifier: MIT */

/* `agentd list`. Archived sessions are a list of their own in the API; --all shows them behind the
 * others. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/table.h"
#include "cli/verbs.h"

#define PATH_BYTES ((size_t) 64 * 1024)

/* A session with a command seldom has a model: the command is what tells it from others. */
static char *model_or_command(Cli *c, JsonSpan s) {
        char *model = cli_member(c, s, "model"), *command = session_command(c, s, !c->wide);

        return *model && *command ? cli_text(c, "%s: %s", model, command)
               : *model           ? model
                                  : command;
}

static void add_row(Cli *c, Table *t, JsonSpan s) {
        table_add(t, cli_member(c, s, "session_id"), NULL);
        table_add(t, cli_member(c, s, "name"), NULL);
        table_add(t, session_state_brief(c, s), session_colour(c, s));
        table_add(t, model_or_command(c, s), NULL);
        table_add(t, cli_ago(c, cli_time(s, "updated_at")), NULL);
        table_add_number(t, cli_number(s, "restarts"));
        table_add_number(t, cli_number(s, "message_count"));
        if (!c->wide)
                return;
        table_add(t, cli_member(c, s, "namespace"), NULL);
        table_add(t, cli_ago(c, cli_time(s, "created_at")), NULL);
        table_add(t, cli_member(c, s, "workspace"), NULL);
        table_add(t, cli_pairs(c, json_get(s, "labels")), NULL);
}

static int get_sessions(Cli *c, const char *status, Buf *buf, JsonSpan *ret) {
        _cleanup_buf_ Buf path = BUF_INIT(PATH_BYTES);

        (void) buf_puts(&path, "/sessions");
        query_add(&path, "status", status);
        query_add(&path, "name", cli_option(c, "name"));
        query_add(&path, "label", cli_option(c, "label"));
        query_add(&path, "namespace", cli_option(c, "namespace"));
        return ask_list(c, path.data, buf, ret);
}

/* "[a,b]" and "[c]" as "[a,b,c]". */
static JsonSpan join_lists(Buf *a, const Buf *b, size_t n_a, size_t n_b) {
        if (n_b > 0) {
                a->len--;
                (void) buf_puts(a, n_a > 0 ? "," : "");
                if (buf_append(a, b->data + 1, b->len - 1) < 0)
                        cli_out_of_memory();
        }
        return (JsonSpan){ a->data, a->len };
}

static void print(Cli *c, JsonSpan list) {
        Table t;
        JsonIter it = json_iter(list);
        JsonSpan s;

        if (c->quiet || c->names) {
                while (json_next(&it, NULL, &s))
                        (void) puts(cli_member(c, s, c->names ? "name" : "session_id"));
                return;
        }
        table_init(&t, c,
                   c->wide ? "ID|NAME|STATUS|MODEL/COMMAND|UPDATED|>RESTARTS|>MESSAGES|NAMESPACE|CREATED|WORKSPACE|LABELS"
                           : "ID|NAME|STATUS|MODEL/COMMAND|UPDATED|>RESTARTS|>MESSAGES");
        while (json_next(&it, NULL, &s))
                add_row(c, &t, s);
        table_print(&t);
        table_done(&t);
}

int verb_list(Cli *c) {
        _cleanup_buf_ Buf buf = {}, archived = {};
        const char *status = cli_option(c, "status");
        JsonSpan list, more;

        if (status && cli_option(c, "all"))
                return cli_usage(c, "--all and --status exclude each other");
        int r = get_sessions(c, status, &buf, &list);
        if (r == 0 && cli_option(c, "all")) {
                r = get_sessions(c, "archived", &archived, &more);
                if (r == 0)
                        list = join_lists(&buf, &archived, json_count(list), json_count(more));
        }
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(list);
        else
                print(c, list);
        return 0;
}
