/* SPDX-License-Identifier: MIT */

/* `agentd variables`: the values that a session keeps beside its conversation.
 *
 * A value on the command line is JSON if it reads as JSON and text otherwise, because both `42` and
 * `hello` should do what they look like; --string is for text that happens to be JSON. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/body.h"
#include "cli/table.h"
#include "cli/verbs.h"

static void print_done(Cli *c, const Reply *reply, const char *name, const char *done) {
        if (c->json)
                cli_print_json(reply->json);
        cli_say(c, "%s is %s", name, done);
}

static int list_variables(Cli *c, const char *path) {
        _cleanup_reply_ Reply reply = {};
        JsonSpan key, value;
        Table t;

        int r = ask(c, "GET", path, NULL, &reply);
        if (r != 0)
                return r;
        if (c->json) {
                cli_print_json(reply.json);
                return 0;
        }
        JsonSpan all = json_get(reply.json, "variables");
        if (c->quiet || c->names) {
                JsonIter names = json_iter(all);
                while (json_is(all, JSON_KIND_OBJECT) && json_next(&names, &key, &value))
                        (void) puts(cli_value(c, key));
                return 0;
        }
        table_init(&t, c, "NAME|VALUE");
        if (json_is(all, JSON_KIND_OBJECT)) {
                JsonIter it = json_iter(all);
                while (json_next(&it, &key, &value)) {
                        table_add(&t, cli_value(c, key), NULL);
                        table_add(&t, cli_text(c, "%.*s", (int) value.n, value.p), NULL);
                }
        }
        table_print(&t);
        table_done(&t);
        return 0;
}

static int get_variable(Cli *c, const char *path) {
        _cleanup_reply_ Reply reply = {};

        int r = ask(c, "GET", path, NULL, &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        else
                cli_print_value(c, json_get(reply.json, "value"));
        return 0;
}

static int set_variable(Cli *c, const char *path, const char *name, const char *text) {
        _cleanup_buf_ Buf body = BUF_INIT(BODY_MAX);
        _cleanup_reply_ Reply reply = {};
        JsonWriter w = JSON_WRITER(&body);

        cli_write_value(&w, text, cli_option(c, "string") != NULL);
        if (buf_error(&body) < 0)
                cli_out_of_memory();
        int r = ask(c, "PUT", path, body.data, &reply);
        if (r == 0)
                print_done(c, &reply, name, "set");
        return r;
}

static int remove_variable(Cli *c, const char *path, const char *name) {
        _cleanup_reply_ Reply reply = {};

        int r = ask(c, "DELETE", path, NULL, &reply);
        if (r == 0)
                print_done(c, &reply, name, "removed");
        return r;
}

int verb_variables(Cli *c) {
        static const char *const actions[] = { "get", "set", "rm", "ls" };
        const char *action = c->n_args > 1 ? c->args[1] : "ls";
        const size_t need = streq(action, "set")  ? 4
                            : streq(action, "ls") ? MIN(c->n_args, (size_t) 2)
                                                  : 3;
        SessionRef s;
        bool known = false;

        for (size_t i = 0; i < ELEMENTSOF(actions); i++)
                known = known || streq(action, actions[i]);
        if (!known)
                return cli_unknown_action(c, action, actions, ELEMENTSOF(actions));
        if (c->n_args != need)
                return cli_usage(c, "`agentd variables SESSION %s` needs %s", action,
                                 need == 4   ? "NAME VALUE"
                                 : need == 3 ? "NAME"
                                             : "nothing else");
        int r = ask_session(c, c->args[0], &s);
        if (r != 0)
                return r;
        if (streq(action, "ls"))
                return list_variables(c, cli_text(c, "/sessions/%s/variables", s.id));
        char *name = cli_keep(c, http_url_escape(c->args[2])),
             *path = cli_text(c, "/sessions/%s/variables/%s", s.id, name);
        if (streq(action, "get"))
                return get_variable(c, path);
        return streq(action, "set") ? set_variable(c, path, c->args[2], c->args[3])
                                    : remove_variable(c, path, c->args[2]);
}
