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
        const char *below; /* behind the path of memory; NULL: nothing */
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
        query_add(path, "as_of", cli_option(c, "as-of"));
        query_add(path, "details", c->json ? "1" : NULL);
        int r = ask(c, "GET", path->data, NULL, &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        else
                cli_print_value(c, json_get(reply.json, "value"));
        return 0;
}

static int set_options(Cli *c, Body *b) {
        const char *importance = cli_option(c, "importance"), *ttl = cli_option(c, "ttl");
        usec_t span;

        body_option(c, b, "scope", "scope");
        body_option(c, b, "text", "text");
        body_options(c, b, "tag", "tags");
        if (importance) {
                json_w_key(&b->w, "importance");
                cli_write_value(&b->w, importance, false);
        }
        if (ttl && (clock_parse_span(ttl, &span) < 0 || span < USEC_PER_SEC || span == USEC_INFINITY))
                return cli_usage(c, "--ttl takes a span such as 90s, 12h or 30d, not '%s'", ttl);
        if (ttl)
                json_w_kv_uint(&b->w, "ttl", span / USEC_PER_SEC);
        return body_pairs(c, b, "metadata", "metadata", NULL);
}

static int memory_set(Cli *c, Buf *path) {
        _cleanup_body_ Body b;
        _cleanup_reply_ Reply reply = {};

        body_begin(&b);
        json_w_kv_string(&b.w, "key", c->args[1]);
        json_w_key(&b.w, "value");
        cli_write_value(&b.w, c->args[2], cli_option(c, "string") != NULL);
        int r = set_options(c, &b);
        if (r == 0)
                r = ask(c, "POST", path->data, body_text(&b), &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        cli_say(c, "%s is stored", c->args[1]);
        return 0;
}

/* For scripts: this member of each, on a line of its own. */
static void print_members(Cli *c, JsonIter it, const char *name) {
        JsonSpan item;

        while (json_next(&it, NULL, &item))
                (void) puts(cli_member(c, item, name));
}

/* The value on one line, as much as a table shows. */
static const char *value_text(Cli *c, JsonSpan entry) {
        return cli_value(c, json_get(entry, "value"));
}

static int search_body(Cli *c, Body *b) {
        uint64_t limit = 0;
        int r = cli_option_number(c, "limit", 1, 1000, &limit);

        if (r != 0)
                return r;
        body_begin(b);
        json_w_kv_string(&b->w, "query", c->args[1]);
        if (limit)
                json_w_kv_uint(&b->w, "limit", limit);
        body_option(c, b, "scope", "scope");
        body_option(c, b, "as-of", "as_of");
        json_w_key(&b->w, "filter");
        json_w_object_begin(&b->w);
        body_option(c, b, "prefix", "prefix");
        body_options(c, b, "tag", "tags");
        r = body_pairs(c, b, "metadata", "metadata", NULL);
        json_w_object_end(&b->w);
        return r;
}

static int memory_search(Cli *c, Buf *path) {
        _cleanup_body_ Body b = {};
        _cleanup_reply_ Reply reply = {};
        JsonSpan hit;
        Table t;
        int r = search_body(c, &b);

        if (r == 0)
                r = ask(c, "POST", path->data, body_text(&b), &reply);
        if (r != 0)
                return r;
        if (c->json) {
                cli_print_json(reply.json);
                return 0;
        }
        JsonIter it = json_iter(json_get(reply.json, "results"));
        if (c->quiet || c->names) {
                print_members(c, it, "key");
                return 0;
        }
        table_init(&t, c, "KEY|VALUE|SCOPE|CHANGED");
        while (json_next(&it, NULL, &hit)) {
                table_add(&t, cli_member(c, hit, "key"), NULL);
                table_add(&t, value_text(c, hit), NULL);
                table_add(&t, cli_member(c, hit, "scope"), NULL);
                table_add(&t, cli_ago(c, cli_time(hit, "timestamp")), NULL);
        }
        table_print(&t);
        table_done(&t);
        if (json_count(json_get(reply.json, "results")) == 0)
                cli_note(c, "Nothing was found; `agentd memory ls` lists what there is.");
        return 0;
}

static int memory_history(Cli *c, Buf *path) {
        _cleanup_reply_ Reply reply = {};
        JsonSpan version;
        Table t;

        query_add(path, "key", c->args[1]);
        query_add(path, "limit", cli_option(c, "limit"));
        int r = ask(c, "GET", path->data, NULL, &reply);
        if (r != 0)
                return r;
        if (c->json) {
                cli_print_json(reply.json);
                return 0;
        }
        JsonIter it = json_iter(json_get(reply.json, "versions"));
        if (c->quiet || c->names) {
                print_members(c, it, "version");
                return 0;
        }
        table_init(&t, c, ">VERSION|VALUE|FROM|UNTIL|ENDED");
        while (json_next(&it, NULL, &version)) {
                table_add_number(&t, cli_number(version, "version"));
                table_add(&t, value_text(c, version), NULL);
                table_add(&t, cli_member(c, version, "timestamp"), NULL);
                table_add(&t, cli_member(c, version, "ended_at"), NULL);
                table_add(&t, cli_member(c, version, "ended_by"), NULL);
        }
        table_print(&t);
        table_done(&t);
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
        { "search", 1, "TEXT [SESSION]", memory_search, "/search" },
        { "history", 1, "KEY [SESSION]", memory_history, "/history" },
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
        if (!has_session && cli_option(c, "scope"))
                return cli_usage(c, "--scope needs a session behind the rest");
        if (has_session && cli_option(c, "namespace"))
                return cli_usage(c, "a session and --namespace exclude each other");
        if (has_session) {
                int r = ask_session(c, c->args[1 + a->n_args], &s);
                if (r != 0)
                        return r;
                (void) buf_printf(&path, "/sessions/%s/memory%s", s.id, a->below ? a->below : "");
                if (a->run != memory_set && a->run != memory_search)
                        query_add(&path, "scope", cli_option(c, "scope"));
        } else {
                (void) buf_printf(&path, "/memory%s", a->below ? a->below : "");
                query_add(&path, "namespace", cli_option(c, "namespace"));
        }
        return a->run(c, &path);
}
