/* SPDX-License-Identifier: MIT */

/* `agentd memory`: long-term memory, of a session if one is named behind the rest, else of a
 * namespace. Both have the same requests below different paths, so the path is found first and the
 * action does not care. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/body.h"
#include "cli/table.h"
#include "cli/verbs.h"

#define PATH_BYTES ((size_t) 64 * 1024)

typedef struct Action {
        const char *name;
        size_t n_args; /* behind the action, without the session */
        const char *needs;
        int (*run)(Cli *c, Buf *path);
} Action;

static int memory_list(Cli *c, Buf *path) {
        _cleanup_reply_ Reply reply = {};
        JsonSpan item;
        Table t;

        bool keys = !c->json && (c->quiet || c->names);

        query_add(path, "prefix", cli_option(c, "prefix"));
        query_add(path, "details", keys ? NULL : "1");
        int r = ask(c, "GET", path->data, NULL, &reply);
        if (r != 0)
                return r;
        JsonSpan list = json_get(reply.json, keys ? "keys" : "entries");
        if (c->json || !json_is(list, JSON_KIND_ARRAY)) {
                cli_print_json(reply.json);
                return 0;
        }
        JsonIter it = json_iter(list);
        if (keys) {
                while (json_next(&it, NULL, &item))
                        (void) puts(cli_value(c, item));
                return 0;
        }
        table_init(&t, c, "KEY|VALUE|CHANGED|>READ");
        while (json_next(&it, NULL, &item)) {
                JsonSpan value = json_get(item, "value");
                table_add(&t, cli_member(c, item, "key"), NULL);
                table_add(&t, cli_text(c, "%.*s", (int) value.n, value.p), NULL);
                table_add(&t, cli_ago(c, cli_time(item, "timestamp")), NULL);
                table_add_number(&t, cli_number(item, "access_count"));
        }
        table_print(&t);
        table_done(&t);
        if (reply.http.next_link)
                cli_note(c, "There are more; narrow it with --prefix.");
        return 0;
}

static int memory_get(Cli *c, Buf *path) {
        _cleanup_reply_ Reply reply = {};

        query_add(path, "key", c->args[1]);
        int r = ask(c, "GET", path->data, NULL, &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        else
                cli_print_value(c, json_get(reply.json, "value"));
        return 0;
}

static int memory_set(Cli *c, Buf *path) {
        _cleanup_body_ Body b;
        _cleanup_reply_ Reply reply = {};

        body_begin(&b);
        json_w_kv_string(&b.w, "key", c->args[1]);
        json_w_key(&b.w, "value");
        cli_write_value(&b.w, c->args[2], cli_option(c, "string") != NULL);
        int r = ask(c, "POST", path->data, body_text(&b), &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        cli_say(c, "%s is stored", c->args[1]);
        return 0;
}

static int memory_remove(Cli *c, Buf *path) {
        _cleanup_reply_ Reply reply = {};

        query_add(path, "key", c->args[1]);
        int r = ask(c, "DELETE", path->data, NULL, &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        cli_say(c, "%s is deleted", c->args[1]);
        return 0;
}

static const Action actions[] = {
        { "get", 1, "KEY [SESSION]", memory_get },
        { "set", 2, "KEY VALUE [SESSION]", memory_set },
        { "ls", 0, "[SESSION]", memory_list },
        { "rm", 1, "KEY [SESSION]", memory_remove },
};

static const Action *find_action(Cli *c, const char *word) {
        const char *names[ELEMENTSOF(actions)];

        for (size_t i = 0; i < ELEMENTSOF(actions); i++) {
                if (streq(actions[i].name, word))
                        return &actions[i];
                names[i] = actions[i].name;
        }
        (void) cli_unknown_action(c, word, names, ELEMENTSOF(names));
        return NULL;
}

int verb_memory(Cli *c) {
        _cleanup_buf_ Buf path = BUF_INIT(PATH_BYTES);
        const Action *a = find_action(c, c->args[0]);
        SessionRef s;

        if (!a)
                return CLI_USAGE;
        size_t n = c->n_args - 1;
        if (n < a->n_args || n > a->n_args + 1)
                return cli_usage(c, "`agentd memory %s` takes %s", a->name, a->needs);
        bool has_session = n == a->n_args + 1;
        if (has_session && cli_option(c, "namespace"))
                return cli_usage(c, "a session and --namespace exclude each other");
        if (has_session) {
                int r = ask_session(c, c->args[1 + a->n_args], &s);
                if (r != 0)
                        return r;
                (void) buf_printf(&path, "/sessions/%s/memory", s.id);
        } else {
                (void) buf_puts(&path, "/memory");
                query_add(&path, "namespace", cli_option(c, "namespace"));
        }
        return a->run(c, &path);
}
